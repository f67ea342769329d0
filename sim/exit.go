package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/process"
)

// The exit codes, which are the same in every program of Carga.
// docs/OPERATIONS.md lists them.
const (
	exitOK          = process.ExitOK
	exitFailed      = process.ExitFailed
	exitUsage       = process.ExitUsage
	exitConfig      = process.ExitConfig
	exitUnreachable = process.ExitUnreachable
	exitRefused     = process.ExitRefused
	exitTimedOut    = process.ExitTimedOut
	exitInterrupted = 130
)

// exitError ends the program with an exit code. A nil err prints nothing: the
// reason was printed before.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// fail returns an error that ends the program with a code.
func fail(code int, err error) error { return &exitError{code, err} }

// action makes a RunE of cobra. Its errors are failures of the work (exit code
// 1) unless they carry a code, and not errors of the command line, which cobra
// returns itself.
func action(do func(ctx context.Context, c *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		// An interruption, a refusal and the like have their codes already.
		err := do(c.Context(), c, args)
		var e *exitError
		if err == nil || errors.As(err, &e) {
			return err
		}
		return fail(exitFailed, err)
	}
}
