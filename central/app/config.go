package app

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/loopback"
	"github.com/carga-ev/carga/internal/wire"
)

// EnvPrefix begins the names of the environment variables that override the
// configuration file.
const EnvPrefix = "CARGA_CENTRAL_"

// Config is the configuration of a Central.
type Config struct {
	HTTP     HTTP     `yaml:"http"`
	Database Database `yaml:"database"`
	Kafka    Kafka    `yaml:"kafka"`
	Network  Network  `yaml:"network"`
	Tariff   Tariff   `yaml:"tariff"`
	// Insecure lets the page be reached from other machines although there are
	// no accounts.
	Insecure bool `yaml:"insecure"`
	Log      Log  `yaml:"log"`

	// TakeOver does not wait until another Central is silent, and lifts a fence.
	// It is a word for one start, so it stands on the command line only.
	TakeOver bool
}

// HTTP says where the page and the API are served.
type HTTP struct {
	Listen string `yaml:"listen"`
}

// Database says where the state of the network is kept.
type Database struct {
	Path string `yaml:"path"`
	// Retention is how long the bytes of records, commands that ended and dead
	// letters are kept. Sessions, tickets, holes and positions are kept for ever.
	Retention time.Duration `yaml:"retention"`
}

// Kafka says how to reach Kafka, and names its topics.
type Kafka struct {
	kafkalink.Settings
	Topics Topics `yaml:"topics"`
}

// Topics are the Kafka topics of Central.
type Topics struct {
	Events        kafkalink.TopicSettings `yaml:"events"`
	Telemetry     kafkalink.TopicSettings `yaml:"telemetry"`
	Monitor       kafkalink.TopicSettings `yaml:"monitor"`
	Commands      kafkalink.TopicSettings `yaml:"commands"`
	DriverEvents  kafkalink.TopicSettings `yaml:"driver_events"`
	CentralEvents kafkalink.TopicSettings `yaml:"central_events"`
	DeadLetters   kafkalink.TopicSettings `yaml:"dead_letters"`
}

// Network holds the rules of reservations and admission.
type Network struct {
	// AdmitAutomatically lets every charging point take part as it appears.
	AdmitAutomatically bool `yaml:"admit_automatically"`
	// Drivers are those who may ask; empty means everybody.
	Drivers []string `yaml:"drivers"`
	// Reservation is how long a connector is kept for a driver.
	Reservation time.Duration `yaml:"reservation"`
	// ReservationsPerDriver is how many a driver may hold at a time.
	ReservationsPerDriver int `yaml:"reservations_per_driver"`
	// AskFor is how long each charging point asked for a driver may take.
	AskFor time.Duration `yaml:"ask_for"`
	// MaxAsked is how many are asked before the driver is refused.
	MaxAsked int `yaml:"max_asked"`
	// StartWait is how long an order to start waits for the plug when there is
	// no reservation.
	StartWait time.Duration `yaml:"start_wait"`
}

// Tariff is the version of the prices that new reservations and starts name. A
// version never changes: new prices need a new one.
type Tariff struct {
	Version  string `yaml:"version"`
	StartFee int64  `yaml:"start_fee_cents"`
	PerKWh   int64  `yaml:"per_kwh_cents"`
	Currency string `yaml:"currency"`
}

// Log says what is logged.
type Log struct {
	Level string `yaml:"level"`
}

const day = 24 * time.Hour

// DefaultConfig is a Central beside a Kafka on this machine.
func DefaultConfig() Config {
	topic := func(name string, keep time.Duration) kafkalink.TopicSettings {
		return kafkalink.TopicSettings{Name: name, Partitions: 12, Retention: keep}
	}
	return Config{
		HTTP:     HTTP{Listen: "127.0.0.1:8080"},
		Database: Database{Path: "central.db", Retention: 35 * day},
		Kafka: Kafka{
			Settings: kafkalink.LocalSettings("carga-central"),
			Topics: Topics{
				Events:        topic(wire.TopicEvents, 35*day),
				Telemetry:     topic(wire.TopicTelemetry, time.Hour),
				Monitor:       topic(wire.TopicMonitor, day),
				Commands:      topic(wire.TopicCommands, time.Hour),
				DriverEvents:  topic(wire.TopicDriverEvents, 7*day),
				CentralEvents: topic(wire.TopicCentralEvents, 7*day),
				DeadLetters:   topic(wire.TopicDeadLetters, 90*day),
			},
		},
		Network: Network{
			Reservation: 15 * time.Minute, ReservationsPerDriver: 1, AskFor: 1500 * time.Millisecond,
			MaxAsked: 3, StartWait: 2 * time.Minute,
		},
		Tariff: Tariff{Version: "standard-1", StartFee: 100, PerKWh: 45, Currency: "EUR"},
		Log:    Log{Level: "info"},
	}
}

// SetPartitions sets the number of partitions of every topic.
func (k *Kafka) SetPartitions(n int) {
	for _, t := range k.Topics.all() {
		t.Topic.Partitions = n
	}
}

func (t *Topics) all() []kafkalink.KeyedTopic {
	return []kafkalink.KeyedTopic{
		{Key: "events", Topic: &t.Events},
		{Key: "telemetry", Topic: &t.Telemetry},
		{Key: "monitor", Topic: &t.Monitor},
		{Key: "commands", Topic: &t.Commands},
		{Key: "driver_events", Topic: &t.DriverEvents},
		{Key: "central_events", Topic: &t.CentralEvents},
		{Key: "dead_letters", Topic: &t.DeadLetters},
	}
}

func (t *Tariff) ledger() ledger.Tariff {
	return ledger.Tariff{
		Version: charge.TariffVersion(t.Version), StartFee: charge.Cents(t.StartFee), PerKWh: charge.Cents(t.PerKWh), Currency: t.Currency,
	}
}

func (c *Config) orders() orders.Config {
	n := &c.Network
	o := orders.Config{
		ReservationLife: n.Reservation, PerDriver: n.ReservationsPerDriver, AskFor: n.AskFor, MaxAsked: n.MaxAsked,
		StartWait: n.StartWait, Tariff: charge.TariffVersion(c.Tariff.Version),
	}
	for _, d := range n.Drivers {
		o.Drivers = append(o.Drivers, charge.Username(d))
	}
	return o
}

// Validate implements config.Validator.
func (c *Config) Validate(p *config.Problems) {
	c.validateHTTP(p)
	if c.Database.Path == "" {
		p.Addf("database.path", "want the path of a file")
	}
	if c.Database.Retention < day {
		p.Addf("database.retention", "want a duration from %s", day)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		p.Addf("log.level", "want debug, info, warn or error")
	}
	c.Kafka.Validate(p.In("kafka"), c.Kafka.Topics.all())
	c.Network.validate(p)
	c.Tariff.validate(p)
}

func (c *Config) validateHTTP(p *config.Problems) {
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		p.Addf("http.listen", "want HOST:PORT; port 0 picks a free one")
		return
	}
	if !c.Insecure && !loopback.Host(host) {
		p.Addf("http.listen", "want a loopback address such as 127.0.0.1: there are no accounts yet, so who reaches the page may do everything; insecure: true (or --insecure) allows it")
	}
}

func (n *Network) validate(p *config.Problems) {
	within := func(key string, d, lo, hi time.Duration) {
		if d < lo || d > hi {
			p.Addf("network."+key, "want a duration from %s to %s", lo, hi)
		}
	}
	within("reservation", n.Reservation, 10*time.Second, day)
	within("ask_for", n.AskFor, 100*time.Millisecond, 5*time.Second)
	within("start_wait", n.StartWait, time.Second, time.Hour)
	if n.ReservationsPerDriver < 1 || n.ReservationsPerDriver > 100 {
		p.Addf("network.reservations_per_driver", "want a whole number from 1 to 100")
	}
	if n.MaxAsked < 1 || n.MaxAsked > 10 || time.Duration(n.MaxAsked)*n.AskFor > 5*time.Second {
		p.Addf("network.max_asked", "want 1 to 10, and max_asked times ask_for within the 5s in which a driver is answered")
	}
	for i, d := range n.Drivers {
		if !charge.ValidName(d) {
			p.Addf(fmt.Sprintf("network.drivers[%d]", i), "want 1 to %d bytes without control characters", charge.MaxNameLength)
		}
	}
}

// maxCents bounds prices far below where a product with a register overflows.
const maxCents = 1_000_000

func (t *Tariff) validate(p *config.Problems) {
	if !charge.ValidID(t.Version) {
		p.Addf("tariff.version", "want 1 to %d of [A-Za-z0-9_-]", charge.MaxIDLength)
	}
	if t.StartFee < 0 || t.StartFee > maxCents {
		p.Addf("tariff.start_fee_cents", "want a whole number of cents from 0 to %d", maxCents)
	}
	if t.PerKWh < 0 || t.PerKWh > maxCents {
		p.Addf("tariff.per_kwh_cents", "want a whole number of cents from 0 to %d", maxCents)
	}
	if len(t.Currency) != 3 || strings.Trim(t.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		p.Addf("tariff.currency", "want three capital letters of ISO 4217, such as EUR")
	}
}
