package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/process"
)

// openStore opens the database. It retries while the folder cannot be written,
// and does not give up: agents keep what is not acknowledged, and there may be
// no operator to start Central again. Meanwhile it serves only health on the
// address of the page, unless the caller gave a listener, which is served
// later. It returns nil if ctx ends first.
func openStore(ctx context.Context, cfg Config, given bool, log *slog.Logger) (s *store.Store, err error) {
	w := observe.StartupWait{Prefix: metricPrefix, Check: "database", Log: log}
	if !given && cfg.onLoopback() && !cfg.Web.TLS.used() { // plain HTTP is for this machine alone
		w.Observe = observe.Config{Listen: cfg.HTTP.Listen}
	}
	err = process.Retry(ctx, func() error {
		s, err = store.Open(ctx, store.Options{Path: cfg.Database.Path})
		if process.FolderMayHeal(err) || errors.Is(err, fs.ErrPermission) {
			return process.ExplainFolder("database.path "+cfg.Database.Path, err)
		}
		return err
	}, func(err error) bool {
		why, remedy := store.Diagnose(err)
		if !process.FolderMayHeal(err) && remedy != store.RemedyWait {
			return false
		}
		if !why.IsZero() {
			err = fmt.Errorf("%s: %w", why, err)
		}
		w.Report(ctx, err.Error())
		return true
	})
	w.End()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, nil //nolint:nilnil // stopped before there was anything to run
	}
	return s, err
}
