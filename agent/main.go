// Command agent is the firmware of one charging point. It controls the hardware,
// records what happens in a journal on its disk, and exchanges messages with
// Central through an MQTT broker.
//
//	agent [--config FILE] [--check-config]   run, or check the settings and end
//	agent journal inspect|verify|export DIR  read the journal in a folder
//	agent replay [--from TIME] [--to TIME] [--all] [--json] DIR|FILE
//	                                         show what happened, from the flight recorder
//	agent doctor [--for TIME] [--switch]     read every input and explain the wiring
//	agent hal-test [--switch]                check the hardware against its rules
//	agent identify [--for TIME]              blink, so that a person finds it
//	agent safe-state [--config FILE]         open every contactor, after the agent has ended
//	agent provision --to FOLDER …            write the SD card of a charging point
//
// agent/app is the program; this package is its command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/internal/recorder"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
	"github.com/carga-ev/carga/internal/systemd"
)

// main runs the command line until it ends or a signal asks it to. The log is
// written on a goroutine of its own: a blocked reader of stderr must not stop the
// control of the hardware.
func main() {
	process.Main(func(ctx context.Context, stderr io.Writer) int {
		return run(ctx, os.Args[1:], os.Stdin, os.Stdout, stderr)
	})
}

// run executes one command line and returns the exit code. Keys are read only
// where stdin is a terminal and the hardware is simulated.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "journal" {
		return runJournal(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "replay" {
		return runReplay(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "safe-state" {
		return runSafeState(ctx, args[1:], stderr)
	}
	if len(args) > 0 && args[0] == "provision" {
		return runProvision(args[1:], stdin, stdout, stderr)
	}
	if len(args) > 0 {
		if s, is := sites()[args[0]]; is {
			return runSite(ctx, s, args[1:], stdin, stdout, stderr)
		}
	}
	// ContinueOnError: the exit code of a wrong flag is ours, not that of package
	// flag.
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "YAML `FILE` of settings; without it the defaults hold")
	check := flags.Bool("check-config", false, "check the settings, print what holds and end")
	version := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return process.ExitOK
	} else if err != nil || flags.NArg() > 0 {
		_, _ = fmt.Fprintln(stderr, "agent: usage: agent [--config FILE] [--check-config] [--version]\n       agent journal inspect|verify|export DIR\n       agent replay [--help] DIR|FILE\n       agent safe-state [--config FILE]\n       agent doctor|hal-test|identify|provision [--help]")
		return process.ExitUsage
	}
	if *version {
		_, _ = fmt.Fprintln(stdout, "agent", buildinfo.Version())
		return process.ExitOK
	}
	// The file overrides the defaults, and the environment overrides the file.
	cfg := app.DefaultConfig()
	var links config.Links
	if err := config.Load(&cfg, config.Options{Path: *path, EnvPrefix: app.EnvPrefix, Environ: os.Environ(), Ignored: links.Add}); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return process.ExitConfig
	}
	// The settings are valid here. --check-config prints them without secrets and
	// starts nothing.
	if *check {
		if _, err := stdout.Write(config.Dump(cfg)); err != nil {
			_, _ = fmt.Fprintln(stderr, "agent:", err)
			return process.ExitFailed
		}
		return process.ExitOK
	}
	// Validate has checked the level, so this does not fail.
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		_, _ = fmt.Fprintln(stderr, "agent: log.level:", err)
		return process.ExitConfig
	}
	deps := app.Deps{Log: logs.New(stderr, level), Notify: systemd.NewNotifier(os.Getenv, os.Getpid())}
	deps.Recorder = func() (journal.FS, error) { return journal.OS(filepath.Join(cfg.DataDir, recorder.Folder)) }
	links.Log(deps.Log)
	// Keys operate simulated hardware only; the default of the hardware is simulated.
	if process.Interactive(stdin) && cfg.Hardware.Kind != app.HardwareRPi {
		deps.Keys = stdin
		_, _ = fmt.Fprintln(stderr, app.KeysHelp)
	}
	if err := app.Run(ctx, cfg, deps); err != nil && !errors.Is(err, context.Canceled) {
		deps.Log.Error("agent ended", logs.Err(err))
		return process.ExitFailed
	}
	return process.ExitOK
}
