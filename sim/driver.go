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

// driverOptions are the flags of `sim driver` and its subcommands.
type driverOptions struct {
	// cfg is the configuration of each service but username and charging point.
	cfg driver.Config
	// kafka are the HOST:PORTs of Kafka.
	kafka []string
	// user is the username; cp the charging point of a single request, "" for
	// any.
	user, cp string
	// partitions is how many the drivers' topics get if they do not exist.
	partitions int
	// json prints each step as a line of JSON.
	json bool
	// gap is the pause between two services of a list.
	gap time.Duration
}

// newDriverCommand makes `sim driver` with its subcommands.
func newDriverCommand() *cobra.Command {
	o := driverOptions{cfg: driver.DefaultConfig()}
	c := &cobra.Command{
		Use:   "driver",
		Short: "A driver that requests to charge, over Kafka",
		Long: "Uses the drivers' protocol on driver-events and central-events. During an outage of Kafka the driver retries until\n" +
			"its deadline, and prints what it waits for.",
	}
	f := c.PersistentFlags()
	f.StringSliceVar(&o.kafka, "kafka", []string{"127.0.0.1:9092"}, "addresses of Kafka, `HOST:PORT`,…")
	f.StringVar(&o.user, "user", string(o.cfg.Username), "the driver's name")
	f.StringVar(&o.cfg.DriverID, "driver-id", "", "the driver's number in the customer's system, if there is one")
	f.StringVar(&o.cfg.ClientID, "client-id", o.cfg.ClientID, "name of this program in the answers")
	f.DurationVar(&o.cfg.Deadline, "deadline", o.cfg.Deadline, "how long a request may stay without an answer")
	f.DurationVar(&o.cfg.Repeat, "repeat", o.cfg.Repeat, "how long to wait for an answer before a retry")
	f.DurationVar(&o.cfg.StopAfter, "stop-after", 0, "send a stop request so long after charging began; 0: never")
	f.StringVar(&o.cfg.LimitKWh, "limit-kwh", "", "end each session at so many `kWh`, such as 12.5; empty: no limit")
	f.StringVar(&o.cfg.LimitCost, "limit-cost", "", "end each session at this `AMOUNT`, in the main unit of the currency, such as 5.00; empty: no limit")
	f.IntVar(&o.partitions, "partitions", driver.DefaultPartitions, "partitions of the drivers' topics if they do not exist")
	f.BoolVar(&o.json, "json", false, "print each step as a line of JSON")

	// A single request is a list of one.
	request := &cobra.Command{
		Use:     "request",
		Short:   "One service, from the request to the ticket",
		Example: "  sim driver request --user ana --kafka 127.0.0.1:9092\n  sim driver request --cp CP_0003 --limit-kwh 12.5",
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

// maxList is the largest size of a list of services, in bytes.
const maxList = 4 << 20

// readList reads a file of services; "" stands for any charging point.
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
	// nil stands for any charging point there, "" here.
	for _, cp := range list {
		if cp == nil {
			services = append(services, "")
			continue
		}
		services = append(services, string(*cp))
	}
	return services, nil
}

// config returns the configuration of one service; cp "" is any charging point.
func (o *driverOptions) config(cp string) driver.Config {
	cfg := o.cfg
	cfg.Username = charge.Username(o.user)
	if cp != "" {
		id := charge.CPID(cp)
		cfg.CPID = &id
	}
	return cfg
}

// run performs services one after the other over one Kafka client, and returns
// the error of the first that failed.
func (o *driverOptions) run(ctx context.Context, c *cobra.Command, services []string) error {
	// The services differ in the charging point only, which readList has
	// checked.
	if err := o.config(services[0]).Validate(); err != nil {
		return fail(exitUsage, err)
	}
	client, err := driver.NewClient(driver.ClientConfig{Brokers: o.kafka, ClientID: o.cfg.ClientID, Partitions: o.partitions})
	if err != nil {
		return fail(exitUsage, err)
	}
	// The client outlives each service and ends before this function returns.
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
		// A refused or timed-out service does not end the list.
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

// interrupted turns the end of ctx into the exit code of an interruption.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return fail(exitInterrupted, errors.New("interrupted; an open reservation or session continues without its driver"))
	}
	return err
}

// exitOf returns the exit code of a service. What went wrong was printed
// already.
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

// newReporter returns a function that prints each step, and one that flushes
// the output. A program that reads JSON gets every step and may slow the driver
// down; output for people never blocks, and may lose lines.
func (o *driverOptions) newReporter(w io.Writer) (report func(driver.Step), end func()) {
	if o.json {
		lines := json.NewEncoder(w)
		return func(s driver.Step) { _ = lines.Encode(s) }, func() {} // an error means that the reader has gone
	}
	out := process.NewOutput(w)
	p := &printer{out: out, live: process.IsTerminal(out)}
	return p.print, out.Close
}

// printer prints steps for people: on a terminal progress overwrites its line,
// elsewhere it is printed every ten seconds.
type printer struct {
	out   io.Writer
	live  bool      // a terminal
	width int       // of the progress on the present line, in bytes; 0: none
	last  time.Time // of the last progress, if not live
}

// progressEvery is the interval of progress without a terminal.
const progressEvery = 10 * time.Second

// print prints a step.
func (p *printer) print(s driver.Step) {
	// The username matters when the output of several drivers is combined.
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

// clear erases the progress on the present line.
func (p *printer) clear() {
	if p.width > 0 {
		_, _ = fmt.Fprint(p.out, "\r"+strings.Repeat(" ", p.width)+"\r")
		p.width = 0
	}
}
