package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/config/configtest"
)

// withPassword starts a bridge whose password stands in a file.
func withPassword(content string, mode os.FileMode) func(t *testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		cfg := app.DefaultConfig()
		cfg.MQTT.Username, cfg.MQTT.PasswordFile = "bridge", filepath.Join(t.TempDir(), "password")
		if err := errors.Join(os.WriteFile(cfg.MQTT.PasswordFile, []byte(content), mode), os.Chmod(cfg.MQTT.PasswordFile, mode)); err != nil {
			return err
		}
		return app.Run(t.Context(), cfg, app.Deps{})
	}
}

func TestBadConfigFiles(t *testing.T) {
	configtest.BadFiles(t, configtest.Program{
		Name: "bridge", EnvPrefix: app.EnvPrefix, Sample: "../../configs/bridge.yaml", Defaults: newConfig,
	}, []configtest.Row{
		{Name: "4 world-readable password", Want: "mqtt.password_file: ", Do: withPassword(configtest.Secret, 0o644)},
		{Name: "4 password of two lines", Want: "want one line", Do: withPassword(configtest.Secret+"\nx", 0o600)},
		{Name: "4 empty password", Want: "is empty, want one line", Do: withPassword("\n", 0o600)},
		{Name: "10 text for a number", File: `buffer: {messages: "8883x"}`, Key: "buffer.messages", Want: "want a whole number"},
		{Name: "11 port 0", File: "mqtt: {url: 'tcp://localhost:0'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "11 port -1", File: "mqtt: {url: 'tcp://localhost:-1'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "11 port 70000", File: "mqtt: {url: 'tcp://localhost:70000'}", Key: "mqtt.url", Want: "want tcp://HOST:PORT"},
		{Name: "11 port 70000 of Kafka", File: "kafka: {brokers: ['localhost:70000']}", Key: "kafka.brokers", Want: "want HOST:PORT"},
		{Name: "12 password in the URL", File: "mqtt: {url: 'tcp://u:" + configtest.Secret + "@localhost:1883'}", Key: "mqtt.url", Want: "mqtt.password_file"},
		{Name: "12 password before a broker of Kafka", File: "kafka: {brokers: ['ok:9092', 'u@localhost:9092']}", Key: "kafka.brokers", Want: "number 2"},
		{Name: "12 user and password before a broker of Kafka", File: "kafka: {brokers: ['u:" + configtest.Secret + "@localhost:9092']}", Key: "kafka.brokers", Want: "without a scheme or a password"},
		{Name: "21 negative", File: "stop_within: -5s", Key: "stop_within", Want: "not negative"},
		{Name: "21 without a unit", File: "stop_within: 5", Key: "stop_within", Want: "with a unit"},
		{Name: "21 overflow", File: "kafka: {topics: {events: {retention: 9999999h}}}", Key: "kafka.topics.events.retention", Want: "want a duration"},
		{Name: "27 prefix with a wildcard", File: "mqtt: {topic_prefix: 'cp/#'}", Key: "mqtt.topic_prefix", Want: "want levels of"},
		{Name: "27 prefix too long", File: "mqtt: {topic_prefix: '" + strings.Repeat("a/", 200) + "a'}", Key: "mqtt.topic_prefix", Want: "at most 256 bytes"},
	})
}
