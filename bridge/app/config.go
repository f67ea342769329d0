package app

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// EnvPrefix begins the names of the environment variables that override the
// configuration file.
const EnvPrefix = "CARGA_BRIDGE_"

// Config is the configuration of a bridge.
type Config struct {
	// Name distinguishes bridges in their heartbeats.
	Name   string `yaml:"name"`
	MQTT   MQTT   `yaml:"mqtt"`
	Kafka  Kafka  `yaml:"kafka"`
	Buffer Buffer `yaml:"buffer"`
	// StopWithin is how long a stopping bridge goes on writing what it has
	// received. The rest is redelivered by MQTT.
	StopWithin time.Duration `yaml:"stop_within"`
	// Observe is where health and metrics are served.
	Observe observe.Config `yaml:"observe"`
	Log     logs.Config    `yaml:"log"`
}

// MQTT is how to reach the MQTT broker.
type MQTT struct {
	// URL is tcp://HOST:PORT or ssl://HOST:PORT, without a password.
	URL string `yaml:"url"`
	// ClientID names the session at the broker. It must stay the same over
	// restarts, or the session is lost, and differ between bridges, or they
	// disconnect each other.
	ClientID string `yaml:"client_id"`
	// Shared is set in each of several bridges that have one client id: one of them is
	// active, the others stand by.
	Shared       bool   `yaml:"shared"`
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// TopicPrefix is the first level, or levels, of all topics; agents have the
	// same.
	TopicPrefix string        `yaml:"topic_prefix"`
	KeepAlive   time.Duration `yaml:"keep_alive"`
}

// Kafka is how to reach Kafka, with the topics of the bridge.
type Kafka struct {
	kafkalink.Settings
	Topics Topics `yaml:"topics"`
}

// Topics are the Kafka topics of the bridge.
type Topics struct {
	Events      kafkalink.TopicSettings `yaml:"events"`
	Telemetry   kafkalink.TopicSettings `yaml:"telemetry"`
	Monitor     kafkalink.TopicSettings `yaml:"monitor"`
	Commands    kafkalink.TopicSettings `yaml:"commands"`
	DeadLetters kafkalink.TopicSettings `yaml:"dead_letters"`
}

// Buffer is the high-water mark of what was received by MQTT and is not yet in
// Kafka.
type Buffer struct {
	// Messages is exported as the metric buffer_limit_records.
	Messages int `yaml:"messages"`
	// Bytes bounds memory; small events reach Messages first.
	Bytes int `yaml:"bytes"`
}

// day is a unit for retention times.
const day = 24 * time.Hour

// DefaultConfig returns the configuration of a bridge between brokers on this
// machine.
func DefaultConfig() Config {
	topic := kafkalink.DefaultTopic
	return Config{
		Name: "bridge",
		MQTT: MQTT{URL: "tcp://127.0.0.1:1883", ClientID: "carga-bridge", TopicPrefix: wire.DefaultPrefix, KeepAlive: 30 * time.Second},
		Kafka: Kafka{
			Settings: kafkalink.LocalSettings("carga-bridge"),
			Topics: Topics{
				Events:      topic(wire.TopicEvents, 35*day),
				Telemetry:   topic(wire.TopicTelemetry, time.Hour),
				Monitor:     topic(wire.TopicMonitor, day),
				Commands:    topic(wire.TopicCommands, time.Hour),
				DeadLetters: topic(wire.TopicDeadLetters, 90*day),
			},
		},
		Buffer:     Buffer{Messages: 100_000, Bytes: 64 << 20},
		StopWithin: 5 * time.Second,
		Observe:    observe.Config{Listen: "127.0.0.1:9464"},
		Log:        logs.Config{Level: "info"},
	}
}

// SetPartitions sets the number of partitions of every topic.
func (k *Kafka) SetPartitions(n int) { kafkalink.SetPartitions(k.Topics.all(), n) }

// all returns the topics with their keys in the configuration.
func (t *Topics) all() []kafkalink.KeyedTopic {
	return []kafkalink.KeyedTopic{
		{Key: "events", Topic: &t.Events},
		{Key: "telemetry", Topic: &t.Telemetry},
		{Key: "monitor", Topic: &t.Monitor},
		{Key: "commands", Topic: &t.Commands},
		{Key: "dead_letters", Topic: &t.DeadLetters},
	}
}

// router returns the router for the configured topics.
func (c *Config) router() route.Router {
	t := c.Kafka.Topics
	return route.Router{
		MQTT: wire.Topics{Prefix: c.MQTT.TopicPrefix},
		Kafka: route.Topics{
			Events: t.Events.Name, Telemetry: t.Telemetry.Name, Monitor: t.Monitor.Name,
			Commands: t.Commands.Name, DeadLetters: t.DeadLetters.Name,
		},
	}
}

// Validate implements config.Validator. It reports all problems at once.
func (c *Config) Validate(p *config.Problems) {
	if !charge.ValidName(c.Name) {
		p.Addf("name", "want 1 to %d bytes without control characters", charge.MaxNameLength)
	}
	if c.StopWithin <= 0 || c.StopWithin > time.Minute {
		p.Addf("stop_within", "want a duration from 1ms to 1m")
	}
	c.Log.Validate(p)
	if c.Buffer.Messages < 100 {
		p.Addf("buffer.messages", "want a whole number from 100")
	}
	if c.Buffer.Bytes < 1<<20 {
		p.Addf("buffer.bytes", "want a whole number from %d", 1<<20)
	}
	c.Observe.Validate(p)
	c.MQTT.validate(p)
	c.Kafka.Validate(p.In("kafka"), c.Kafka.Topics.all())
}

// validate is Validate for the section mqtt.
func (m *MQTT) validate(p *config.Problems) {
	u, err := url.Parse(m.URL)
	if err != nil || !slices.Contains([]string{"tcp", "mqtt", "ssl", "tls", "mqtts"}, u.Scheme) || u.Hostname() == "" || !validPort(u.Port()) {
		p.Addf("mqtt.url", "want tcp://HOST:PORT or ssl://HOST:PORT")
	} else if u.User != nil {
		p.Addf("mqtt.url", "want no password in it; mqtt.username and mqtt.password_file are for that")
	}
	if !charge.ValidName(m.ClientID) {
		p.Addf("mqtt.client_id", "want 1 to %d bytes without control characters; it names the session at the broker", charge.MaxNameLength)
	}
	if err := (wire.Topics{Prefix: m.TopicPrefix}).Validate(); err != nil {
		p.Addf("mqtt.topic_prefix", "want levels of [A-Za-z0-9_-] between slashes, at most 256 bytes")
	}
	if m.KeepAlive < time.Second || m.KeepAlive > 10*time.Minute {
		p.Addf("mqtt.keep_alive", "want a duration from 1s to 10m")
	}
	if m.PasswordFile != "" && m.Username == "" {
		p.Addf("mqtt.username", "want a name beside mqtt.password_file")
	}
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
