package app

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/wire"
)

// EnvPrefix begins the names of the environment variables that override the
// configuration file.
const EnvPrefix = "CARGA_BRIDGE_"

// Config is the configuration of a bridge.
type Config struct {
	// Name tells bridges apart in what they say of themselves.
	Name   string `yaml:"name"`
	MQTT   MQTT   `yaml:"mqtt"`
	Kafka  Kafka  `yaml:"kafka"`
	Buffer Buffer `yaml:"buffer"`
	// StopWithin is how long a stopping bridge goes on handing over what it
	// has received; the rest comes again by MQTT.
	StopWithin time.Duration `yaml:"stop_within"`
	Log        Log           `yaml:"log"`
}

// MQTT says how to reach the MQTT broker.
type MQTT struct {
	URL string `yaml:"url"`
	// ClientID names the session at the broker. It must stay the same over
	// restarts and differ between bridges.
	ClientID     string        `yaml:"client_id"`
	Username     string        `yaml:"username"`
	PasswordFile string        `yaml:"password_file"`
	TopicPrefix  string        `yaml:"topic_prefix"`
	KeepAlive    time.Duration `yaml:"keep_alive"`
}

// Kafka says how to reach Kafka.
type Kafka struct {
	Brokers  []string `yaml:"brokers"`
	ClientID string   `yaml:"client_id"`
	// Replication is the number of copies of a topic the bridge creates.
	Replication int    `yaml:"replication"`
	Topics      Topics `yaml:"topics"`
}

// Topics are the Kafka topics of the bridge.
type Topics struct {
	Events      Topic `yaml:"events"`
	Telemetry   Topic `yaml:"telemetry"`
	Monitor     Topic `yaml:"monitor"`
	Commands    Topic `yaml:"commands"`
	DeadLetters Topic `yaml:"dead_letters"`
}

// Topic is one Kafka topic.
type Topic struct {
	Name string `yaml:"name"`
	// Partitions must be the same at all who use the topic, and must not be
	// changed once it exists: the order per charging point would be lost.
	Partitions int `yaml:"partitions"`
	// Retention is used when the topic is created here.
	Retention time.Duration `yaml:"retention"`
}

// Buffer bounds what was received by MQTT and is not yet in Kafka.
type Buffer struct {
	Messages int `yaml:"messages"`
	Bytes    int `yaml:"bytes"`
}

// Log says what is logged.
type Log struct {
	Level string `yaml:"level"`
}

const day = 24 * time.Hour

// DefaultConfig is a bridge between brokers on this machine.
func DefaultConfig() Config {
	topic := func(name string, partitions int, keep time.Duration) Topic {
		return Topic{Name: name, Partitions: partitions, Retention: keep}
	}
	return Config{
		Name: "bridge",
		MQTT: MQTT{URL: "tcp://127.0.0.1:1883", ClientID: "carga-bridge", TopicPrefix: wire.DefaultPrefix, KeepAlive: 30 * time.Second},
		Kafka: Kafka{
			Brokers: []string{"127.0.0.1:9092"}, ClientID: "carga-bridge", Replication: 1,
			Topics: Topics{
				Events:      topic(wire.TopicEvents, 12, 35*day),
				Telemetry:   topic(wire.TopicTelemetry, 12, time.Hour),
				Monitor:     topic(wire.TopicMonitor, 12, day),
				Commands:    topic(wire.TopicCommands, 12, time.Hour),
				DeadLetters: topic(wire.TopicDeadLetters, 12, 90*day),
			},
		},
		Buffer:     Buffer{Messages: 100_000, Bytes: 64 << 20},
		StopWithin: 5 * time.Second,
		Log:        Log{Level: "info"},
	}
}

// SetPartitions sets the number of partitions of every topic.
func (k *Kafka) SetPartitions(n int) {
	for _, t := range k.Topics.all() {
		t.topic.Partitions = n
	}
}

type namedTopic struct {
	key   string
	topic *Topic
}

func (t *Topics) all() []namedTopic {
	return []namedTopic{
		{"events", &t.Events},
		{"telemetry", &t.Telemetry},
		{"monitor", &t.Monitor},
		{"commands", &t.Commands},
		{"dead_letters", &t.DeadLetters},
	}
}

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

// Validate implements config.Validator.
func (c *Config) Validate(p *config.Problems) {
	if !charge.ValidName(c.Name) {
		p.Addf("name", "want 1 to %d bytes without control characters", charge.MaxNameLength)
	}
	if c.StopWithin <= 0 || c.StopWithin > time.Minute {
		p.Addf("stop_within", "want a duration from 1ms to 1m")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		p.Addf("log.level", "want debug, info, warn or error")
	}
	if c.Buffer.Messages < 100 {
		p.Addf("buffer.messages", "want a whole number from 100")
	}
	if c.Buffer.Bytes < 1<<20 {
		p.Addf("buffer.bytes", "want a whole number from %d", 1<<20)
	}
	c.MQTT.validate(p)
	c.Kafka.validate(p)
}

func (m *MQTT) validate(p *config.Problems) {
	u, err := url.Parse(m.URL)
	if err != nil || !slices.Contains([]string{"tcp", "mqtt", "ssl", "tls", "mqtts"}, u.Scheme) || u.Hostname() == "" || !validPort(u.Port()) {
		p.Addf("mqtt.url", "want tcp://HOST:PORT or ssl://HOST:PORT")
	}
	if !charge.ValidName(m.ClientID) {
		p.Addf("mqtt.client_id", "want 1 to %d bytes without control characters; the session at the broker hangs on it", charge.MaxNameLength)
	}
	if err := (wire.Topics{Prefix: m.TopicPrefix}).Validate(); err != nil {
		p.Addf("mqtt.topic_prefix", "want levels of [A-Za-z0-9_-] between slashes")
	}
	if m.KeepAlive < time.Second || m.KeepAlive > 10*time.Minute {
		p.Addf("mqtt.keep_alive", "want a duration from 1s to 10m")
	}
	if m.PasswordFile != "" && m.Username == "" {
		p.Addf("mqtt.username", "want a name beside mqtt.password_file")
	}
}

func (k *Kafka) validate(p *config.Problems) {
	if len(k.Brokers) == 0 {
		p.Addf("kafka.brokers", "want at least one HOST:PORT")
	}
	for _, b := range k.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || !validPort(port) {
			p.Addf("kafka.brokers", "want HOST:PORT, got %q", b)
		}
	}
	if !charge.ValidName(k.ClientID) {
		p.Addf("kafka.client_id", "want 1 to %d bytes without control characters", charge.MaxNameLength)
	}
	if k.Replication < 1 || k.Replication > 100 {
		p.Addf("kafka.replication", "want a whole number from 1 to 100")
	}
	seen := map[string]string{}
	for _, t := range k.Topics.all() {
		key := "kafka.topics." + t.key
		if !validTopic(t.topic.Name) {
			p.Addf(key+".name", "want 1 to 249 of [A-Za-z0-9._-], not . or ..")
		} else if other, ok := seen[t.topic.Name]; ok {
			p.Addf(key+".name", "want a topic of its own; %s has this one", other)
		}
		seen[t.topic.Name] = key
		if t.topic.Partitions < 1 || t.topic.Partitions > 10_000 {
			p.Addf(key+".partitions", "want a whole number from 1 to 10000")
		}
		if t.topic.Retention < time.Minute {
			p.Addf(key+".retention", "want a duration from 1m")
		}
	}
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// validTopic is Kafka's rule for the name of a topic.
func validTopic(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 249 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !charge.ValidID(string(c)) && c != '.' {
			return false
		}
	}
	return true
}
