package app

import (
	"context"
	"errors"
	"io/fs"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/process"
)

// boot boots, as soon as the folder of the journal can be written: no power
// flows that cannot be written down, and nobody may be there to start the agent
// again. Meanwhile the contactors are open, and health says why. It returns nil
// when ctx ends before.
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

// explain says what to do about a folder that cannot be written.
func (a *Agent) explain(err error) error {
	if process.FolderMayHeal(err) || errors.Is(err, fs.ErrPermission) {
		return process.ExplainFolder("data_dir "+a.cfg.DataDir, err)
	}
	return err
}
