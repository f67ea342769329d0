package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/sim/demo"
)

// demoOptions are the flags of `sim demo`.
type demoOptions struct {
	// cfg is the configuration of the demo.
	cfg demo.Config
	// json prints the summary alone.
	json bool
	// verbose logs to stderr, too.
	verbose bool
	// noOpen prevents that the page is opened in a browser.
	noOpen bool
	// stay is how long vehicles stay; 0: half a minute.
	stay time.Duration
	// profile is the file of the CPU profile; "": none.
	profile string
}

// newDemoCommand makes `sim demo`.
func newDemoCommand() *cobra.Command {
	o := demoOptions{cfg: demo.DefaultConfig()}
	c := &cobra.Command{
		Use:   "demo",
		Short: "The whole network in this process",
		Long: "Runs MQTT, Kafka, the bridge, Central with its page, charging points with simulated hardware, and drivers that send\n" +
			"requests. All data is kept in one folder, and the next start on it continues where this one ended. A default port\n" +
			"that is occupied is replaced by a free one; a port that was given by a flag is not.",
		Example: "  sim demo\n  sim demo --cps 100 --drivers 20\n  sim demo --for 60s --json --no-open",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.IntVar(&o.cfg.CPs, "cps", o.cfg.CPs, "number of charging points")
	f.IntVar(&o.cfg.Drivers, "drivers", o.cfg.Drivers, "drivers that send requests; 0: none")
	f.Uint64Var(&o.cfg.Seed, "seed", o.cfg.Seed, "decides vehicles, delays and first registers")
	f.StringVar(&o.cfg.Data, "data", o.cfg.Data, "`folder` for all data")
	f.StringVar(&o.cfg.HTTP.HostPort, "http", o.cfg.HTTP.HostPort, "where the page is; port 0 chooses a free one")
	f.StringVar(&o.cfg.MQTT.HostPort, "mqtt", o.cfg.MQTT.HostPort, "where the embedded MQTT broker is; port 0 chooses a free one")
	f.StringVar(&o.cfg.Kafka.HostPort, "kafka", o.cfg.Kafka.HostPort, "where the embedded Kafka is; port 0 chooses a free one")
	f.StringVar(&o.cfg.ExternalMQTT, "external-mqtt", "", "use this MQTT broker instead, `tcp://HOST:PORT`")
	f.StringSliceVar(&o.cfg.ExternalKafka, "external-kafka", nil, "use this Kafka instead, `HOST:PORT`,…")
	f.IntVar(&o.cfg.Partitions, "partitions", o.cfg.Partitions, "partitions of every topic that is created")
	f.DurationVar(&o.stay, "stay", 0, "how long vehicles stay, with batteries of real cars; 0: half a minute, with small ones")
	f.DurationVar(&o.cfg.For, "for", 0, "end after this time, with all sessions settled, and print a summary; 0: run until q or Ctrl-C")
	f.BoolVar(&o.json, "json", false, "print nothing but the summary, as one JSON object")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log to stderr too")
	f.BoolVar(&o.noOpen, "no-open", false, "do not open the page in a browser")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `FILE`")
	c.RunE = action(func(ctx context.Context, c *cobra.Command, _ []string) error {
		if o.stay < 0 {
			return fail(exitUsage, fmt.Errorf("--stay %v: use 0 or more", o.stay))
		}
		if o.stay > 0 {
			o.cfg.Stay(o.stay)
		}
		// Whether a flag was given decides whether its port may be replaced.
		o.cfg.HTTP.Explicit, o.cfg.MQTT.Explicit, o.cfg.Kafka.Explicit = f.Changed("http"), f.Changed("mqtt"), f.Changed("kafka")
		return o.run(ctx, c)
	})
	return c
}

// run runs a demo. The exit code is 0 if it ended as it was asked to, and with
// --for only if the summary is healthy.
func (o *demoOptions) run(ctx context.Context, c *cobra.Command) (err error) {
	if err := o.cfg.Validate(); err != nil {
		return fail(exitUsage, err)
	}
	endProfile, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	defer endProfile(&err)
	log, closeLog, err := o.logger(c.ErrOrStderr())
	if err != nil {
		return err
	}
	// A reader that blocks, such as a pager, must not stop the demo.
	out := process.NewOutput(c.OutOrStdout())
	defer out.Close()
	deps := demo.Deps{Out: out, Log: log}
	if o.json {
		deps.Out = io.Discard
	} else {
		// Keys are read without echo; restore resets the terminal also after a
		// failure.
		keys, restore := demo.Keys(ctx, c.InOrStdin())
		defer restore()
		deps.Keys = keys
		if o.mayOpen(c.OutOrStdout()) {
			// A browser that was started by the demo ends with it.
			show, hide := context.WithCancel(ctx)
			var pages sync.WaitGroup
			defer pages.Wait()
			defer hide()
			deps.Open = func(url string) { pages.Go(func() { openPage(show, url, log) }) }
		}
	}
	sum, err := demo.Run(ctx, o.cfg, deps)
	if err := errors.Join(err, closeLog()); err != nil {
		return fmt.Errorf("%w; see also %s", err, o.logPath())
	}
	switch {
	case o.json:
		if err := json.NewEncoder(c.OutOrStdout()).Encode(sum); err != nil {
			return err
		}
	case o.cfg.For > 0:
		sum.Print(c.OutOrStdout())
	default:
		_, _ = fmt.Fprintf(out, "stopped; all data is kept in %s, and the next start continues there\n", o.cfg.Data)
	}
	switch {
	// An interactive demo ends by a key or a signal, which is no failure.
	case o.cfg.For == 0:
		return nil
	case ctx.Err() != nil:
		return fail(exitInterrupted, nil)
	case !sum.Healthy():
		return fail(exitFailed, errors.New("something is missing, doubled or left over; see the summary"))
	}
	return nil
}

// logPath is the log of all parts.
func (o *demoOptions) logPath() string { return filepath.Join(o.cfg.Data, "demo.log") }

// logger returns a logger that writes to a file in the data folder, and with
// --verbose to stderr: stdout is for people.
func (o *demoOptions) logger(stderr io.Writer) (*slog.Logger, func() error, error) {
	if err := os.MkdirAll(o.cfg.Data, 0o750); err != nil {
		return nil, nil, fail(exitUsage, process.ExplainFolder("--data", err))
	}
	f, err := os.OpenFile(o.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fail(exitUsage, process.ExplainFolder("--data", err))
	}
	// JSON for the file, text for people.
	log := logs.New(f, slog.LevelInfo)
	if o.verbose {
		log = slog.New(slog.NewMultiHandler(log.Handler(), slog.NewTextHandler(stderr, nil)))
	}
	return log, f.Close, nil
}

// mayOpen reports whether a browser may be opened: the demo is interactive, not
// in CI, and there is a desktop.
func (o *demoOptions) mayOpen(out io.Writer) bool {
	if o.noOpen || o.cfg.For > 0 || os.Getenv("CI") != "" || !process.IsTerminal(out) {
		return false
	}
	return runtime.GOOS == "darwin" || os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// openPage opens the page in a browser. Without a browser only a line is
// logged.
func openPage(ctx context.Context, url string, log *slog.Logger) {
	// Linux desktops have xdg-open, macOS has open.
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if err := exec.CommandContext(ctx, program, url).Run(); err != nil {
		log.Info("page was not opened", logs.Err(err)) // its address has a key
	}
}
