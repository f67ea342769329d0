package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/config"
)

// TestVariablesOfAnOrchestratorAreIgnored: those that it makes from the name of
// a service, and no other.
func TestVariablesOfAnOrchestratorAreIgnored(t *testing.T) {
	type settings struct {
		Port int    `yaml:"port"`
		Name string `yaml:"name"`
		Deep struct {
			Host string `yaml:"host"`
		} `yaml:"deep"`
	}
	const prefix = "CARGA_CENTRAL_"
	for _, made := range []string{
		"SERVICE_HOST=10.0.0.5", "SERVICE_HOST=fd00::5", "SERVICE_PORT=8080", "SERVICE_PORT_HTTP=8080", "SERVICE_PORT_HTTP_ALT=8080",
		"PORT_8080_TCP=tcp://10.0.0.5:8080", "PORT_8080_TCP_PROTO=tcp", "PORT_8080_TCP_PORT=8080", "PORT_8080_TCP_ADDR=10.0.0.5",
		"PORT_53_UDP=udp://10.0.0.5:53", "PORT_53_UDP_PROTO=udp", "PORT_80_TCP=tcp://[fd00::5]:80",
		// The service carga-central-metrics.
		"METRICS_SERVICE_HOST=10.0.0.6", "METRICS_SERVICE_PORT=9464", "METRICS_PORT=tcp://10.0.0.6:9464", "METRICS_PORT_9464_TCP_ADDR=10.0.0.6",
		// The service carga-central-port-service.
		"PORT_SERVICE_SERVICE_HOST=10.0.0.6", "PORT_SERVICE_PORT=tcp://10.0.0.6:1", "PORT_SERVICE_PORT_1_TCP=tcp://10.0.0.6:1",
	} {
		var links config.Links
		err := config.Load(&settings{}, config.Options{EnvPrefix: prefix, Environ: []string{prefix + made}, Ignored: links.Add})
		name, _, _ := strings.Cut(made, "=")
		if err != nil || !slices.Equal(links, config.Links{prefix + name}) {
			t.Errorf("%s: got %v and %v, want it ignored", made, err, links)
		}
	}
	for _, ours := range []string{
		"SERVICE_HOST=central.example", "SERVICE_HOST=", "SERVICE_PORT=http", "SERVICE_PORT=0", "SERVICE_PORT=70000", "SERVICE=10.0.0.5",
		"SERVICE_HOST_X=10.0.0.5", "PORT_8080_TCP=8080", "PORT_8080_TCP_PROTO=http", "PORT_X_TCP=tcp://10.0.0.5:80", "PORT_80_HTTP=tcp://10.0.0.5:80",
		"PORT_80_TCP_NAME=x", "PORT_80=tcp://10.0.0.5:80", "PROT=tcp://10.0.0.5:80", "DEPP__HOST=10.0.0.5", "METRICS_PORT=9464",
	} {
		var links config.Links
		err := config.Load(&settings{}, config.Options{EnvPrefix: prefix, Environ: []string{prefix + ours}, Ignored: links.Add})
		if err == nil || !strings.Contains(err.Error(), "unknown key") || len(links) > 0 {
			t.Errorf("%s: got %v and %v, want an unknown key", ours, err, links)
		}
	}
	// A key of ours is ours, whatever its value looks like.
	for _, wrong := range []string{"PORT=tcp://10.0.0.5:8080", "DEEP__HOTS=10.0.0.5"} {
		if err := config.Load(&settings{}, config.Options{EnvPrefix: prefix, Environ: []string{prefix + wrong}}); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
	misspelt := config.Load(&settings{}, config.Options{EnvPrefix: prefix, Environ: []string{prefix + "NAEM=x"}})
	if misspelt == nil || !strings.Contains(misspelt.Error(), `did you mean "name"?`) {
		t.Errorf("got %v, want a suggestion", misspelt)
	}
}
