// Command sim runs Carga without hardware. Its subcommands are:
//
// demo: the whole network in one process, for a first look.
//
// fleet: many charging points against real brokers.
//
// board: the hardware of one charging point in a process of its own.
//
// driver: a driver that requests to charge, over Kafka.
//
// kafka: an embedded Kafka.
//
// bench: measurements, compared with targets.
//
// chaos: the network as processes under faults, on real engines.
//
// world: the network's decisions as a deterministic simulation.
//
// Each subcommand is a file of this package, which has the flags and prints the
// results; the work is done by the packages below. Exit codes are in exit.go.
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

// main ends with the exit code of run. Output is buffered, so that a blocked
// reader of stderr does not block the work.
func main() {
	ctx := process.Stopped(os.Exit)
	stderr := process.NewOutput(os.Stderr)
	// A second signal ends the process at once, with its own exit code.
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, stderr})
	stderr.Close()
	os.Exit(code)
}

// streams are the standard streams of a command, which tests replace.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, io streams) int {
	root := newRoot(io) //nolint:contextcheck // cobra passes the context of ExecuteContext to each command
	root.SetArgs(args)
	// Errors and usage are printed here, in one form for all commands.
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) { // an error of cobra: the command line is wrong
		e = &exitError{exitUsage, fmt.Errorf("%w; try: sim --help", err)}
	}
	if e.err != nil {
		_, _ = fmt.Fprintln(io.err, "sim:", e.err)
	}
	return e.code
}

// newRoot makes the command with all subcommands.
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
