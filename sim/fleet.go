package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/sim/fleet"
	"github.com/carga-ev/carga/sim/people"
	"github.com/carga-ev/carga/sim/screen"
)

// fleetOptions are the flags of `sim fleet`.
type fleetOptions struct {
	// cfg is the configuration of the fleet but ids and visits.
	cfg fleet.Config
	// prefix is what the ids of the charging points begin with.
	prefix string
	// noVisits leaves out the vehicles that come on a reservation.
	noVisits bool
	// plain prints lines on a terminal too, without a screen.
	plain bool
	// runFor is when the fleet ends by itself; 0: never.
	runFor time.Duration
}

// maxFleet is the largest number of charging points in one process.
const maxFleet = 10_000

// newFleetCommand makes `sim fleet`.
func newFleetCommand() *cobra.Command {
	o := fleetOptions{cfg: fleet.Config{CPs: 100, Seed: 1, Dir: ".fleet", MQTT: "tcp://127.0.0.1:1883", Vehicles: sim.DefaultVehicles()}}
	c := &cobra.Command{
		Use:   "fleet",
		Short: "Many charging points against an MQTT broker",
		Long: "Runs the real agent many times, each on a simulated board and with a data folder of its own. The next start on the same\n" +
			"folder continues where this one ended.\n\n" +
			"On a terminal, a screen shows all charging points, and keys operate the selected one: plug, unplug, tap, fault, repair.\n" +
			"Elsewhere, and with --plain, totals are printed once a second; lines typed on a terminal then operate a charging point,\n" +
			"such as: CP_0007 plug, or CP_0007 tap 04A1B2C3.",
		Example: "  sim fleet --cps 100 --mqtt tcp://127.0.0.1:1883",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.IntVar(&o.cfg.CPs, "cps", o.cfg.CPs, "number of charging points")
	f.StringVar(&o.cfg.MQTT, "mqtt", o.cfg.MQTT, "the MQTT broker, `tcp://HOST:PORT`")
	f.StringVar(&o.cfg.Prefix, "topic-prefix", "", "first level of the MQTT topics, if not the default")
	f.StringVar(&o.prefix, "id-prefix", "CP_", "prefix of the ids")
	f.Uint64Var(&o.cfg.Seed, "seed", o.cfg.Seed, "decides vehicles, delays and first registers")
	f.StringVar(&o.cfg.Dir, "data", o.cfg.Dir, "`folder` for journals and registers")
	f.BoolVar(&o.noVisits, "no-visits", false, "no vehicle comes on a reservation")
	f.BoolVar(&o.cfg.FreeVend, "free-vend", false, "a vehicle that is plugged in charges without an authorization")
	f.BoolVar(&o.plain, "plain", false, "print lines on a terminal too, instead of the screen")
	f.DurationVar(&o.runFor, "for", 0, "end after this time; 0: run until Ctrl-C")
	c.RunE = action(o.run)
	return c
}

// run runs a fleet until ctx ends or --for is over.
func (o *fleetOptions) run(ctx context.Context, c *cobra.Command, _ []string) (err error) {
	if o.cfg.CPs < 1 || o.cfg.CPs > maxFleet {
		return fail(exitUsage, fmt.Errorf("--cps %d: use 1 to %d", o.cfg.CPs, maxFleet))
	}
	// The longest id stands for all.
	if id := o.id(maxFleet); !id.Valid() {
		return fail(exitUsage, fmt.Errorf("--id-prefix %q: %q would not be an id; use [A-Za-z0-9_-]", o.prefix, id))
	}
	// The ids do not depend on how many charging points there are.
	o.cfg.ID = o.id
	if !o.noVisits {
		o.cfg.Visits = new(people.DefaultConfig())
	}
	// Two fleets on one folder would write the same journals.
	held, err := fleet.Lock(o.cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	logPath := filepath.Join(o.cfg.Dir, "fleet.log")
	// The agents' logs go to a file: stdout has the totals.
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process.ExplainFolder("--data", err)
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	f, err := fleet.New(o.cfg, logs.New(logFile, slog.LevelInfo))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := process.NewOutput(c.OutOrStdout())
	defer out.Close()
	_, _ = fmt.Fprintf(out, "%d charging points, %s to %s, at %s; log in %s\n",
		len(f.Points()), f.Points()[0].ID, f.Points()[len(f.Points())-1].ID, o.cfg.MQTT, logPath)
	if o.runFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.runFor)
		defer cancel()
	}
	running, quit := context.WithCancel(ctx)
	defer quit()
	in, screened := onTerminal(c)
	if screened = screened && !o.plain; !screened {
		readOperations(running, c.InOrStdin(), out, func(words []string) (operated, []string, error) { return pointOf(f, words) })
	}
	// Run returns when all agents have ended; the totals are printed until
	// then, also while they stop.
	ended := make(chan error, 1)
	go func() { ended <- f.Run(running) }()
	if screened {
		err = screen.Run(running, in, c.OutOrStdout(), screenOf(f))
		quit()
	}
	watchFleet(out, f, ended)
	if ctx.Err() != nil {
		return nil // a terminal that has gone fails, and is also the signal to stop
	}
	return err
}

// pointOf returns the charging point that the first word names, and the rest.
func pointOf(f *fleet.Fleet, words []string) (operated, []string, error) {
	for _, p := range f.Points() {
		if string(p.ID) == words[0] {
			return p, words[1:], nil
		}
	}
	return nil, nil, fmt.Errorf("%q is no charging point of this fleet; begin with one of %s to %s", words[0], f.Points()[0].ID, f.Points()[len(f.Points())-1].ID)
}

// id returns the id of charging point number n, from 1.
func (o *fleetOptions) id(n int) charge.CPID { return charge.CPID(fmt.Sprintf("%s%04d", o.prefix, n)) }

// watchFleet prints the totals once a second until the fleet has ended.
func watchFleet(w io.Writer, f *fleet.Fleet, ended <-chan error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			_, _ = fmt.Fprintln(w, "stopped;", fleetLine(f.Totals()))
			return
		case <-tick.C:
			_, _ = fmt.Fprintln(w, time.Now().Format("15:04:05"), fleetLine(f.Totals()))
		}
	}
}

// fleetLine formats totals for people.
func fleetLine(t fleet.Totals) string {
	return fmt.Sprintf("%d/%d connected, %d charging at %d.%d kW, %d records, %d not acknowledged",
		t.Linked, t.Points, t.Charging, t.Power/1000, t.Power%1000/100, t.Journalled, t.Unacked)
}
