package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/process"
)

// operated is a simulated board as a person at it operates it, in this process or
// behind a socket.
type operated interface {
	hal.Simulator
	Press(n charge.ConnectorID) error
	Break(n charge.ConnectorID, d sim.Defect) error
	SetAmbient(t charge.MilliCelsius) error
}

var (
	_ operated = (*sim.Board)(nil)
	_ operated = board.Simulator{}
)

// operation is what a person does at a board. value is "" where it has none.
type operation struct {
	name, value, about string
	do                 func(b operated, n charge.ConnectorID, value string) error
}

// operations lists them all, in the order of the help.
func operations() []operation {
	return []operation{
		{"plug", "", "a vehicle is plugged in", func(b operated, n charge.ConnectorID, _ string) error { return b.Plug(n) }},
		{"unplug", "", "its cable is pulled", func(b operated, n charge.ConnectorID, _ string) error { return b.Unplug(n) }},
		{"tap", "UID", "a card is held to the reader: 8, 14 or 20 hexadecimal digits", func(b operated, _ charge.ConnectorID, uid string) error { return b.Present(uid) }},
		{"press", "", "the button is pressed", func(b operated, n charge.ConnectorID, _ string) error { return b.Press(n) }},
		{"fault", "FAULT", "a fault appears, such as ground_fault", func(b operated, n charge.ConnectorID, f string) error { return b.Inject(n, charge.Fault(f)) }},
		{"break", "DEFECT", "a device breaks, such as lock_jammed", func(b operated, n charge.ConnectorID, d string) error { return b.Break(n, sim.Defect(d)) }},
		{"repair", "", "everything is repaired", func(b operated, n charge.ConnectorID, _ string) error { return b.Repair(n) }},
		{"ambient", "CELSIUS", "the temperature around the board", func(b operated, _ charge.ConnectorID, celsius string) error {
			t, err := strconv.Atoi(celsius)
			if err != nil {
				return fmt.Errorf("ambient %q: want degrees Celsius, such as 35", celsius)
			}
			return b.SetAmbient(charge.MilliCelsius(t) * 1_000)
		}},
	}
}

// operationHelp lists them, one per line.
func operationHelp() string {
	var b strings.Builder
	for _, a := range operations() {
		fmt.Fprintf(&b, "  %-16s %s\n", strings.TrimSpace(a.name+" "+a.value), a.about)
	}
	return b.String()
}

// operate performs an action, given as words: its name, its value, and perhaps the
// number of the connector.
func operate(b operated, words []string) error {
	if len(words) == 0 {
		return errors.New("want an action:\n" + operationHelp())
	}
	i := slices.IndexFunc(operations(), func(a operation) bool { return a.name == words[0] })
	if i < 0 {
		return fmt.Errorf("action %q is unknown; use one of:\n%s", words[0], operationHelp())
	}
	a, rest, value, n := operations()[i], words[1:], "", 1
	if a.value != "" {
		if len(rest) == 0 {
			return fmt.Errorf("%s: want %s, %s", a.name, a.value, a.about)
		}
		value, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		var err error
		if n, err = strconv.Atoi(rest[0]); err != nil || len(rest) > 1 {
			return fmt.Errorf("%s: %q: want the number of a connector at the end", a.name, strings.Join(rest, " "))
		}
	}
	return a.do(b, charge.ConnectorID(n), value)
}

// newOperateCommand makes `sim board do`.
func newOperateCommand() *cobra.Command {
	socket := ""
	c := &cobra.Command{
		Use:     "do ACTION [VALUE] [CONNECTOR] --socket PATH",
		Short:   "Do what a person does at a running board",
		Long:    "Operates a running board, beside the agent that controls it. The connector is 1 unless named. Actions:\n" + operationHelp(),
		Example: "  sim board do plug --socket /tmp/board.sock\n  sim board do tap 04A1B2C3 --socket /tmp/board.sock\n  sim board do break lock_jammed 2 --socket /tmp/board.sock",
		Args:    cobra.ArbitraryArgs,
	}
	c.Flags().StringVar(&socket, "socket", "", "path of the board's Unix socket (required)")
	_ = c.MarkFlagRequired("socket") // the flag was just defined
	c.RunE = action(func(_ context.Context, _ *cobra.Command, words []string) error {
		err := operate(board.NewSimulator(board.Unix(socket)), words)
		var absent *net.OpError
		switch {
		case errors.As(err, &absent):
			return fail(exitUnreachable, fmt.Errorf("%w; is a board running there? start one: sim board --socket %s", err, socket))
		case err != nil:
			return fail(exitUsage, err)
		}
		return nil
	})
	return c
}

// readOperations performs what is typed on a terminal, one operation per line, until
// in ends or ctx does. find returns the board that the first words name, and the
// words of the operation. On anything but a terminal it does nothing. A blocked read of
// a terminal cannot be cancelled: its goroutine ends with the process.
func readOperations(ctx context.Context, in io.Reader, out io.Writer, find func(words []string) (operated, []string, error)) {
	tty, is := in.(*os.File)
	if !is || !process.Interactive(tty) {
		return
	}
	go performLines(ctx, tty, out, find)
}

// performLines performs the operation of each line.
func performLines(ctx context.Context, in io.Reader, out io.Writer, find func(words []string) (operated, []string, error)) {
	lines := bufio.NewScanner(in)
	for lines.Scan() && ctx.Err() == nil {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		b, rest, err := find(words)
		if err == nil {
			err = operate(b, rest)
		}
		if err != nil {
			_, _ = fmt.Fprintln(out, err)
			continue
		}
		_, _ = fmt.Fprintln(out, "done:", strings.Join(words, " "))
	}
}
