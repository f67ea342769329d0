package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/sim/people"
)

// boardOptions are the flags of `sim board`.
type boardOptions struct {
	socket   string
	snapshot bool
	visits   bool
	hardware sim.Config
	power    int64
	register int64
}

func newBoardCommand() *cobra.Command {
	o := boardOptions{hardware: sim.DefaultConfig()}
	c := &cobra.Command{
		Use:   "board --socket PATH",
		Short: "The hardware of one charging point, in a process of its own",
		Long: "Serves contactors, meters and vehicles behind a Unix socket, so that they outlive the agent as real ones do.\n" +
			"When the agent is gone its contactors open within a second. With --snapshot it asks a running board instead\n" +
			"and prints registers, contacts and the switchings since its start as JSON.",
		Example: "  sim board --socket /tmp/board.sock --connectors 2 --seed 7\n  sim board --socket /tmp/board.sock --snapshot",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.socket, "socket", "", "path of the Unix socket (required)")
	f.BoolVar(&o.snapshot, "snapshot", false, "print the state of the running board as JSON")
	f.BoolVar(&o.visits, "visits", false, "vehicles come by themselves to each free connector, and leave when power has stopped")
	f.IntVar(&o.hardware.Connectors, "connectors", o.hardware.Connectors, "number of connectors")
	f.Uint64Var(&o.hardware.Seed, "seed", o.hardware.Seed, "decides vehicles, delays and the first registers")
	f.StringVar(&o.hardware.Serial, "serial", o.hardware.Serial, "serial number of the board")
	f.Int64Var(&o.power, "power", int64(o.hardware.RatedPower), "rated power of a connector in W")
	f.Int64Var(&o.register, "register", -1, "first register of every meter in Wh; -1: from the seed")
	f.DurationVar(&o.hardware.Keeper, "keeper", o.hardware.Keeper, "timeout of the dead-man device; 0: not fitted")
	f.IntVar(&o.hardware.Trace, "trace", o.hardware.Trace, "switchings that --snapshot shows at most")
	f.BoolVar(&o.hardware.PWM, "pwm", o.hardware.PWM, "the vehicle waits for the offer, as by IEC 61851")
	_ = c.MarkFlagRequired("socket") // the flag was just defined
	c.RunE = action(func(ctx context.Context, c *cobra.Command, _ []string) error {
		if o.snapshot {
			return printSnapshot(ctx, c, o.socket)
		}
		return serveBoard(ctx, c, o)
	})
	return c
}

func printSnapshot(ctx context.Context, c *cobra.Command, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s, err := board.Inspect(ctx, board.Unix(socket))
	if err != nil {
		return fail(exitUnreachable, fmt.Errorf("%w; is a board running there? start one: sim board --socket %s", err, socket))
	}
	out := json.NewEncoder(c.OutOrStdout())
	out.SetIndent("", "  ")
	return out.Encode(s)
}

// config is the board's as the flags say.
func (o *boardOptions) config() (sim.Config, error) {
	cfg := o.hardware
	cfg.RatedPower = charge.Watts(o.power)
	for n := 0; o.register >= 0 && n < cfg.Connectors; n++ {
		cfg.Registers = append(cfg.Registers, charge.WattHours(o.register))
	}
	return cfg, cfg.Validate()
}

func serveBoard(ctx context.Context, c *cobra.Command, o boardOptions) error {
	cfg, err := o.config()
	if err != nil {
		return fail(exitUsage, err)
	}
	b, err := sim.New(cfg)
	if err != nil {
		return err
	}
	ln, err := board.Listen(ctx, o.socket)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	log := logs.New(c.ErrOrStderr(), slog.LevelInfo)
	out := process.NewOutput(c.OutOrStdout())
	defer out.Close()
	_, _ = fmt.Fprintf(out, "board %s: %d connector(s) of %d W behind %s\n", cfg.Serial, cfg.Connectors, cfg.RatedPower, path(ln))
	if !o.visits {
		return errors.Join(board.Serve(ctx, ln, b, log), b.Close())
	}
	visits := people.DefaultConfig()
	visits.Seed = cfg.Seed
	visitors, err := people.NewVisitors(visits, b, log)
	if err != nil {
		return errors.Join(err, ln.Close(), b.Close())
	}
	var visiting sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	visiting.Go(func() { visitors.Run(ctx) })
	err = board.Serve(ctx, ln, b, log)
	stop()
	visiting.Wait()
	return errors.Join(err, b.Close())
}

func path(ln net.Listener) string { return ln.Addr().String() }
