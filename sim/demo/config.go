package demo

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/sim/people"
)

// Config is the configuration of a demo. Start from DefaultConfig.
type Config struct {
	CPs     int    // charging points, at least; those of the data folder all run
	Drivers int    // 0: no requests
	Seed    uint64 // of vehicles, delays and first registers
	Data    string // folder, created if missing

	HTTP  Address // of Central's page and API
	MQTT  Address // of the embedded broker
	Kafka Address // of the embedded broker

	ExternalMQTT  string   // tcp://HOST:PORT of a broker to use instead of the embedded one; "": none
	ExternalKafka []string // HOST:PORTs of a Kafka to use instead of the embedded one; nil: none

	Partitions int // of every topic that is created
	// For is when the demo ends by itself, after it settled all sessions; 0:
	// never.
	For time.Duration

	Vehicles sim.Vehicles
	Visits   people.Config // how the vehicles come and go
	// Pause is how long a driver waits after a ticket before the next request.
	Pause sim.Span
}

// DefaultConfig has twenty charging points and three drivers. Sessions take
// half a minute, so that the first ticket is made within a minute.
func DefaultConfig() Config {
	return Config{
		CPs: 20, Drivers: 3, Seed: 1, Data: ".demo",
		HTTP: Address{HostPort: "127.0.0.1:8080"}, MQTT: Address{HostPort: "127.0.0.1:1883"}, Kafka: Address{HostPort: "127.0.0.1:9092"},
		Partitions: 3,
		Vehicles: sim.Vehicles{
			Least: sim.Vehicle{Capacity: 1_000, Charge: 200, MaxPower: 50_000},
			Most:  sim.Vehicle{Capacity: 2_500, Charge: 600, MaxPower: 150_000},
		},
		Visits: people.Config{
			Arrives: sim.Span{Least: time.Second, Most: 5 * time.Second},
			Stays:   sim.Span{Least: 25 * time.Second, Most: 45 * time.Second},
			Leaves:  sim.Span{Least: time.Second, Most: 3 * time.Second},
		},
		Pause: sim.Span{Least: 3 * time.Second, Most: 8 * time.Second},
	}
}

// Stay lets vehicles stay for d or half as long again, instead of half a minute: a
// network as it is in operation, with few starts and ends. Their batteries are those
// of real cars, full after eight minutes at the earliest.
func (c *Config) Stay(d time.Duration) {
	c.Visits.Stays = sim.Span{Least: d, Most: d * 3 / 2}
	c.Vehicles = sim.Vehicles{
		Least: sim.Vehicle{Capacity: 40_000, Charge: 100, MaxPower: 50_000},
		Most:  sim.Vehicle{Capacity: 100_000, Charge: 500, MaxPower: 150_000},
	}
}

// Limits of a demo on one machine.
const (
	maxCPs     = 5_000
	maxDrivers = 1_000
)

// Validate reports all invalid values at once, each by its flag.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.CPs < 1 || c.CPs > maxCPs {
		bad("--cps %d: use 1 to %d", c.CPs, maxCPs)
	}
	if c.Drivers < 0 || c.Drivers > maxDrivers {
		bad("--drivers %d: use 0 to %d", c.Drivers, maxDrivers)
	}
	if c.Data == "" {
		bad("--data: name a folder")
	}
	if c.For < 0 {
		bad("--for %v: use 0 or more", c.For)
	}
	if c.Partitions < 1 || c.Partitions > 100 {
		bad("--partitions %d: use 1 to 100", c.Partitions)
	}
	if c.ExternalMQTT != "" {
		if u, err := url.Parse(c.ExternalMQTT); err != nil || u.Scheme == "" || u.Hostname() == "" || u.Port() == "" {
			bad("--external-mqtt %q: use tcp://HOST:PORT", c.ExternalMQTT)
		}
	}
	for _, b := range c.ExternalKafka {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad("--external-kafka %q: use HOST:PORT, or several with commas", b)
		}
	}
	return errors.Join(append(errs, c.Vehicles.Validate(), c.Visits.Validate())...)
}
