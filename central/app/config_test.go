package app_test

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/config"
)

const sample = "../../configs/central.yaml"

// TestTheSampleIsTheDefault loads the sample with the strict loader: each key
// that exists stands in it, with its default.
func TestTheSampleIsTheDefault(t *testing.T) {
	cfg := app.DefaultConfig()
	if err := config.Load(&cfg, config.Options{Path: sample}); err != nil {
		t.Fatal(err)
	}
	if want := app.DefaultConfig(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("the sample says\n%s\nthe defaults are\n%s", config.Dump(&cfg), config.Dump(&want))
	}
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ *([a-z_]+):`).FindAllSubmatch(config.Dump(&cfg), -1) {
		if !strings.Contains(string(text), string(m[1])+":") {
			t.Errorf("the sample does not say %s", m[1])
		}
	}
}

func TestBadConfigNamesTheKey(t *testing.T) {
	for key, set := range map[string]string{
		"http.listen":                     "CARGA_CENTRAL_HTTP__LISTEN=0.0.0.0:8080",
		"database.path":                   "CARGA_CENTRAL_DATABASE__PATH=",
		"kafka.brokers":                   "CARGA_CENTRAL_KAFKA__BROKERS=localhost",
		"kafka.client_id":                 "CARGA_CENTRAL_KAFKA__CLIENT_ID=",
		"kafka.replication":               "CARGA_CENTRAL_KAFKA__REPLICATION=0",
		"kafka.topics.events.partitions":  "CARGA_CENTRAL_KAFKA__TOPICS__EVENTS__PARTITIONS=0",
		"kafka.topics.monitor.name":       "CARGA_CENTRAL_KAFKA__TOPICS__MONITOR__NAME=a/b",
		"kafka.topics.telemetry.name":     "CARGA_CENTRAL_KAFKA__TOPICS__TELEMETRY__NAME=cp-events",
		"kafka.topics.commands.retention": "CARGA_CENTRAL_KAFKA__TOPICS__COMMANDS__RETENTION=1s",
		"network.reservation":             "CARGA_CENTRAL_NETWORK__RESERVATION=1s",
		"network.reservations_per_driver": "CARGA_CENTRAL_NETWORK__RESERVATIONS_PER_DRIVER=0",
		"network.ask_for":                 "CARGA_CENTRAL_NETWORK__ASK_FOR=1ms",
		"network.max_asked":               "CARGA_CENTRAL_NETWORK__MAX_ASKED=4",
		"network.start_wait":              "CARGA_CENTRAL_NETWORK__START_WAIT=1d",
		"network.drivers[1]":              "CARGA_CENTRAL_NETWORK__DRIVERS=ann,b\x01b",
		"tariff.version":                  "CARGA_CENTRAL_TARIFF__VERSION=a b",
		"tariff.start_fee_cents":          "CARGA_CENTRAL_TARIFF__START_FEE_CENTS=-1",
		"tariff.per_kwh_cents":            "CARGA_CENTRAL_TARIFF__PER_KWH_CENTS=1.5",
		"tariff.currency":                 "CARGA_CENTRAL_TARIFF__CURRENCY=euro",
		"log.level":                       "CARGA_CENTRAL_LOG__LEVEL=loud",
	} {
		cfg := app.DefaultConfig()
		err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{set}})
		faults, ok := errors.AsType[*config.Error](err)
		if !ok || len(faults.Faults) != 1 || faults.Faults[0].Key != key {
			t.Errorf("%s: got %v, want one fault of %s", set, err, key)
		}
	}
}

func TestOffLoopbackNeedsAWord(t *testing.T) {
	cfg := app.DefaultConfig()
	cfg.Insecure = true
	if err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{"CARGA_CENTRAL_HTTP__LISTEN=0.0.0.0:8080"}}); err != nil {
		t.Errorf("got %v, want it allowed by insecure", err)
	}
}
