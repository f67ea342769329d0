package kafkalink_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/config/configtest"
	"github.com/carga-ev/carga/internal/kafkalink"
)

// program is the configuration of a program with two topics.
type program struct {
	Kafka struct {
		kafkalink.Settings
		Topics struct {
			Events  kafkalink.TopicSettings `yaml:"events"`
			Monitor kafkalink.TopicSettings `yaml:"monitor"`
		} `yaml:"topics"`
	} `yaml:"kafka"`
}

func (c *program) Validate(p *config.Problems) {
	t := &c.Kafka.Topics
	c.Kafka.Validate(p.In("kafka"), []kafkalink.KeyedTopic{{Key: "events", Topic: &t.Events}, {Key: "monitor", Topic: &t.Monitor}})
}

func newProgram() any {
	c := &program{}
	c.Kafka.Settings = kafkalink.LocalSettings("program")
	c.Kafka.Topics.Events = kafkalink.TopicSettings{Name: "events", Partitions: 3, Retention: time.Hour}
	c.Kafka.Topics.Monitor = kafkalink.TopicSettings{Name: "monitor", Partitions: 3, Retention: time.Hour}
	return c
}

func TestBadSettingsNameTheKey(t *testing.T) {
	configtest.NamesTheKey(t, "P_", newProgram, map[string]string{
		"kafka.brokers":                  "KAFKA__BROKERS=localhost",
		"kafka.client_id":                "KAFKA__CLIENT_ID=",
		"kafka.replication":              "KAFKA__REPLICATION=0",
		"kafka.topics.events.partitions": "KAFKA__TOPICS__EVENTS__PARTITIONS=0",
		"kafka.topics.events.name":       "KAFKA__TOPICS__EVENTS__NAME=a b",
		"kafka.topics.monitor.name":      "KAFKA__TOPICS__MONITOR__NAME=events",
		"kafka.topics.monitor.retention": "KAFKA__TOPICS__MONITOR__RETENTION=1s",
	})
	for _, broker := range []string{"", "host", "host:", ":9092", "host:0", "host:65536", "host:http"} {
		configtest.NamesTheKey(t, "P_", newProgram, map[string]string{"kafka.brokers": "KAFKA__BROKERS=" + broker})
	}
	for _, name := range []string{"", ".", "..", "a/b", "ä", "a\nb"} {
		configtest.NamesTheKey(t, "P_", newProgram, map[string]string{"kafka.topics.events.name": "KAFKA__TOPICS__EVENTS__NAME=" + name})
	}
}

func TestGoodSettings(t *testing.T) {
	for _, set := range []string{"BROKERS=kafka-1.example:9092,[::1]:9093", "TOPICS__EVENTS__NAME=site.A_1-events", "REPLICATION=3"} {
		if err := config.Load(newProgram(), config.Options{EnvPrefix: "P_", Environ: []string{"P_KAFKA__" + set}}); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestSpec(t *testing.T) {
	s := kafkalink.Settings{Replication: 3}
	got := s.Spec(&kafkalink.TopicSettings{Name: "events", Partitions: 12, Retention: time.Hour})
	if want := (kafkalink.TopicSpec{Name: "events", Partitions: 12, Replication: 3, Retention: time.Hour}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
