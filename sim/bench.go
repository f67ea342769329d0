package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/sim/bench"
)

// benchOptions are the flags of `sim bench`.
type benchOptions struct {
	cfg     bench.Config
	json    bool
	verbose bool
	profile string
}

func newBenchCommand() *cobra.Command {
	o := benchOptions{cfg: bench.DefaultConfig()}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Figures of the network beside what is wanted of them",
		Long: "Measures how much passes through bridge and Central beside a yardstick, how long the way to Central and back takes,\n" +
			"how large the agent is, and how soon everything goes on after an outage of Kafka. What is compared is run in turn;\n" +
			"medians count. Everything runs on loopback and in a folder that is deleted at the end.",
		Example: "  sim bench\n  sim bench --only latency --for 2m\n  sim bench --json",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.DurationVar(&o.cfg.For, "for", o.cfg.For, "about how long all measurements together take")
	f.StringSliceVar(&o.cfg.Only, "only", nil, "measure only these: "+strings.Join(bench.Names(), ", "))
	f.StringVar(&o.cfg.Dir, "data", "", "`folder` on the disk to be measured; by default the system's for temporary files")
	f.StringVar(&o.cfg.Journals, "journals", "", "`folder` for the agents' journals; by default in memory, since each has storage of its own")
	f.IntVar(&o.cfg.Points, "points", o.cfg.Points, "charging points of the measurements of latency and Central")
	f.IntVar(&o.cfg.Rate, "rate", o.cfg.Rate, "their events per second, of the measurement of latency")
	f.IntVar(&o.cfg.Publishers, "publishers", o.cfg.Publishers, "connections that load the bridge")
	f.StringVar(&o.cfg.Agent, "agent", o.cfg.Agent, "the agent whose memory is measured")
	f.StringVar(&o.cfg.AgentARM6, "agent-arm6", o.cfg.AgentARM6, "the agent whose size is measured")
	f.StringVar(&o.cfg.Mosquitto, "mosquitto", "", "the MQTT broker beside the embedded one; by default it is looked for")
	f.BoolVar(&o.json, "json", false, "print nothing but one JSON object")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log to stderr what the parts say")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `FILE`")
	c.RunE = action(o.run)
	return c
}

func (o *benchOptions) run(ctx context.Context, c *cobra.Command, _ []string) (err error) {
	if err := o.cfg.Validate(); err != nil {
		return fail(exitUsage, err)
	}
	if o.cfg.Sim, err = os.Executable(); err != nil {
		return err
	}
	if o.verbose {
		o.cfg.Log = logs.New(c.ErrOrStderr(), slog.LevelInfo)
	}
	if o.profile != "" {
		file, err := os.Create(o.profile)
		if err != nil {
			return fmt.Errorf("--cpuprofile: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	progress := func(r bench.Row) {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "measured: %s: %s\n", r.Name, r.Verdict)
	}
	report, err := bench.Run(ctx, o.cfg, progress)
	if o.json {
		return errors.Join(err, report.JSON(c.OutOrStdout()))
	}
	return errors.Join(err, report.Table(c.OutOrStdout()))
}
