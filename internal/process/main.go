package process

import (
	"context"
	"io"
	"os"
)

// The exit codes that every program has. ADR 0014 lists them.
const (
	ExitOK     = 0 // the work is done, or the program was stopped in good order
	ExitFailed = 1 // the program could not go on
	ExitUsage  = 2 // the command line is wrong
	ExitConfig = 3 // the configuration is wrong

	// Of commands that ask another program.
	ExitUnreachable = 4 // it does not answer
	ExitRefused     = 5 // it refused, or what it was asked for failed
	ExitTimedOut    = 6 // the result is not known in time
)

// Main is the body of main in a program that serves: it runs the program until it
// ends or a signal ends its context (see Stopped), and exits with the code that
// run returns. stderr is an Output, so that a reader that stands still does not
// block the program.
func Main(run func(ctx context.Context, stderr io.Writer) (code int)) {
	ctx := Stopped(os.Exit)
	ReapOrphans()
	stderr := NewOutput(os.Stderr)
	code := run(ctx, stderr)
	stderr.Close()
	os.Exit(code)
}
