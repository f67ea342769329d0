package app

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// EnvPrefix begins the names of the environment variables that override the
// configuration file.
const EnvPrefix = "CARGA_CENTRAL_"

// Config is the configuration of a Central.
type Config struct {
	HTTP     HTTP        `yaml:"http"`
	Web      Web         `yaml:"web"`
	Database Database    `yaml:"database"`
	Kafka    Kafka       `yaml:"kafka"`
	Network  Network     `yaml:"network"`
	Tariff   Tariff      `yaml:"tariff"`
	Client   Client      `yaml:"client"`
	Log      logs.Config `yaml:"log"`

	// Takeover does not wait until another Central is silent, and lifts a
	// fence. It is meant for one start, so only the command line can set it.
	Takeover bool
}

// HTTP is where the page and the API are served.
type HTTP struct {
	Listen string `yaml:"listen"`
	// PublicURL is where browsers reach the page through a reverse proxy,
	// including the path under which the proxy serves it; empty: at Listen.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are the addresses of proxies, alone or as ADDRESS/BITS,
	// whose X-Forwarded-Host and X-Forwarded-Proto are trusted.
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// Client is how the commands that ask a running Central reach it.
type Client struct {
	// URL is its address; empty: http.public_url, or else http.listen.
	URL string `yaml:"url"`
	// TokenFile has the secret of a token; empty: no token is sent.
	TokenFile string `yaml:"token_file"`
}

// ClientURL returns the address at which the commands reach Central.
func (c *Config) ClientURL() string {
	scheme := "http://"
	if c.Web.TLS.used() {
		scheme = "https://"
	}
	return cmp.Or(c.Client.URL, c.HTTP.PublicURL, scheme+c.HTTP.Listen)
}

// publicURL parses PublicURL; nil if it is empty.
func (h *HTTP) publicURL() (*url.URL, error) {
	if h.PublicURL == "" {
		return nil, nil
	}
	u, err := url.Parse(h.PublicURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Opaque != "" || path.Clean("/"+u.Path) != "/"+strings.Trim(u.Path, "/") {
		return nil, errors.New("want http://HOST or https://HOST, with a port and a path if there are any, such as https://ops.example/carga")
	}
	return u, nil
}

// proxies parses TrustedProxies; at is the index of the first invalid one.
func (h *HTTP) proxies() (all []netip.Prefix, at int, err error) {
	for i, s := range h.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil {
			return nil, i, errors.New("want an IP address, or a network as ADDRESS/BITS, such as 127.0.0.1 or 10.0.0.0/8")
		}
		all = append(all, p)
	}
	return all, 0, nil
}

// Database is where the state of the network is kept.
type Database struct {
	Path string `yaml:"path"`
	// Retention is how long raw records, ended commands and dead letters are
	// kept. Sessions, tickets, gaps and positions are kept for ever.
	Retention time.Duration `yaml:"retention"`
}

// Kafka is how to reach Kafka, and the names of its topics.
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

// Network has the rules of reservations and admission.
type Network struct {
	// AdmitAutomatically admits every charging point when its first record
	// arrives.
	AdmitAutomatically bool `yaml:"admit_automatically"`
	// Drivers are the usernames that may use the network; empty means all.
	Drivers []string `yaml:"drivers"`
	// Reservation is how long a connector is kept for a driver.
	Reservation time.Duration `yaml:"reservation"`
	// ReservationsPerDriver is how many a driver may hold at a time.
	ReservationsPerDriver int `yaml:"reservations_per_driver"`
	// AskFor is how long each charging point may take to confirm a reservation.
	AskFor time.Duration `yaml:"ask_for"`
	// MaxAsked is how many charging points are tried before the driver is
	// refused.
	MaxAsked int `yaml:"max_asked"`
	// StartWait is how long a start without a reservation waits for the plug.
	StartWait time.Duration `yaml:"start_wait"`
	// SilentSessionAfter is how long a charging point may be silent during a
	// session before an alarm is raised.
	SilentSessionAfter time.Duration `yaml:"silent_session_after"`
}

// Tariff is the version of the prices for new reservations and starts. A
// version never changes: new prices need a new version.
//
// Each price is given once: as a decimal in the main unit of the currency, or
// under its older key in whole minor units. Defaults are 1 main unit per start
// and 0.45 per kWh. Prices are strings, so that no float rounds them.
type Tariff struct {
	Version       string `yaml:"version"`
	Currency      string `yaml:"currency"`
	StartFee      string `yaml:"start_fee"`
	PerKWh        string `yaml:"per_kwh"`
	StartFeeCents string `yaml:"start_fee_cents"`
	PerKWhCents   string `yaml:"per_kwh_cents"`
}

// Prices if the configuration has none, in the main unit of the currency.
const (
	defaultStartFee = "1.00"
	defaultPerKWh   = "0.45"
)

const day = 24 * time.Hour

// DefaultConfig is a Central beside a Kafka on the same machine.
func DefaultConfig() Config {
	topic := kafkalink.DefaultTopic
	return Config{
		HTTP:     HTTP{Listen: "127.0.0.1:8080"},
		Web:      Web{Access: AccessAccounts},
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
			MaxAsked: 3, StartWait: 2 * time.Minute, SilentSessionAfter: 5 * time.Minute,
		},
		Tariff: Tariff{Version: "standard-1", Currency: "EUR"},
		Log:    logs.Config{Level: "info"},
	}
}

// SetPartitions sets the number of partitions of every topic.
func (k *Kafka) SetPartitions(n int) { kafkalink.SetPartitions(k.Topics.all(), n) }

// all returns the topics with their configuration keys.
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

// ledger returns the tariff for package ledger. Validate first: a price that
// cannot be parsed is 0.
func (t *Tariff) ledger() ledger.Tariff {
	c := money.Currency(t.Currency)
	fee, _ := price(c, t.StartFee, t.StartFeeCents, defaultStartFee)
	perKWh, _ := price(c, t.PerKWh, t.PerKWhCents, defaultPerKWh)
	return ledger.Tariff{Version: charge.TariffVersion(t.Version), StartFee: fee, PerKWh: perKWh, Currency: c}
}

// priceError is what is wrong with a price; cents is set if it is the older
// key's.
type priceError struct {
	cents bool
	want  string
}

// price parses the one of a price's two keys that is given, or else otherwise.
func price(c money.Currency, main, cents, otherwise string) (money.Price, *priceError) {
	if main != "" && cents != "" {
		return 0, &priceError{cents: true, want: "is given twice: keep one of the two keys"}
	}
	if cents != "" {
		v, decimals, err := charge.ParseDecimal(cents)
		if err != nil || decimals > 0 || v < 0 || v > maxMinor {
			return 0, &priceError{true, fmt.Sprintf("want a whole number of cents from 0 to %d", maxMinor)}
		}
		return money.Price(v) * money.MinorUnit, nil
	}
	p, err := money.ParsePrice(cmp.Or(main, otherwise), c)
	switch {
	case err != nil:
		return 0, &priceError{want: "want a price in the main unit of the currency, such as 0.4275: " + err.Error()}
	case p < 0 || p > maxMinor*money.MinorUnit:
		return 0, &priceError{want: fmt.Sprintf("want a price from 0 to %s", (maxMinor * money.MinorUnit).Decimal(c))}
	}
	return p, nil
}

// orders returns the rules for package orders.
func (c *Config) orders() orders.Config {
	n := &c.Network
	o := orders.Config{
		ReservationLife: n.Reservation, PerDriver: n.ReservationsPerDriver, ConfirmTimeout: n.AskFor, MaxTried: n.MaxAsked,
		StartTimeout: n.StartWait, Tariff: charge.TariffVersion(c.Tariff.Version),
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
	c.Log.Validate(p)
	c.Kafka.Validate(p.In("kafka"), c.Kafka.Topics.all())
	c.Network.validate(p)
	c.Tariff.validate(p)
	if _, err := (&HTTP{PublicURL: c.Client.URL}).publicURL(); err != nil {
		p.Addf("client.url", "%v", err)
	}
}

// validateHTTP validates the address and the proxies. What access needs follows in
// validateAccess.
func (c *Config) validateHTTP(p *config.Problems) {
	if _, err := c.HTTP.publicURL(); err != nil {
		p.Addf("http.public_url", "%v", err)
	}
	if _, i, err := c.HTTP.proxies(); err != nil {
		p.Addf(fmt.Sprintf("http.trusted_proxies[%d]", i), "%v", err)
	}
	_, port, err := net.SplitHostPort(c.HTTP.Listen)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n > 65535 {
		p.Addf("http.listen", "want HOST:PORT; port 0 picks a free one")
		return
	}
	c.validateAccess(p)
}

// validate bounds the rules. A driver is answered within 5 s, so max_asked
// times ask_for must fit into that.
func (n *Network) validate(p *config.Problems) {
	within := func(key string, d, lo, hi time.Duration) {
		if d < lo || d > hi {
			p.Addf("network."+key, "want a duration from %s to %s", lo, hi)
		}
	}
	within("reservation", n.Reservation, 10*time.Second, day)
	within("ask_for", n.AskFor, 100*time.Millisecond, 5*time.Second)
	within("start_wait", n.StartWait, time.Second, time.Hour)
	within("silent_session_after", n.SilentSessionAfter, 10*time.Second, 7*day)
	if n.ReservationsPerDriver < 1 || n.ReservationsPerDriver > 100 {
		p.Addf("network.reservations_per_driver", "want a whole number from 1 to 100")
	}
	if n.MaxAsked < 1 || n.MaxAsked > 10 || time.Duration(n.MaxAsked)*n.AskFor > 5*time.Second {
		p.Addf("network.max_asked", "want 1 to 10, and max_asked times ask_for within the 5s in which a driver is answered")
	}
	for i, d := range n.Drivers {
		if err := names.Check(d); err != nil {
			p.Addf(fmt.Sprintf("network.drivers[%d]", i), "%v", err)
		}
	}
}

// maxMinor bounds prices, in minor units, so far that a product with a register
// never overflows. Currencies with small units need prices of this size.
const maxMinor = 100_000_000

// validate reports a bad price under the key that has it.
func (t *Tariff) validate(p *config.Problems) {
	if !charge.ValidID(t.Version) {
		p.Addf("tariff.version", "want 1 to %d of [A-Za-z0-9_-]", charge.MaxIDLength)
	}
	c := money.Currency(t.Currency)
	if !c.Known() {
		p.Addf("tariff.currency", "want three capital letters of ISO 4217, such as EUR")
	}
	check := func(key, main, cents, otherwise string) {
		if _, err := price(c, main, cents, otherwise); err != nil && err.cents {
			p.Addf("tariff."+key+"_cents", "%s", err.want)
		} else if err != nil {
			p.Addf("tariff."+key, "%s", err.want)
		}
	}
	check("start_fee", t.StartFee, t.StartFeeCents, defaultStartFee)
	check("per_kwh", t.PerKWh, t.PerKWhCents, defaultPerKWh)
}
