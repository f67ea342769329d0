package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/sim/driver"
)

// driverOptions are the flags of `sim driver`.
type driverOptions struct {
	cfg        driver.Config
	kafka      []string
	user, cp   string
	partitions int
	json       bool
	gap        time.Duration
}

func newDriverCommand() *cobra.Command {
	o := driverOptions{cfg: driver.DefaultConfig()}
	c := &cobra.Command{
		Use:   "driver",
		Short: "A driver who asks to charge, over Kafka",
		Long: "Speaks the drivers' protocol on driver-events and central-events. Kafka may be away: the driver goes on asking\n" +
			"until its deadline and says what it waits for.",
	}
	f := c.PersistentFlags()
	f.StringSliceVar(&o.kafka, "kafka", []string{"127.0.0.1:9092"}, "addresses of Kafka, `HOST:PORT`,…")
	f.StringVar(&o.user, "user", string(o.cfg.Username), "the driver's name")
	f.StringVar(&o.cfg.DriverID, "driver-id", "", "the driver's number, if Central's clients use one")
	f.StringVar(&o.cfg.ClientID, "client-id", o.cfg.ClientID, "name of this program in the answers")
	f.DurationVar(&o.cfg.Deadline, "deadline", o.cfg.Deadline, "how long a request may stay without an answer")
	f.DurationVar(&o.cfg.Repeat, "repeat", o.cfg.Repeat, "how long to wait before asking again")
	f.DurationVar(&o.cfg.StopAfter, "stop-after", 0, "ask to stop so long after charging began; 0: never")
	f.IntVar(&o.partitions, "partitions", driver.DefaultPartitions, "partitions of the drivers' topics where they must be made first")
	f.BoolVar(&o.json, "json", false, "print each step as a line of JSON")

	request := &cobra.Command{
		Use:     "request",
		Short:   "One service, from the request to the ticket",
		Example: "  sim driver request --user ana --kafka 127.0.0.1:9092\n  sim driver request --cp CP_0003",
		Args:    cobra.NoArgs,
		RunE: action(func(ctx context.Context, c *cobra.Command, _ []string) error {
			return o.run(ctx, c, []string{o.cp})
		}),
	}
	request.Flags().StringVar(&o.cp, "cp", "", "the charging point; empty: any free one")

	list := &cobra.Command{
		Use:   "run FILE",
		Short: "A list of services, one after the other",
		Long: "FILE has one service per line: a charging point, or \"any\"; what follows a # is a comment. A service that is refused\n" +
			"does not end the list; the exit code is that of the first one that had no ticket.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(ctx context.Context, c *cobra.Command, args []string) error {
			services, err := readList(args[0])
			if err != nil {
				return fail(exitConfig, err)
			}
			return o.run(ctx, c, services)
		}),
	}
	list.Flags().DurationVar(&o.gap, "gap", 4*time.Second, "pause between two services")
	c.AddCommand(request, list)
	return c
}

// maxList is the largest list, in bytes.
const maxList = 4 << 20

// readList reads a file of services; "" is any charging point.
func readList(name string) ([]string, error) {
	raw, _, err := process.ReadFile(name, maxList)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	list, err := driver.ReadList(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	services := make([]string, 0, len(list))
	for _, cp := range list {
		if cp == nil {
			services = append(services, "")
			continue
		}
		services = append(services, string(*cp))
	}
	return services, nil
}

// config is the one of a service at a charging point.
func (o *driverOptions) config(cp string) driver.Config {
	cfg := o.cfg
	cfg.Username = charge.Username(o.user)
	if cp != "" {
		id := charge.CPID(cp)
		cfg.CPID = &id
	}
	return cfg
}

// run does the services one after the other.
func (o *driverOptions) run(ctx context.Context, c *cobra.Command, services []string) error {
	if err := o.config(services[0]).Validate(); err != nil {
		return fail(exitUsage, err)
	}
	client, err := driver.NewClient(driver.ClientConfig{Brokers: o.kafka, ClientID: o.cfg.ClientID, Partitions: o.partitions})
	if err != nil {
		return fail(exitUsage, err)
	}
	clientCtx, stopClient := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- client.Run(clientCtx) }()
	defer func() {
		stopClient()
		<-ended
	}()

	report, closeOutput := o.newReporter(c.OutOrStdout())
	defer closeOutput()
	var first error
	for i, cp := range services {
		if i > 0 {
			select {
			case <-ctx.Done():
				return fail(exitInterrupted, nil)
			case <-time.After(o.gap):
			}
		}
		outcome, err := driver.Run(ctx, o.config(cp), client, report)
		if err != nil {
			return interrupted(ctx, err)
		}
		if err := exitOf(outcome); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func interrupted(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return fail(exitInterrupted, errors.New("interrupted; a reservation or session that is open goes on without its driver"))
	}
	return err
}

// exitOf is the exit of a service. What went wrong was said already.
func exitOf(o driver.Outcome) error {
	switch o.Result {
	case driver.Ticket:
		return nil
	case driver.Refused, driver.ReservationEnded:
		return fail(exitRefused, nil)
	case driver.TimedOut:
		return fail(exitTimedOut, nil)
	case driver.Unreached:
		return fail(exitUnreachable, nil)
	}
	return fail(exitFailed, nil)
}

// newReporter writes steps as they come. A program that reads them as JSON misses
// none and may hold the driver up; people may miss some.
func (o *driverOptions) newReporter(w io.Writer) (report func(driver.Step), end func()) {
	if o.json {
		lines := json.NewEncoder(w)
		return func(s driver.Step) { _ = lines.Encode(s) }, func() {} // a reader that has gone away misses the rest
	}
	out := process.NewOutput(w)
	p := &printer{out: out, live: process.IsTerminal(out)}
	return p.print, out.Close
}

// printer writes steps for people: progress on one line that is written over
// on a terminal, and every ten seconds elsewhere.
type printer struct {
	out   io.Writer
	live  bool
	width int       // of the progress on the present line
	last  time.Time // progress written elsewhere
}

const progressEvery = 10 * time.Second

func (p *printer) print(s driver.Step) {
	text := fmt.Sprintf("%s  %-10s %s", s.At.Format("15:04:05"), s.Username, s.Text)
	if s.Kind != driver.StepProgress {
		p.clear()
		_, _ = fmt.Fprintln(p.out, text)
		return
	}
	switch {
	case p.live:
		p.clear()
		_, _ = fmt.Fprint(p.out, text)
		p.width = len(text)
	case s.At.Sub(p.last) >= progressEvery:
		p.last = s.At
		_, _ = fmt.Fprintln(p.out, text)
	}
}

func (p *printer) clear() {
	if p.width > 0 {
		_, _ = fmt.Fprint(p.out, "\r"+strings.Repeat(" ", p.width)+"\r")
		p.width = 0
	}
}
