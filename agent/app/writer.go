package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// writer is the goroutine that waits for the disk, so that no step of the core
// does. It does one job at a time and posts the result.
type writer struct {
	journal Journal
	post    func(point.Event)
	uptime  func() time.Duration
	log     *slog.Logger

	jobs   chan point.Effect // Append or SavePosition; capacity 1: more are never under way
	failed chan error        // why the journal takes no more records; capacity 1
	batch  *point.Batch      // under way or the last one
	full   bool              // the last batch did not fit
	began  atomic.Int64      // when the present job began, in nanoseconds since the boot; 0: none
}

// run does the jobs until ctx ends.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-w.jobs:
			w.do(job)
		}
	}
}

func (w *writer) do(job point.Effect) {
	w.began.Store(int64(w.uptime()))
	defer w.began.Store(0)
	switch job := job.(type) {
	case point.Append:
		if err := w.append(job.Batch); err != nil && !errors.Is(err, ErrNoSpace) {
			w.failed <- err
		}
	case point.SavePosition:
		if err := w.journal.SavePosition(job.Position, job.Index); err != nil {
			w.log.Warn("position not remembered", logs.Err(err))
		}
		w.post(point.PositionSaved{Held: w.journal.Held()})
	default:
	}
}

// append makes a batch durable. A full disk is logged once; any other error is
// final.
func (w *writer) append(b *point.Batch) error {
	w.batch = b
	err := w.journal.Append(b.Class, b.Encoders()...)
	full := errors.Is(err, ErrNoSpace)
	if err != nil && !(full && w.full) {
		w.log.Error("records not written", slog.Int("records", len(b.Records)), logs.Err(err))
	}
	if w.full = full; err != nil {
		w.post(point.AppendFailed{NoSpace: full})
		return fmt.Errorf("append %d records: %w", len(b.Records), err)
	}
	crashPoints(b)
	w.post(point.Appended{Saved: b.Saved(), Held: w.journal.Held()})
	return nil
}

// checkpoint encodes the state after the records encoded so far. The journal calls
// it within Append.
func (w *writer) checkpoint() ([]byte, error) { return w.batch.Checkpoint() }

// hangs reports whether the present job has taken longer than a memory card may
// stop for.
func (w *writer) hangs() bool {
	began := time.Duration(w.began.Load())
	return began != 0 && w.uptime()-began >= hangsAfter
}

// crashPoints is where a test build may die: the records are durable, and they have
// had no effect yet.
func crashPoints(b *point.Batch) {
	for _, rec := range b.Records {
		switch rec.Payload.(type) {
		case *wire.CommandAccepted:
			crashpoint.At(crashpoint.Synced)
		case *wire.Authorized:
			crashpoint.At(crashpoint.Granted)
		default:
		}
	}
}
