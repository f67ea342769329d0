// Command central is the only program that changes the network's state: it
// reserves charging points, starts and stops sessions, bills them, and shows
// the network on a page. It waits for Kafka as long as necessary; the page
// works meanwhile.
//
// Without a command, or with "run", it serves until it gets SIGTERM or SIGINT.
// These commands maintain a database and end:
//
//	backup           copy the database
//	verify           check it against the records in it
//	export-settings  print what a rebuild needs beside Kafka
//	rebuild          create a database from settings and Kafka
//	user             add, list, disable and enable accounts, set passwords
//	token            add, list and revoke tokens
//
// These ask a running Central through its API:
//
//	cp list, stop, resume, watch
//	ticket list
//
// completion prints a script for bash, zsh, fish or PowerShell.
//
// Exit codes: 0 after a clean stop, 1 if it cannot go on, 2 if the command line
// is wrong, 3 if the configuration is; of the commands that ask, also 4 if no
// Central answers, 5 if it refuses, 6 if the result is not known in time.
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
	"github.com/carga-ev/carga/internal/systemd"
)

func main() {
	process.Main(func(ctx context.Context, stderr io.Writer) int {
		return run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, stderr)
	})
}

// commandLine is the command line of Central with its configuration.
type commandLine = command.Program[app.Config]

// logTail is how much of the end of the log a support bundle has, in bytes.
const logTail = 256 << 10

// run runs the command line and returns the exit code. It does not read the
// process's own surroundings, so that tests can call it.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var takeover bool
	p := &commandLine{
		Name:      "central",
		Short:     "Reserves, starts, stops and bills, and shows the network",
		EnvPrefix: app.EnvPrefix,
		Default:   app.DefaultConfig,
		Log:       func(cfg *app.Config) logs.Config { return cfg.Log },
		// A takeover is meant for one start, so no configuration file can set
		// it.
		Run: func(ctx context.Context, cfg app.Config, log *slog.Logger) error {
			cfg.Takeover = takeover
			tail := logs.NewTail(logTail)
			log = slog.New(slog.NewMultiHandler(log.Handler(), slog.NewJSONHandler(tail, nil)))
			return app.Run(ctx, cfg, app.Deps{Log: log, LogTail: tail.Bytes, Notify: systemd.NewNotifier(command.Getenv(environ), os.Getpid())})
		},
		Surroundings: command.Surroundings{Environ: environ, Stdin: stdin, Stdout: stdout, Stderr: stderr},
	}
	cmd := p.Command()
	cmd.Args = runOnly
	cmd.Flags().BoolVar(&takeover, "take-over", false, "do not wait for another Central to fall silent; lift a fence")
	cmd.AddCommand(operate(ctx, p)...)
	cmd.AddCommand(users(ctx, p), tokens(ctx, p))
	cmd.AddCommand(points(ctx, p), tickets(ctx, p))
	return p.Execute(ctx, cmd, args)
}

// runOnly accepts the argument "run", which is what Central does without one.
func runOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 && (len(args) > 1 || args[0] != "run") {
		return fmt.Errorf("%w: unexpected argument %q", command.ErrUsage, args[0])
	}
	return nil
}
