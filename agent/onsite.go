package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/doctor"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/check"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

// site is a command that a person runs on site, while the agent is stopped.
type site struct {
	name, use string
	longest   time.Duration // of --for; 0: the command has no --for
	run       func(context.Context, *visit) (ok bool, err error)
}

// visit is one run of such a command.
type visit struct {
	board    hal.Board
	in       io.Reader
	out      io.Writer
	duration time.Duration // --for
	switches bool          // --switch
}

// sites are the commands by their names.
func sites() map[string]site {
	return map[string]site{
		"doctor": {
			"doctor", "reads every input for a while and explains the wiring; exit 1 if something is to be repaired", time.Hour,
			examine,
		},
		"hal-test": {
			"hal-test", "checks the hardware against the rules that the agent relies on; exit 1 if one is broken", 0,
			testBoard,
		},
		"identify": {
			"identify", "blinks, so that a person finds this charging point", time.Hour,
			identify,
		},
	}
}

// openLimit is how long a board in another process is waited for.
const openLimit = 5 * time.Second

// runSite executes a command on site and returns the exit code.
func runSite(ctx context.Context, s site, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("agent "+s.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "usage: agent %s [flags]\n%s\nThe agent must be stopped: it and this command cannot both have the hardware.\n", s.name, s.use)
		flags.PrintDefaults()
	}
	path := flags.String("config", "", "YAML `FILE` of the agent's settings; without it the defaults hold")
	v := visit{in: stdin, out: stdout}
	if s.longest > 0 {
		flags.DurationVar(&v.duration, "for", 5*time.Second, "how long")
	}
	if s.name != "identify" {
		flags.BoolVar(&v.switches, "switch", false, "switch outputs too, after a confirmation: contactors close for a moment")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil {
		return process.ExitUsage
	}
	if flags.NArg() > 0 || s.longest > 0 && (v.duration <= 0 || v.duration > s.longest) {
		_, _ = fmt.Fprintf(stderr, "agent: %s: no arguments, and --for from 1ms to %v\n", s.name, s.longest)
		return process.ExitUsage
	}
	cfg := app.DefaultConfig()
	if err := config.Load(&cfg, config.Options{Path: *path, EnvPrefix: app.EnvPrefix, Environ: os.Environ()}); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return process.ExitConfig
	}
	ok, err := v.onBoard(ctx, cfg, logs.New(stderr, slog.LevelWarn), s.run)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "agent: %s: %v\n", s.name, err)
		return process.ExitFailed
	}
	if !ok {
		return process.ExitFailed
	}
	return process.ExitOK
}

// onBoard opens the configured board, runs do and closes it, with every contactor
// open.
func (v *visit) onBoard(ctx context.Context, cfg app.Config, log *slog.Logger, do func(context.Context, *visit) (bool, error)) (ok bool, err error) {
	opening, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	board, err := app.OpenBoard(opening, cfg, log)
	if err != nil {
		return false, fmt.Errorf("open the hardware: %w; if the agent is running, stop it first", err)
	}
	defer func() { err = errors.Join(err, board.Close()) }()
	v.board = board
	info := board.Info()
	_, _ = fmt.Fprintf(v.out, "%s: board %s %q, %d connector(s) of %d W\n", cfg.CPID, info.Model, info.Serial, info.Connectors, info.RatedPower)
	if v.switches {
		if err := v.confirm(ctx); err != nil {
			return false, err
		}
	}
	return do(ctx, v)
}

// confirm asks before outputs are switched. It is an error if a vehicle is plugged
// in, if the emergency stop is pressed, or if the answer is not "yes".
func (v *visit) confirm(ctx context.Context) error {
	if err := check.NewProbe(ctx, v.board).Unplugged(); err != nil {
		return fmt.Errorf("nothing is switched: %w", err)
	}
	_, _ = fmt.Fprint(v.out, "Every contactor closes for some seconds: its socket is under voltage then.\nNo vehicle and no person may touch it. Type yes to go on: ")
	answer, err := bufio.NewReader(v.in).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		return errors.New("nothing is switched: the answer was not yes")
	}
	return nil
}

// examine is agent doctor.
func examine(ctx context.Context, v *visit) (bool, error) {
	_, _ = fmt.Fprintf(v.out, "The inputs are watched for %v. Move each of them: what changes is printed.\n", v.duration)
	begin := time.Now()
	findings := doctor.Examine(ctx, v.board, doctor.Options{For: v.duration, Changed: func(device, value string) {
		_, _ = fmt.Fprintf(v.out, "%6.2f s  %s: %s\n", time.Since(begin).Seconds(), device, value)
	}})
	if err := ctx.Err(); err != nil {
		return false, err
	}
	_, _ = fmt.Fprintln(v.out)
	for _, f := range findings {
		_, _ = fmt.Fprintf(v.out, "%-4s  %-26s  %-12s  %s\n", f.State, f.Device, f.Value, f.Meaning)
		if f.Remedy != "" {
			_, _ = fmt.Fprintf(v.out, "%-48sdo: %s\n", "", f.Remedy)
		}
	}
	if w, is := v.board.(hal.Wired); is {
		_, _ = fmt.Fprintln(v.out, "\nWires:")
		for _, wire := range w.Wiring() {
			_, _ = fmt.Fprintf(v.out, "%-10s  %-12s  %-10s  %s\n", wire.Line, wire.Level, wire.Device, wire.Meaning)
		}
	}
	good := doctor.Worst(findings) < doctor.Bad
	if v.switches {
		_, _ = fmt.Fprintln(v.out)
		passed, err := v.testRules(ctx, func(r check.Rule) bool { return r.Switches })
		return good && passed, err
	}
	return good, nil
}

// testBoard is agent hal-test.
func testBoard(ctx context.Context, v *visit) (bool, error) {
	return v.testRules(ctx, func(r check.Rule) bool { return v.switches || !r.Switches })
}

// testRules checks the chosen rules and prints a line for each. The others are
// counted.
func (v *visit) testRules(ctx context.Context, chosen func(check.Rule) bool) (bool, error) {
	passed, broken, missing, left := 0, 0, 0, 0
	for _, rule := range check.Rules() {
		if !chosen(rule) {
			left++
			continue
		}
		err := rule.Check(check.NewProbe(ctx, v.board))
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		switch {
		case errors.Is(err, hal.ErrNotFitted):
			missing++
			_, _ = fmt.Fprintf(v.out, "not fitted  %s\n", rule.Name)
		case err != nil:
			broken++
			_, _ = fmt.Fprintf(v.out, "BROKEN      %s\n", rule.Name)
			for line := range strings.Lines(err.Error()) {
				_, _ = fmt.Fprintf(v.out, "              %s\n", strings.TrimSpace(line))
			}
			_, _ = fmt.Fprintf(v.out, "              do: check %s\n", rule.Remedy)
		default:
			passed++
			_, _ = fmt.Fprintf(v.out, "ok          %s\n", rule.Name)
		}
	}
	_, err := fmt.Fprintf(v.out, "%d rules hold, %d are broken, %d have no device, %d were not checked", passed, broken, missing, left)
	if left > 0 && !v.switches {
		_, _ = fmt.Fprint(v.out, " (they switch outputs: --switch)")
	}
	_, _ = fmt.Fprintln(v.out)
	return broken == 0, err
}

// identify is agent identify.
func identify(ctx context.Context, v *visit) (bool, error) {
	noLight := func(err error) error { return fmt.Errorf("front panel: %w: there is no light to blink", err) }
	panel, err := v.board.Panel()
	if err != nil {
		return false, noLight(err)
	}
	show := func(l hal.Light) error {
		var errs []error
		fitted := false
		for n := range v.board.Info().Connectors {
			err := panel.Show(charge.ConnectorID(n+1), l)
			if errors.Is(err, hal.ErrNotFitted) {
				continue
			}
			fitted = true
			errs = append(errs, err)
		}
		if !fitted {
			return noLight(hal.ErrNotFitted)
		}
		return errors.Join(errs...)
	}
	if err := show(hal.LightIdentify); err != nil {
		return false, errors.Join(err, show(hal.LightOff))
	}
	_, _ = fmt.Fprintf(v.out, "The lights blink for %v.\n", v.duration)
	t := time.NewTimer(v.duration)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return true, show(hal.LightOff)
}
