package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Config says what is measured and for how long. Start from DefaultConfig.
type Config struct {
	// For is about how long everything together takes; parts of the network need
	// some seconds more to start and stop.
	For time.Duration
	// Only names the measurements; empty: all.
	Only []string
	// Dir is where a folder for the data is made, and deleted at the end; "" is
	// the system's for temporary files. It should be on the disk to be measured.
	Dir string
	// Journals is where a folder for the agents' journals is made, and deleted at
	// the end; "" is one in memory if there is any, and else Dir. Each charging
	// point has storage of its own: hundreds on one disk would wait for each
	// other, and Central for all of them.
	Journals string
	// Points and Rate are the load of the measurement of latency.
	Points int
	Rate   int // events/s
	// Publishers is how many connections load the bridge.
	Publishers int
	// Agent and AgentARM6 are binaries to be measured, Sim the one that runs a
	// fleet; what is missing is not measured.
	Agent, AgentARM6, Sim string
	// Mosquitto is the program; "" looks for it.
	Mosquitto string
	// Log is what the parts say; nil for none.
	Log *slog.Logger
}

// DefaultConfig measures everything in less than three minutes.
func DefaultConfig() Config {
	return Config{
		For: 140 * time.Second, Points: 500, Rate: 1000, Publishers: 50,
		Agent: "bin/agent", AgentARM6: "bin/cross/agent-linux-arm6", Sim: "bin/sim",
	}
}

// Names are the measurements, in the order of the table.
func Names() []string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return names
}

// Validate reports everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.For <= 0 || c.For > time.Hour {
		errs = append(errs, fmt.Errorf("--for %v: use a duration up to 1h", c.For))
	}
	for _, name := range c.Only {
		if !slices.Contains(Names(), name) {
			errs = append(errs, fmt.Errorf("--only %s: use %s", name, strings.Join(Names(), ", ")))
		}
	}
	if c.Points < 1 || c.Points > 10_000 {
		errs = append(errs, fmt.Errorf("--points %d: use 1 to 10000", c.Points))
	}
	if c.Rate < 1 || c.Rate > 100_000 {
		errs = append(errs, fmt.Errorf("--rate %d: use 1 to 100000 events per second", c.Rate))
	}
	if c.Publishers < 1 || c.Publishers > 1000 {
		errs = append(errs, fmt.Errorf("--publishers %d: use 1 to 1000", c.Publishers))
	}
	return errors.Join(errs...)
}
