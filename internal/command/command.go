// Package command is the command line that bridge and Central have in common: the
// flags --config, --check-config and --version, the exit codes, and the way from
// the configuration to a running program with a logger.
//
// It is built on cobra, which is too big for the agent; the agent uses package
// flag and shares the rest through internal/config, internal/logs and
// internal/process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

// ErrUsage marks an error of the command line, which Execute turns into
// process.ExitUsage.
var ErrUsage = errors.New("usage")

// ExitError is an error with an exit code of its own.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *ExitError) Unwrap() error { return e.Err }

// Surroundings are what a program reads and writes beside its arguments. Tests
// replace them.
type Surroundings struct {
	Environ        []string // "NAME=value", as os.Environ returns it
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Program is a program with a configuration of type C.
type Program[C any] struct {
	Name, Short string
	// EnvPrefix begins the names of the environment variables that override the
	// configuration file.
	EnvPrefix string
	// Default returns the configuration without a file and without variables.
	Default func() C
	// Log returns the section about logs of a configuration.
	Log func(cfg *C) logs.Config
	// Run runs the program until ctx ends.
	Run func(ctx context.Context, cfg C, log *slog.Logger) error

	Surroundings

	ignored config.Links // variables that an orchestrator made
}

// Load returns the configuration of the file at path, or of no file if path is
// empty. A configuration that is wrong is a *config.Error.
func (p *Program[C]) Load(path string) (C, error) {
	cfg := p.Default()
	return cfg, config.Load(&cfg, config.Options{Path: path, EnvPrefix: p.EnvPrefix, Environ: p.Environ, Ignored: p.ignored.Add})
}

// Command returns the command that runs the program. The caller may add flags and
// subcommands before it calls Execute.
func (p *Program[C]) Command() *cobra.Command {
	var path string
	var check bool
	cmd := &cobra.Command{
		Use:           p.Name,
		Short:         p.Short,
		Version:       buildinfo.Version(),
		SilenceErrors: true, // Execute prints them
		SilenceUsage:  true,
		Args:          NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.Load(path)
			if err != nil {
				return err
			}
			if check {
				_, err := p.Stdout.Write(config.Dump(&cfg))
				return err
			}
			section := p.Log(&cfg)
			log, err := section.New(p.Stderr)
			if err != nil {
				return err
			}
			p.ignored.Log(log)
			return p.Run(cmd.Context(), cfg, log)
		},
	}
	ConfigFlag(cmd, &path)
	cmd.AddCommand(healthCommand())
	cmd.Flags().BoolVar(&check, "check-config", false, "check the configuration, print what holds, and exit")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", ErrUsage, err) })
	cmd.SetVersionTemplate(p.Name + " {{.Version}}\n")
	return cmd
}

// Execute runs a command with arguments, prints its error, and returns the exit
// code.
func (p *Program[C]) Execute(ctx context.Context, cmd *cobra.Command, args []string) int {
	cmd.SetArgs(args)
	cmd.SetOut(p.Stdout)
	cmd.SetErr(p.Stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return process.ExitOK
	}
	if _, wrong := errors.AsType[*config.Error](err); wrong {
		_, _ = fmt.Fprintln(p.Stderr, err) // its lines name the file; if stderr fails, the exit code remains
		return process.ExitConfig
	}
	_, _ = fmt.Fprintln(p.Stderr, p.Name+":", err)
	if exit, ok := errors.AsType[*ExitError](err); ok {
		return exit.Code
	}
	if errors.Is(err, ErrUsage) {
		return process.ExitUsage
	}
	return process.ExitFailed
}

// ConfigFlag adds the flag --config to a command.
func ConfigFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "configuration `FILE` (YAML); without it the defaults hold")
}

// NoArgs refuses arguments; it is the Args of commands that have flags only.
func NoArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: unexpected argument %q", ErrUsage, args[0])
	}
	return nil
}
