package app_test

import (
	"testing"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/config/configtest"
)

func newConfig() any {
	cfg := app.DefaultConfig()
	return &cfg
}

func TestTheSampleIsTheDefault(t *testing.T) {
	configtest.SampleIsDefault(t, "../../configs/bridge.yaml", newConfig)
}

func TestBadConfigNamesTheKey(t *testing.T) {
	configtest.NamesTheKey(t, app.EnvPrefix, newConfig, map[string]string{
		"mqtt.url":          "MQTT__URL=localhost",
		"mqtt.client_id":    "MQTT__CLIENT_ID=",
		"mqtt.topic_prefix": "MQTT__TOPIC_PREFIX=a/+",
		"mqtt.keep_alive":   "MQTT__KEEP_ALIVE=1h",
		"mqtt.username":     "MQTT__PASSWORD_FILE=/run/secret",
		"kafka.brokers":     "KAFKA__BROKERS=localhost",
		"buffer.messages":   "BUFFER__MESSAGES=1",
		"buffer.bytes":      "BUFFER__BYTES=1",
		"stop_within":       "STOP_WITHIN=1h",
		"log.level":         "LOG__LEVEL=loud",
		"observe.listen":    "OBSERVE__LISTEN=0.0.0.0:9464",
		"name":              "NAME=",
	})
}
