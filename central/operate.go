package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/command"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

// operate returns the commands that maintain a Central's database. None of them
// serves the page or writes to Kafka, so all but rebuild may run beside a
// Central.
func operate(ctx context.Context, p *commandLine) []*cobra.Command {
	return []*cobra.Command{
		backup(ctx, p), verify(ctx, p), exportSettings(ctx, p), rebuild(ctx, p),
	}
}

// newCommand returns a command that has flags and no arguments.
func newCommand(use, short string, run func() error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: command.NoArgs,
		RunE: func(*cobra.Command, []string) error { return run() },
	}
}

// withConfig adds the flag --config to a command.
func withConfig(cmd *cobra.Command, path *string) *cobra.Command {
	command.ConfigFlag(cmd, path)
	return cmd
}

// backup copies the database while Central runs or not: SQLite's WAL lets a
// reader copy one commit beside the writer.
func backup(ctx context.Context, p *commandLine) *cobra.Command {
	var path, to string
	cmd := newCommand("backup", "Copy the database to a new file, while Central runs or not", func() error {
		if to == "" {
			return fmt.Errorf("%w: --to FILE is needed", command.ErrUsage)
		}
		cfg, err := p.Load(path)
		if err != nil {
			return err
		}
		size, err := app.Backup(ctx, cfg, to)
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, "%s: %d bytes of %s\n", to, size, cfg.Database.Path)
		}
		return err
	})
	cmd.Flags().StringVar(&to, "to", "", "the new `FILE`")
	return withConfig(cmd, &path)
}

// database returns the file of flag --db, or else that of the configuration.
func database(db, path string, p *commandLine) (string, error) {
	if db != "" {
		return db, nil
	}
	cfg, err := p.Load(path)
	return cfg.Database.Path, err
}

// verify checks a database without changing it. It reads every record and folds
// them again, so its duration grows with the history.
func verify(ctx context.Context, p *commandLine) *cobra.Command {
	var path, db string
	cmd := newCommand("verify", "Check the database against the records in it, while Central runs or not", func() error {
		file, err := database(db, path, p)
		if err != nil {
			return err
		}
		return check(ctx, file, p.Stdout)
	})
	cmd.Flags().StringVar(&db, "db", "", "database `FILE`, such as a backup; without it that of the configuration")
	return withConfig(cmd, &path)
}

// check verifies a database and prints the report. Findings are an error, so
// that the exit code shows them: a script can refuse a bad backup.
func check(ctx context.Context, file string, stdout io.Writer) error {
	r, err := app.Verify(ctx, file)
	if err != nil {
		return err
	}
	if err := r.Write(stdout); err != nil {
		return err
	}
	if n := r.Wrong(); n > 0 {
		return fmt.Errorf("%s: %d findings", file, n)
	}
	return nil
}

// exportSettings prints what a rebuild needs beside Kafka. If the database is
// lost without a backup, nothing else has what operators decided.
func exportSettings(ctx context.Context, p *commandLine) *cobra.Command {
	var path, db string
	cmd := newCommand("export-settings", "Write what no record contains, for a rebuild: tariffs, admissions, decisions", func() error {
		file, err := database(db, path, p)
		if err != nil {
			return err
		}
		raw, err := app.ExportSettings(ctx, file)
		if err == nil {
			_, err = p.Stdout.Write(raw)
		}
		return err
	})
	cmd.Flags().StringVar(&db, "db", "", "database `FILE`, such as a backup; without it that of the configuration")
	return withConfig(cmd, &path)
}

// maxSettings is the largest file of settings, in bytes: far more than a large
// network has.
const maxSettings = 256 << 20

// rebuild creates a database, prints what it has, and verifies it. It needs
// Kafka and does not disturb a running Central. Records that Kafka has deleted
// are listed by charging point: their agents send them again once a Central
// runs on the result.
func rebuild(ctx context.Context, p *commandLine) *cobra.Command {
	var path, into, file string
	cmd := newCommand("rebuild", "Create a database from exported settings and all records in Kafka", func() error {
		if into == "" {
			return fmt.Errorf("%w: --into FILE is needed", command.ErrUsage)
		}
		cfg, err := p.Load(path)
		if err != nil {
			return err
		}
		var settings []byte
		if file != "" {
			if settings, _, err = process.ReadFile(file, maxSettings); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		sum, err := app.Rebuild(ctx, cfg, app.Deps{Log: logs.New(p.Stderr, slog.LevelInfo)}, settings, into)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%d records applied, %d duplicates, %d dead letters, %d did not fit, %d of quarantined identities\n",
			sum.Applied, sum.Duplicates, sum.DeadLetters, sum.Mismatched, sum.Forked)
		fmt.Fprintf(&b, "%d tickets, of which %d are still to be published\n", sum.Tickets, sum.Published)
		for _, w := range sum.Waiting {
			fmt.Fprintf(&b, "waiting for the agent: %s\n", w)
		}
		for _, w := range sum.Unsettled {
			fmt.Fprintf(&b, "not settled again: %s\n", w)
		}
		if _, err := fmt.Fprintln(p.Stdout, b.String()); err != nil {
			return err
		}
		return check(ctx, into, p.Stdout)
	})
	cmd.Flags().StringVar(&into, "into", "", "the new database `FILE`")
	cmd.Flags().StringVar(&file, "settings", "", "`FILE` of export-settings; without it prices are those of the configuration, and charging points are admitted only automatically")
	return withConfig(cmd, &path)
}
