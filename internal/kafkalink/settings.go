package kafkalink

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
)

// Settings is the part of a program's configuration that says how to reach
// Kafka. Embedded, its keys stand beside the program's own topics.
type Settings struct {
	Brokers  []string `yaml:"brokers"` // HOST:PORT each
	ClientID string   `yaml:"client_id"`
	// Replication is the number of copies of a topic created here.
	Replication int `yaml:"replication"`
}

// TopicSettings is one topic in a configuration.
type TopicSettings struct {
	Name string `yaml:"name"`
	// Partitions is how many the topic is created with. One that exists is used
	// with those it has.
	Partitions int `yaml:"partitions"`
	// Retention is used when the topic is created here.
	Retention time.Duration `yaml:"retention"`
}

// KeyedTopic is a topic with its key below "topics".
type KeyedTopic struct {
	Key   string
	Topic *TopicSettings
}

// LocalSettings are those of a Kafka with one broker on this machine.
func LocalSettings(clientID string) Settings {
	return Settings{Brokers: []string{"127.0.0.1:9092"}, ClientID: clientID, Replication: 1}
}

// Spec is what the keeper needs to know of a topic.
func (s *Settings) Spec(t *TopicSettings) TopicSpec {
	return TopicSpec{Name: t.Name, Partitions: t.Partitions, Replication: s.Replication, Retention: t.Retention}
}

// Validate tells p, which collects below the key of the settings, what is wrong
// with them and with the topics.
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
