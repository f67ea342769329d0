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

// Config says what the demo is made of. Start from DefaultConfig.
type Config struct {
	CPs     int
	Drivers int // 0: nobody asks by himself
	Seed    uint64
	Data    string // folder, made if it is not there

	HTTP  Address
	MQTT  Address // of the embedded broker
	Kafka Address // of the embedded broker

	ExternalMQTT  string   // tcp://HOST:PORT of a broker to use instead
	ExternalKafka []string // HOST:PORT,… of a Kafka to use instead

	Partitions int
	// For ends the demo by itself, with everything settled; 0: never.
	For time.Duration

	Vehicles sim.Vehicles
	Visits   people.Config // how the vehicles come and go
	// Pause is how long a driver waits after a ticket before he asks again.
	Pause sim.Span
}

// DefaultConfig is twenty charging points and three drivers, whose sessions
// take half a minute, so that the first ticket is there within one.
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

// Bounds of a demo on one machine.
const (
	maxCPs     = 5_000
	maxDrivers = 1_000
)

// Validate reports everything that is wrong, each by its flag.
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
