// Command central is the network's only writer of state: it reserves charging
// points, starts and stops sessions, bills them, and shows the network on a
// page. It waits for Kafka as long as it takes and serves what it can
// meanwhile.
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
	"slices"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/app"
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
	cmd := command(ctx, environ, stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return exitOK
	}
	if _, wrong := errors.AsType[*config.Error](err); wrong {
		_, _ = fmt.Fprintln(stderr, err) // nobody is left to be told
		return exitConfig
	}
	_, _ = fmt.Fprintln(stderr, "central:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

// flags are the words of the command line.
type flags struct {
	path               string
	check              bool
	insecure, takeover bool
}

func command(ctx context.Context, environ []string, stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var links config.Links
	load := func(path string) (app.Config, error) {
		cfg := app.DefaultConfig()
		return cfg, config.Load(&cfg, config.Options{Path: path, EnvPrefix: app.EnvPrefix, Environ: environ, Ignored: links.Add})
	}
	cmd := &cobra.Command{
		Use:           "central",
		Short:         "Reserves, starts, stops and bills, and shows the network",
		Version:       buildinfo.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && (len(args) > 1 || args[0] != "run") {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		RunE: func(_ *cobra.Command, _ []string) error {
			if f.insecure { // the command line wins over the environment, as that over the file
				environ = append(slices.Clone(environ), app.EnvPrefix+"INSECURE=true")
			}
			cfg, err := load(f.path)
			if err != nil {
				return err
			}
			cfg.Takeover = f.takeover
			if f.check {
				_, err := stdout.Write(config.Dump(&cfg))
				return err
			}
			return serve(ctx, cfg, links, stderr)
		},
	}
	cmd.Flags().StringVar(&f.path, "config", "", "configuration `FILE` (YAML); without it the defaults hold")
	cmd.Flags().BoolVar(&f.check, "check-config", false, "check the configuration, print what holds, and exit")
	cmd.Flags().BoolVar(&f.insecure, "insecure", false, "listen off loopback although there are no accounts")
	cmd.Flags().BoolVar(&f.takeover, "take-over", false, "do not wait for another Central to fall silent; lift a fence")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.SetVersionTemplate("central {{.Version}}\n")
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(operate(ctx, load, stdout, stderr)...)
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
