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
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

func main() {
	process.Main(func(ctx context.Context, stderr io.Writer) int {
		return run(ctx, os.Args[1:], os.Environ(), os.Stdout, stderr)
	})
}

// commandLine is the command line of Central with its configuration.
type commandLine = command.Program[app.Config]

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	var insecure, takeover bool
	p := &commandLine{
		Name:      "central",
		Short:     "Reserves, starts, stops and bills, and shows the network",
		EnvPrefix: app.EnvPrefix,
		Default:   app.DefaultConfig,
		Log:       func(cfg *app.Config) logs.Config { return cfg.Log },
		Run: func(ctx context.Context, cfg app.Config, log *slog.Logger) error {
			cfg.Takeover = takeover
			return app.Run(ctx, cfg, app.Deps{Log: log})
		},
		Overrides: func() []string {
			if insecure {
				return []string{app.EnvPrefix + "INSECURE=true"}
			}
			return nil
		},
		Surroundings: command.Surroundings{Environ: environ, Stdout: stdout, Stderr: stderr},
	}
	cmd := p.Command()
	cmd.Args = runOnly
	cmd.Flags().BoolVar(&insecure, "insecure", false, "listen off loopback although there are no accounts")
	cmd.Flags().BoolVar(&takeover, "take-over", false, "do not wait for another Central to fall silent; lift a fence")
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(operate(ctx, p)...)
	return p.Execute(ctx, cmd, args)
}

// runOnly accepts the argument "run", which is what Central does without one.
func runOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 && (len(args) > 1 || args[0] != "run") {
		return fmt.Errorf("%w: unexpected argument %q", command.ErrUsage, args[0])
	}
	return nil
}
