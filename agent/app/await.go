package app

import (
	"context"
	"errors"
	"io/fs"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/process"
)

// boot boots as soon as the journal's folder can be written. Until then the
// contactors stay open, since no power may flow that cannot be recorded, and
// health reports the reason. It retries instead of failing because a charging
// point may have no service manager that starts it again. It returns nil without
// an error when ctx ends first.
func (a *Agent) boot(ctx context.Context, deps Deps, board hal.Board) (r *running, err error) {
	w := observe.StartupWait{Prefix: metricPrefix, Check: "journal", Observe: a.cfg.Observe, Log: deps.Log}
	if deps.Listener != nil {
		w.Observe = observe.Config{} // it is for the boot
	}
	err = process.Retry(ctx, func() error {
		r, err = boot(ctx, a.cfg, deps, board)
		return a.explain(err)
	}, func(err error) bool {
		if !process.FolderMayHeal(err) {
			return false
		}
		w.Report(ctx, err.Error())
		return true
	})
	w.End()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, nil //nolint:nilnil // it was stopped before there was anything to run
	}
	return r, err
}

// explain adds the remedy to the error of a folder that cannot be written.
func (a *Agent) explain(err error) error {
	if process.FolderMayHeal(err) || errors.Is(err, fs.ErrPermission) {
		return process.ExplainFolder("data_dir "+a.cfg.DataDir, err)
	}
	return err
}
