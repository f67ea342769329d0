package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
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

// boardOptions are the flags of `sim board`. The configuration of the hardware
// has types that flags do not know, so power and register have fields of their
// own.
type boardOptions struct {
	// socket is the path of the Unix socket that the board serves, or that
	// --snapshot reads from.
	socket string
	// snapshot prints the state of a running board instead of running one.
	snapshot bool
	// visits lets vehicles come by themselves to each free connector.
	visits bool
	// hardware is the configuration but power, registers, cable and what is left out.
	hardware sim.Config
	// cable is the current in A that each plugged cable is coded for; 0: a fixed one.
	cable int64
	// without names the devices that are left out.
	without []string
	// power is the rated power of each connector in W.
	power int64
	// register is the first register of each meter in Wh; -1: drawn by the
	// seed.
	register int64
}

// newBoardCommand makes `sim board`.
func newBoardCommand() *cobra.Command {
	o := boardOptions{hardware: sim.DefaultConfig()}
	c := &cobra.Command{
		Use:   "board --socket PATH",
		Short: "The hardware of one charging point, in a process of its own",
		Long: "Serves contactors, meters and vehicles behind a Unix socket, so that they outlive the agent as real hardware does.\n" +
			"When the agent ends, the contactors open within a second. With --snapshot it connects to a running board instead,\n" +
			"and prints its registers, its contacts and the switchings since its start as JSON.\n" +
			"On a terminal, lines operate it, such as plug, tap 04A1B2C3 or break lock_jammed 2; sim board do does the same from outside.",
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
	f.DurationVar(&o.hardware.Watchdog, "watchdog", o.hardware.Watchdog, "timeout of the computer's watchdog; 0: not fitted")
	f.Int64Var(&o.cable, "cable", 0, "current in A that plugged cables are coded for: 13, 20, 32 or 63; 0: a fixed cable")
	f.StringSliceVar(&o.without, "without", nil, "devices that are not fitted: "+strings.Join(slices.Sorted(maps.Keys(leftOut(&o.hardware))), ", "))
	f.BoolVar(&o.hardware.PWM, "pwm", o.hardware.PWM, "the vehicle waits for the offer, as by IEC 61851")
	_ = c.MarkFlagRequired("socket") // the flag was just defined
	c.AddCommand(newOperateCommand())
	c.RunE = action(func(ctx context.Context, c *cobra.Command, _ []string) error {
		if o.snapshot {
			return printSnapshot(ctx, c, o.socket)
		}
		return serveBoard(ctx, c, o)
	})
	return c
}

// printSnapshot prints the state of the board that runs at a socket.
func printSnapshot(ctx context.Context, c *cobra.Command, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// The snapshot is taken through the same socket as the agent's calls, and
	// does not disturb them.
	s, err := board.Inspect(ctx, board.Unix(socket))
	if err != nil {
		return fail(exitUnreachable, fmt.Errorf("%w; is a board running there? start one: sim board --socket %s", err, socket))
	}
	out := json.NewEncoder(c.OutOrStdout())
	out.SetIndent("", "  ")
	return out.Encode(s)
}

// config returns the configuration of the board.
func (o *boardOptions) config() (sim.Config, error) {
	cfg := o.hardware
	cfg.RatedPower = charge.Watts(o.power)
	cfg.Cable = charge.MilliAmps(o.cable) * 1_000
	for _, name := range o.without {
		missing, known := leftOut(&cfg)[name]
		if !known {
			return cfg, fmt.Errorf("--without %q: use %s", name, strings.Join(slices.Sorted(maps.Keys(leftOut(&cfg))), ", "))
		}
		*missing = true
	}
	// Without registers sim.New draws them from the seed.
	for n := 0; o.register >= 0 && n < cfg.Connectors; n++ {
		cfg.Registers = append(cfg.Registers, charge.WattHours(o.register))
	}
	return cfg, cfg.Validate()
}

// leftOut are the fields that leave a device out, by the names of --without.
func leftOut(c *sim.Config) map[string]*bool {
	return map[string]*bool{
		"estop": &c.NoEStop, "feedback": &c.NoFeedback, "meter": &c.NoMeter, "lock": &c.NoLock,
		"ground-fault": &c.NoGroundFault, "thermal": &c.NoThermal, "reader": &c.NoReader, "panel": &c.NoPanel,
	}
}

// serveBoard runs a board until ctx ends.
func serveBoard(ctx context.Context, c *cobra.Command, o boardOptions) error {
	cfg, err := o.config()
	if err != nil {
		return fail(exitUsage, err)
	}
	b, err := sim.New(cfg)
	if err != nil {
		return err
	}
	// The socket is opened last: a client that can connect finds a board that
	// works.
	ln, err := board.Listen(ctx, o.socket)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	// Logs go to stderr; stdout has one line, which a script can wait for.
	log := logs.New(c.ErrOrStderr(), slog.LevelInfo)
	out := process.NewOutput(c.OutOrStdout())
	defer out.Close()
	_, _ = fmt.Fprintf(out, "board %s: %d connector(s) of %d W behind %s\n", cfg.Serial, cfg.Connectors, cfg.RatedPower, path(ln))
	readOperations(ctx, c.InOrStdin(), out, func(words []string) (operated, []string, error) { return b, words, nil })
	// Close opens the contactors, as the loss of a real board's supply would.
	if !o.visits {
		return errors.Join(board.Serve(ctx, ln, b, log), b.Close())
	}
	visits := people.DefaultConfig()
	visits.Seed = cfg.Seed
	// Longer than a killed agent needs to be back: it must see the vehicle.
	visits.Leaves = sim.Span{Least: 30 * time.Second, Most: 45 * time.Second}
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

// path is the path of the socket that is listened at.
func path(ln net.Listener) string { return ln.Addr().String() }
