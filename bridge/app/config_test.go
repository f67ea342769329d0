package app_test

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/config"
)

const sample = "../../configs/bridge.yaml"

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
		"mqtt.url":                        "CARGA_BRIDGE_MQTT__URL=localhost",
		"mqtt.client_id":                  "CARGA_BRIDGE_MQTT__CLIENT_ID=",
		"mqtt.topic_prefix":               "CARGA_BRIDGE_MQTT__TOPIC_PREFIX=a/+",
		"mqtt.keep_alive":                 "CARGA_BRIDGE_MQTT__KEEP_ALIVE=1h",
		"mqtt.username":                   "CARGA_BRIDGE_MQTT__PASSWORD_FILE=/run/secret",
		"kafka.brokers":                   "CARGA_BRIDGE_KAFKA__BROKERS=localhost",
		"kafka.replication":               "CARGA_BRIDGE_KAFKA__REPLICATION=0",
		"kafka.topics.events.partitions":  "CARGA_BRIDGE_KAFKA__TOPICS__EVENTS__PARTITIONS=0",
		"kafka.topics.events.name":        "CARGA_BRIDGE_KAFKA__TOPICS__EVENTS__NAME=a b",
		"kafka.topics.telemetry.name":     "CARGA_BRIDGE_KAFKA__TOPICS__TELEMETRY__NAME=cp-events",
		"kafka.topics.commands.retention": "CARGA_BRIDGE_KAFKA__TOPICS__COMMANDS__RETENTION=1s",
		"buffer.messages":                 "CARGA_BRIDGE_BUFFER__MESSAGES=1",
		"buffer.bytes":                    "CARGA_BRIDGE_BUFFER__BYTES=1",
		"stop_within":                     "CARGA_BRIDGE_STOP_WITHIN=1h",
		"log.level":                       "CARGA_BRIDGE_LOG__LEVEL=loud",
		"name":                            "CARGA_BRIDGE_NAME=",
	} {
		cfg := app.DefaultConfig()
		err := config.Load(&cfg, config.Options{EnvPrefix: app.EnvPrefix, Environ: []string{set}})
		faults, ok := errors.AsType[*config.Error](err)
		if !ok || len(faults.Faults) != 1 || faults.Faults[0].Key != key {
			t.Errorf("%s: got %v, want one fault of %s", set, err, key)
		}
	}
}
