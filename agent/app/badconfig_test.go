package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/internal/config/configtest"
)

// started starts an agent that must refuse to run.
func started(change func(t *testing.T, cfg *app.Config) error) func(t *testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		cfg := app.DefaultConfig()
		cfg.DataDir = t.TempDir()
		if err := change(t, &cfg); err != nil {
			return err
		}
		return app.Run(t.Context(), cfg, app.Deps{})
	}
}

func TestBadConfigFiles(t *testing.T) {
	rpi := func(rest string) string {
		return "hardware: {kind: rpi, rpi: {" + rest + ", connectors: [{relay: GPIO17, plug: GPIO27, request: GPIO24}]}}"
	}
	rows := []configtest.Row{
		{Name: "4 password that all users can read", Want: "mqtt.password_file: ", Do: started(func(t *testing.T, cfg *app.Config) error {
			t.Helper()
			cfg.MQTT.Username, cfg.MQTT.PasswordFile = "agent", filepath.Join(t.TempDir(), "password")
			return errors.Join(os.WriteFile(cfg.MQTT.PasswordFile, []byte(configtest.Secret), 0o600), os.Chmod(cfg.MQTT.PasswordFile, 0o644))
		})},
		{Name: "10 text for a number", File: `hardware: {sim: {connectors: "8883x"}}`, Key: "hardware.sim.connectors", Want: "want a whole number"},
		{Name: "11 port 0", File: "mqtt: {url: 'tcp://localhost:0'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "11 port -1", File: "mqtt: {url: 'tcp://localhost:-1'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "11 port 70000", File: "mqtt: {url: 'tcp://localhost:70000'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "12 password in the URL", File: "mqtt: {url: 'tcp://u:" + configtest.Secret + "@localhost:1883'}", Key: "mqtt.url", Want: "mqtt.password_file"},
		{Name: "18 cp_id at its longest, upper case", File: "cp_id: CP_" + strings.Repeat("Z", 33)},
		{Name: "20 rated 0", File: "hardware: {sim: {rated_w: 0}}", Want: "rated_power: 0 W; use 1 to"},
		{Name: "20 rated -1", File: "hardware: {sim: {rated_w: -1}}", Want: "rated_power: -1 W; use 1 to"},
		{Name: "20 rated 0 on a board", File: rpi("rated_w: 0"), Key: "hardware.rpi.rated_w", Want: "0 W; use 1 to"},
		{Name: "20 rated more than a record can hold", File: rpi("rated_w: 10000001"), Key: "hardware.rpi.rated_w", Want: "10000001 W; use 1 to 10000000"},
		{Name: "20 rated 1 MW", File: rpi("rated_w: 1000000")},
		{Name: "21 negative", File: "intervals: {meter: -1s}", Key: "intervals.meter", Want: "not negative"},
		{Name: "21 without a unit", File: "intervals: {meter: 5}", Key: "intervals.meter", Want: "with a unit"},
		{Name: "21 overflow", File: "intervals: {meter: 9999999h}", Key: "intervals.meter", Want: "with a unit"},
		{Name: "23 journal in a file", Want: "not a directory", Do: started(func(_ *testing.T, cfg *app.Config) error {
			cfg.DataDir = filepath.Join(cfg.DataDir, "file", "journal")
			return os.WriteFile(filepath.Dir(cfg.DataDir), nil, 0o600)
		})},
		{Name: "23 journal nowhere", File: "data_dir: ''", Key: "data_dir", Want: "want a folder for the journal"},
		{Name: "24 pin used twice", File: "hardware: {kind: rpi, rpi: {connectors: [{relay: GPIO17, plug: GPIO17, request: GPIO24}]}}", Key: "hardware.rpi.connectors[0].plug", Want: "GPIO17 is used by connectors[0].relay already"},
		{Name: "27 prefix with a wildcard", File: "mqtt: {topic_prefix: '+/cp'}", Key: "mqtt.topic_prefix", Want: "want levels of"},
		{Name: "27 prefix too long", File: "mqtt: {topic_prefix: '" + strings.Repeat("a/", 200) + "a'}", Key: "mqtt.topic_prefix", Want: "at most 256 bytes"},
	}
	for name, id := range map[string]string{
		"empty": "", "with a slash": "CP/1", "with a plus": "CP+1", "with a hash": "CP#1", "with a dollar": "$SYS", "with a dot": "CP.1",
		"of 37": strings.Repeat("C", 37), "of 300": strings.Repeat("C", 300), "with a look-alike": "СP_1",
	} {
		rows = append(rows, configtest.Row{Name: "18 cp_id " + name, File: "cp_id: '" + id + "'", Key: "cp_id", Want: "want 1 to 36 of [A-Za-z0-9_-]"})
	}
	configtest.BadFiles(t, configtest.Program{
		Name: "agent", EnvPrefix: app.EnvPrefix, Sample: "../../configs/agent.yaml",
		Defaults: func() any { cfg := app.DefaultConfig(); return &cfg },
	}, rows)
}
