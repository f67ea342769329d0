// Command sim runs Carga without hardware: the whole network in one process
// (demo), many charging points against real brokers (fleet), the hardware of
// one in a process of its own (board), drivers who ask to charge (driver), an
// embedded Kafka (kafka), and all of it as processes under faults (chaos).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/process"
)

func main() {
	ctx := process.Stopped(os.Exit)
	stderr := process.NewOutput(os.Stderr)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, stderr})
	stderr.Close()
	os.Exit(code)
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, io streams) int {
	root := newRoot(io) //nolint:contextcheck // cobra hands the context of ExecuteContext to each command
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) { // cobra's own: the command line is wrong
		e = &exitError{exitUsage, fmt.Errorf("%w; try: sim --help", err)}
	}
	if e.err != nil {
		_, _ = fmt.Fprintln(io.err, "sim:", e.err)
	}
	return e.code
}

func newRoot(io streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "sim",
		Short:         "Carga without hardware: the network, a fleet, a board, drivers",
		Version:       buildinfo.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.AddCommand(newDemoCommand(), newFleetCommand(), newBoardCommand(), newDriverCommand(), newBenchCommand(), newKafkaCommand(), newChaosCommand(), newWorldCommand())
	return root
}
