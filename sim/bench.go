package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/sim/bench"
)

// benchOptions are the flags of `sim bench`.
type benchOptions struct {
	// cfg is the configuration of the measurements.
	cfg bench.Config
	// configs and kafkaJars are the folders of the engines' configurations, and of
	// Apache Kafka.
	configs, kafkaJars string
	// json prints the report as JSON instead of a table.
	json bool
	// verbose logs what the parts log; by default their logs are discarded.
	verbose bool
	// profile is the file of a CPU profile of this process; "": none.
	profile string
}

// newBenchCommand makes `sim bench`.
func newBenchCommand() *cobra.Command {
	o := benchOptions{cfg: bench.DefaultConfig()}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the network and compare the figures with targets",
		Long: "Measures throughput of bridge and Central beside a yardstick, latency to Central and back, size and memory of the\n" +
			"agent, and recovery after an outage of Kafka. A measurement and its yardstick run alternately, and medians count.\n" +
			"Bridge, latency and request are measured on Mosquitto and Apache Kafka, with the programs as processes; and with the\n" +
			"embedded engines in this process, for a quick look. Everything runs on loopback and in a folder that is deleted at the end.",
		Example: "  sim bench\n  sim bench --only latency --for 2m\n  sim bench --json",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.DurationVar(&o.cfg.For, "for", o.cfg.For, "duration of all measurements together, roughly")
	f.StringSliceVar(&o.cfg.Only, "only", nil, "measure only these: "+strings.Join(bench.Names(), ", "))
	f.StringVar(&o.cfg.Dir, "data", "", "`folder` on the disk to be measured; default: the system's folder for temporary files")
	f.StringVar(&o.cfg.Journals, "journals", "", "`folder` for the agents' journals; default: in memory, since each real one has a disk of its own")
	f.IntVar(&o.cfg.Points, "points", o.cfg.Points, "charging points of the measurements of latency and Central")
	f.IntVar(&o.cfg.Rate, "rate", o.cfg.Rate, "their events per second, of the measurement of latency")
	f.IntVar(&o.cfg.Publishers, "publishers", o.cfg.Publishers, "connections that load the bridge")
	f.StringVar(&o.cfg.Agent, "agent", o.cfg.Agent, "the agent whose memory is measured")
	f.StringVar(&o.cfg.AgentARM6, "agent-arm6", o.cfg.AgentARM6, "the agent whose size is measured")
	f.StringVar(&o.configs, "configs", "configs", "`folder` of mosquitto.conf and kafka.properties")
	f.StringVar(&o.kafkaJars, "kafka-jars", "", "`folder` of Apache Kafka's jars; .ci/engines fetch downloads them")
	f.BoolVar(&o.json, "json", false, "print nothing but one JSON object")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log to stderr")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `FILE`")
	c.RunE = action(o.run)
	return c
}

// run measures, and prints each verdict to stderr as it is known, so that
// stdout has the result alone.
func (o *benchOptions) run(ctx context.Context, c *cobra.Command, _ []string) (err error) {
	if err := o.cfg.Validate(); err != nil {
		return fail(exitUsage, err)
	}
	// This program runs the fleet that is measured.
	if o.cfg.Sim, err = os.Executable(); err != nil {
		return err
	}
	o.cfg.Bin = filepath.Dir(o.cfg.Sim)
	if o.cfg.Engines, err = findEngines(o.configs, o.kafkaJars, false); err != nil {
		o.cfg.NoEngines = err.Error()
	}
	if o.verbose {
		o.cfg.Log = logs.New(c.ErrOrStderr(), slog.LevelInfo)
	}
	endProfile, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	defer endProfile(&err)
	// Progress goes to stderr, and the result to stdout, so that --json can be
	// piped.
	progress := func(r bench.Row) {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "measured: %s: %s\n", r.Name, r.Verdict)
	}
	// The rows that were measured are printed also after an error.
	report, err := bench.Run(ctx, o.cfg, progress)
	if o.json {
		return errors.Join(err, report.JSON(c.OutOrStdout()))
	}
	return errors.Join(err, report.Table(c.OutOrStdout()))
}
