// Command bridge carries messages between MQTT and Kafka, both ways. It keeps
// nothing on disk and waits for either side as long as it takes.
//
// Exit codes: 0 after a clean stop, 1 when it could not go on, 2 when the command
// line is wrong, 3 when the configuration is.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/systemd"
)

func main() {
	// One thread that runs Go code carries more than several: a message passes six
	// goroutines, and waking a thread for each costs more than what they compute
	// (docs/PERFORMANCE.md). The environment can order otherwise.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	process.Main(func(ctx context.Context, stderr io.Writer) int {
		return run(ctx, os.Args[1:], os.Environ(), os.Stdout, stderr)
	})
}

// run executes one command line and returns the exit code. Tests call it with
// surroundings of their own.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &command.Program[app.Config]{
		Name:      "bridge",
		Short:     "Carries messages between MQTT and Kafka",
		EnvPrefix: app.EnvPrefix,
		Default:   app.DefaultConfig,
		Log:       func(cfg *app.Config) logs.Config { return cfg.Log },
		Run: func(ctx context.Context, cfg app.Config, log *slog.Logger) error {
			return app.Run(ctx, cfg, app.Deps{Log: log, LimitMemory: !setsCollector(environ), Notify: systemd.NewNotifier(command.Getenv(environ), os.Getpid())})
		},
		Surroundings: command.Surroundings{Environ: environ, Stdout: stdout, Stderr: stderr},
	}
	return p.Execute(ctx, p.Command(), args)
}

// setsCollector reports whether the environment sets Go's garbage collector: then the
// bridge leaves it alone.
func setsCollector(environ []string) bool {
	return slices.ContainsFunc(environ, func(s string) bool {
		return strings.HasPrefix(s, "GOGC=") || strings.HasPrefix(s, "GOMEMLIMIT=")
	})
}
