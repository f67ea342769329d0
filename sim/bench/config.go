package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/sim/chaos"
)

// Config selects the measurements and their load. Start from DefaultConfig.
type Config struct {
	// For is roughly the duration of all measurements together; starting and
	// stopping the parts takes some seconds more.
	For time.Duration
	// Only names the measurements to run; empty: all.
	Only []string
	// Dir is where the folder for data is created, and deleted at the end; ""
	// is the system's folder for temporary files. It should be on the disk that
	// is to be measured.
	Dir string
	// Journals is where the folder for the agents' journals is created, and
	// deleted at the end; "" is a folder in memory, or Dir where there is none.
	// Each real charging point has a disk of its own: hundreds on one disk
	// would wait for each other's fsync, and Central for all of them.
	Journals string
	// Points and Rate are the load of the latency measurement: charging points,
	// and events per second of all of them.
	Points int
	Rate   int // events/s
	// Publishers is the number of connections that publish to the bridge.
	Publishers int
	// Agent and AgentARM6 are the binaries whose memory and size are measured,
	// Sim the one that runs a fleet. A missing one is reported as not measured.
	Agent, AgentARM6, Sim string
	// Engines are the real engines, and Bin the folder of the bridge and Central
	// that run on them. NoEngines is why there are none; "" if there are.
	Engines   chaos.Engines
	Bin       string
	NoEngines string
	// Log receives the logs of the parts; nil: discard them.
	Log *slog.Logger
}

// DefaultConfig measures everything in about four minutes.
func DefaultConfig() Config {
	return Config{
		For: 200 * time.Second, Points: 500, Rate: 1000, Publishers: 50,
		Agent: "bin/agent", AgentARM6: "bin/cross/agent-linux-arm6", Sim: "bin/sim",
	}
}

// Names returns the names of the measurements, in the order of the table.
func Names() []string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return names
}

// Validate reports all invalid fields at once, by their flags.
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
