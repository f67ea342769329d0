package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

const safeStateUsage = `usage: agent safe-state [--config FILE]
  opens every contactor of the configured hardware, and ends

For ExecStopPost= of the agent's service unit: a process that was killed may leave its
outputs as they were. The agent must not be running.
`

// safeStateWithin limits the wait for a board in another process: a service manager
// waits for this command.
const safeStateWithin = 5 * time.Second

// runSafeState executes "agent safe-state" and returns the exit code.
func runSafeState(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("agent safe-state", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, safeStateUsage) }
	path := flags.String("config", "", "YAML `FILE` of the agent's settings")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil || flags.NArg() > 0 {
		flags.Usage()
		return process.ExitUsage
	}
	cfg := app.DefaultConfig()
	if err := config.Load(&cfg, config.Options{Path: *path, EnvPrefix: app.EnvPrefix, Environ: os.Environ()}); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return process.ExitConfig
	}
	ctx, cancel := context.WithTimeout(ctx, safeStateWithin)
	defer cancel()
	if err := app.SafeState(ctx, cfg, logs.New(stderr, slog.LevelInfo)); err != nil {
		_, _ = fmt.Fprintln(stderr, "agent: the contactors may be closed:", err)
		return process.ExitFailed
	}
	return process.ExitOK
}
