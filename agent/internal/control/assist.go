package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/internal/logs"
)

// testWithin limits a self-test of a residual current device.
const testWithin = 5 * time.Second

// testResult is how a self-test ended.
type testResult int32

const (
	testNone testResult = iota // no test has ended since the last tick
	testPassed
	testFailed
)

// job is what the loop leaves to Assist: it may take time, or it logs.
type job struct {
	kind   jobKind
	outlet *outletState // nil: of the board
	err    error        // of a note
}

type jobKind int

const (
	jobTest jobKind = iota
	jobReset
	jobTrip
	// The notes: an output that could not be written.
	noteContactor
	noteLock
	noteOffer
	noteKeeper
)

// output is the name of the output in a note.
func (k jobKind) output() string {
	switch k {
	case noteContactor:
		return "contactor"
	case noteLock:
		return "lock"
	case noteOffer:
		return "pilot"
	case noteKeeper:
		return "keeper"
	case jobTest, jobReset, jobTrip:
	}
	return ""
}

// leave leaves a job to Assist and reports whether there was space for it. It never
// waits.
func (l *Loop) leave(j job) bool {
	select {
	case l.jobs <- j:
		return true
	default:
		return false
	}
}

// note logs, later, that an output could not be written: once until it can.
func (l *Loop) note(kind jobKind, o *outletState, err error, failed *bool) {
	if err != nil && !*failed {
		l.leave(job{kind, o, err})
	}
	*failed = err != nil
}

// Assist does for the loop what may take time, until ctx ends: self-tests and resets
// of residual current devices, Tripped, and the log. It is one goroutine beside Run.
func (l *Loop) Assist(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-l.jobs:
			l.do(ctx, j)
		}
	}
}

// do does one job.
func (l *Loop) do(ctx context.Context, j job) {
	switch j.kind {
	case jobTest:
		within, cancel := context.WithTimeout(ctx, testWithin)
		err := j.outlet.ground.SelfTest(within)
		cancel()
		result := testPassed
		if err != nil {
			result = testFailed
			l.Log.Error("self-test of the residual current device failed", logs.Connector(j.outlet.ID), logs.Err(err))
		}
		j.outlet.tested.Store(int32(result))
	case jobReset:
		if err := j.outlet.ground.Reset(); err != nil {
			l.Log.Error("residual current device not reset", logs.Connector(j.outlet.ID), logs.Err(err))
		}
	case jobTrip:
		l.Tripped(j.outlet.trip(l.limits))
	case noteContactor, noteLock, noteOffer, noteKeeper:
		attrs := []any{slog.String("output", j.kind.output()), logs.Err(j.err)}
		if j.outlet != nil {
			attrs = append(attrs, logs.Connector(j.outlet.ID))
		}
		l.Log.Error("output not written", attrs...)
	}
}
