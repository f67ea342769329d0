package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// The exit codes, the same in every program.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitRefused     = 5
	exitTimedOut    = 6
	exitInterrupted = 130
)

// exitError ends the program with a code; a nil err says nothing more.
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

func fail(code int, err error) error { return &exitError{code, err} }

// action makes a RunE whose errors are failures of the work, unless they say
// otherwise, and not of the command line.
func action(do func(ctx context.Context, c *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := do(c.Context(), c, args)
		var e *exitError
		if err == nil || errors.As(err, &e) {
			return err
		}
		return fail(exitFailed, err)
	}
}
