package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/central/app"
)

// operate are the commands that look after a Central and serve nothing.
func operate(ctx context.Context, load func(path string) (app.Config, error), stdout io.Writer) []*cobra.Command {
	return []*cobra.Command{backup(ctx, load, stdout), verify(ctx, load, stdout)}
}

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

func backup(ctx context.Context, load func(string) (app.Config, error), stdout io.Writer) *cobra.Command {
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

func verify(ctx context.Context, load func(string) (app.Config, error), stdout io.Writer) *cobra.Command {
	var path, db string
	cmd := plain("verify", "Check the database against the records in it, while Central runs or not", func() error {
		if db == "" {
			cfg, err := load(path)
			if err != nil {
				return err
			}
			db = cfg.Database.Path
		}
		r, err := app.Verify(ctx, db)
		if err != nil {
			return err
		}
		if err := r.Write(stdout); err != nil {
			return err
		}
		if n := r.Wrong(); n > 0 {
			return fmt.Errorf("%s: %d findings", db, n)
		}
		return nil
	})
	cmd.Flags().StringVar(&db, "db", "", "database `FILE`, such as a backup; without it that of the configuration")
	return withConfig(cmd, &path)
}
