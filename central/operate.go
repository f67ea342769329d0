package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/process"
)

// operate are the commands that look after a Central and serve nothing.
func operate(ctx context.Context, load loader, stdout, stderr io.Writer) []*cobra.Command {
	return []*cobra.Command{
		backup(ctx, load, stdout), verify(ctx, load, stdout), exportSettings(ctx, load, stdout), rebuild(ctx, load, stdout, stderr),
	}
}

// loader reads the configuration at a path.
type loader func(path string) (app.Config, error)

// plain makes a command that takes flags and no arguments.
func plain(use, short string, run func() error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return run() },
	}
}

func withConfig(cmd *cobra.Command, path *string) *cobra.Command {
	cmd.Flags().StringVar(path, "config", "", "configuration `FILE` (YAML); without it the defaults hold")
	return cmd
}

func backup(ctx context.Context, load loader, stdout io.Writer) *cobra.Command {
	var path, to string
	cmd := plain("backup", "Copy the database to a new file, while Central runs or not", func() error {
		if to == "" {
			return fmt.Errorf("%w: --to FILE is needed", errUsage)
		}
		cfg, err := load(path)
		if err != nil {
			return err
		}
		size, err := app.Backup(ctx, cfg, to)
		if err == nil {
			_, err = fmt.Fprintf(stdout, "%s: %d bytes of %s\n", to, size, cfg.Database.Path)
		}
		return err
	})
	cmd.Flags().StringVar(&to, "to", "", "the new `FILE`")
	return withConfig(cmd, &path)
}

// database is the file that is named, or that of the configuration.
func database(db, path string, load loader) (string, error) {
	if db != "" {
		return db, nil
	}
	cfg, err := load(path)
	return cfg.Database.Path, err
}

func verify(ctx context.Context, load loader, stdout io.Writer) *cobra.Command {
	var path, db string
	cmd := plain("verify", "Check the database against the records in it, while Central runs or not", func() error {
		file, err := database(db, path, load)
		if err != nil {
			return err
		}
		return check(ctx, file, stdout)
	})
	cmd.Flags().StringVar(&db, "db", "", "database `FILE`, such as a backup; without it that of the configuration")
	return withConfig(cmd, &path)
}

// check shows what is wrong with a database; findings are an error.
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

func exportSettings(ctx context.Context, load loader, stdout io.Writer) *cobra.Command {
	var path, db string
	cmd := plain("export-settings", "Write what no record tells, for a rebuild: tariffs, admissions, decisions", func() error {
		file, err := database(db, path, load)
		if err != nil {
			return err
		}
		raw, err := app.ExportSettings(ctx, file)
		if err == nil {
			_, err = stdout.Write(raw)
		}
		return err
	})
	cmd.Flags().StringVar(&db, "db", "", "database `FILE`, such as a backup; without it that of the configuration")
	return withConfig(cmd, &path)
}

// maxSettings is the largest file of settings, in bytes: far more than those of
// a large network.
const maxSettings = 256 << 20

func rebuild(ctx context.Context, load loader, stdout, stderr io.Writer) *cobra.Command {
	var path, into, file string
	cmd := plain("rebuild", "Make the database anew from exported settings and all that Kafka holds", func() error {
		if into == "" {
			return fmt.Errorf("%w: --into FILE is needed", errUsage)
		}
		cfg, err := load(path)
		if err != nil {
			return err
		}
		var settings []byte
		if file != "" {
			if settings, _, err = process.ReadFile(file, maxSettings); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		sum, err := app.Rebuild(ctx, cfg, app.Deps{Log: logs.New(stderr, slog.LevelInfo)}, settings, into)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%d records applied, %d were there twice, %d dead letters, %d did not fit, %d of quarantined identities\n",
			sum.Applied, sum.Duplicates, sum.DeadLetters, sum.Mismatched, sum.Forked)
		fmt.Fprintf(&b, "%d tickets, of which %d are still to be told\n", sum.Tickets, sum.Published)
		for _, w := range sum.Waiting {
			fmt.Fprintf(&b, "the agent must say more: %s\n", w)
		}
		for _, w := range sum.Unsettled {
			fmt.Fprintf(&b, "not settled again: %s\n", w)
		}
		if _, err := fmt.Fprintln(stdout, b.String()); err != nil {
			return err
		}
		return check(ctx, into, stdout)
	})
	cmd.Flags().StringVar(&into, "into", "", "the new database `FILE`")
	cmd.Flags().StringVar(&file, "settings", "", "`FILE` of export-settings; without it prices are those of the configuration, and nobody is admitted but automatically")
	return withConfig(cmd, &path)
}
