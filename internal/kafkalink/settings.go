package kafkalink

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
)

// Settings is the section of a program's configuration about reaching Kafka. It is
// embedded in a struct that adds the topics of the program.
type Settings struct {
	Brokers  []string `yaml:"brokers"` // HOST:PORT each
	ClientID string   `yaml:"client_id"`
	// Replication is the number of copies of a topic created here.
	Replication int `yaml:"replication"`
}

// TopicSettings is one topic in a configuration.
type TopicSettings struct {
	Name string `yaml:"name"`
	// Partitions is the number with which a missing topic is created. A topic that
	// exists is used with the partitions that it has.
	Partitions int `yaml:"partitions"`
	// Retention is how long records are kept, if the topic is created here.
	Retention time.Duration `yaml:"retention"`
}

// KeyedTopic is a topic with its key in the configuration, below "topics".
type KeyedTopic struct {
	Key   string
	Topic *TopicSettings
}

// LocalSettings returns the settings for one broker on this machine.
func LocalSettings(clientID string) Settings {
	return Settings{Brokers: []string{"127.0.0.1:9092"}, ClientID: clientID, Replication: 1}
}

// Spec returns what a TopicWatcher needs to create the topic.
func (s *Settings) Spec(t *TopicSettings) TopicSpec {
	return TopicSpec{Name: t.Name, Partitions: t.Partitions, Replication: s.Replication, Retention: t.Retention}
}

// Specs returns the specs of all topics.
func (s *Settings) Specs(topics []KeyedTopic) []TopicSpec {
	specs := make([]TopicSpec, 0, len(topics))
	for _, t := range topics {
		specs = append(specs, s.Spec(t.Topic))
	}
	return specs
}

// DefaultTopic returns the settings of a topic with 12 partitions, which is enough
// for a large network and cheap for a small one.
func DefaultTopic(name string, retention time.Duration) TopicSettings {
	return TopicSettings{Name: name, Partitions: 12, Retention: retention}
}

// SetPartitions sets the number of partitions of all topics, for tests and
// simulated networks.
func SetPartitions(topics []KeyedTopic, n int) {
	for _, t := range topics {
		t.Topic.Partitions = n
	}
}

// Validate adds to p what is wrong with the settings and the topics. p collects
// below the key of the settings.
func (s *Settings) Validate(p *config.Problems, topics []KeyedTopic) {
	if len(s.Brokers) == 0 {
		p.Addf("brokers", "want at least one HOST:PORT")
	}
	for i, b := range s.Brokers {
		host, port, err := net.SplitHostPort(b)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, "@/") || perr != nil || n == 0 {
			p.Addf("brokers", "want HOST:PORT, without a scheme or a password; number %d is something else", i+1)
		}
	}
	if !charge.ValidName(s.ClientID) {
		p.Addf("client_id", "want 1 to %d bytes without control characters", charge.MaxNameLength)
	}
	if s.Replication < 1 || s.Replication > 100 {
		p.Addf("replication", "want a whole number from 1 to 100")
	}
	seen := map[string]string{}
	for _, t := range topics {
		key := "topics." + t.Key
		if !validTopic(t.Topic.Name) {
			p.Addf(key+".name", "want 1 to 249 of [A-Za-z0-9._-], not . or ..")
		} else if other, ok := seen[t.Topic.Name]; ok {
			p.Addf(key+".name", "want a topic of its own; %s has this one", other)
		}
		seen[t.Topic.Name] = key
		if t.Topic.Partitions < 1 || t.Topic.Partitions > 10_000 {
			p.Addf(key+".partitions", "want a whole number from 1 to 10000")
		}
		if t.Topic.Retention < time.Minute {
			p.Addf(key+".retention", "want a duration from 1m")
		}
	}
}

// validTopic applies Kafka's rule for names of topics.
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
