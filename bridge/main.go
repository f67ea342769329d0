// Command bridge carries messages between MQTT and Kafka, both ways. It keeps
// nothing on disk and waits for either side as long as it takes.
//
// Exit codes: 0 after a clean stop, 1 when it could not go on, 2 when the command
// line is wrong, 3 when the configuration is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

// The exit codes, the same in every program.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 3
)

// errUsage marks what is wrong with the command line.
var errUsage = errors.New("usage")

func main() {
	ctx := process.Stopped(os.Exit)
	process.ReapOrphans()
	stderr := process.NewOutput(os.Stderr)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, stderr)
	stderr.Close()
	os.Exit(code)
}

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	cmd := command(environ, stdout, stderr) //nolint:contextcheck // cobra hands the context to RunE
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if _, wrong := errors.AsType[*config.Error](err); wrong {
		_, _ = fmt.Fprintln(stderr, err) // nobody is left to be told
		return exitConfig
	}
	_, _ = fmt.Fprintln(stderr, "bridge:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func command(environ []string, stdout, stderr io.Writer) *cobra.Command {
	var path string
	var check bool
	cmd := &cobra.Command{
		Use:           "bridge",
		Short:         "Carries messages between MQTT and Kafka",
		Version:       buildinfo.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := app.DefaultConfig()
			var links config.Links
			if err := config.Load(&cfg, config.Options{Path: path, EnvPrefix: app.EnvPrefix, Environ: environ, Ignored: links.Add}); err != nil {
				return err
			}
			if check {
				_, err := stdout.Write(config.Dump(&cfg))
				return err
			}
			return serve(cmd.Context(), cfg, links, stderr)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE` (YAML); without it the defaults hold")
	cmd.Flags().BoolVar(&check, "check-config", false, "check the configuration, print what holds, and exit")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.SetVersionTemplate("bridge {{.Version}}\n")
	return cmd
}

func serve(ctx context.Context, cfg app.Config, links config.Links, stderr io.Writer) error {
	var level slog.LevelVar
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	log := logs.New(stderr, &level)
	links.Log(log)
	return app.Run(ctx, cfg, app.Deps{Log: log})
}
