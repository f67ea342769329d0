package haltest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// contactorChecks are the rules about when power is on: invariants 2, 3 and 4 of
// package hal.
func contactorChecks() []testCase {
	return []testCase{
		{name: "open after new", run: func(r *rig) {
			r.wantOpen("after new")
			for _, n := range r.numbers() {
				r.wantFeedback(n, hal.ContactOpen, "after new")
				if r.contactor(n).Commanded() {
					r.Errorf("connector %d is commanded closed after new", n)
				}
			}
		}},
		{name: "closes and opens in time", run: checkSwitch},
		{name: "connectors switch alone", run: checkAlone},
		{name: "safe state opens all and is idempotent", run: checkSafeState},
		{name: "close opens all and refuses afterwards", run: checkClose},
		{name: "a missed kick opens and latches", needs: func(r *rig) bool { return r.keeper != nil }, run: checkKeeper},
		{name: "feedback is measured: welded", needs: func(r *rig) bool { return r.controls.Weld != nil }, run: checkWelded},
		{name: "feedback is measured: stuck open", needs: func(r *rig) bool { return r.controls.StickOpen != nil }, run: checkJammed},
		{name: "the last set false wins", run: checkOvertaken},
		{name: "the open path waits for nothing", run: checkPrompt},
		{name: "the open path allocates nothing", run: checkAllocations},
	}
}

// checkSwitch: a contactor closes and opens within MaxContactorDelay, and
// Commanded is the last command.
func checkSwitch(r *rig) {
	// Several rounds, since a latch could allow the first one only.
	for range 3 {
		r.closeAll()
		for _, n := range r.numbers() {
			r.wantFeedback(n, hal.ContactClosed, "after Set(true)")
			if !r.contactor(n).Commanded() {
				r.Errorf("connector %d is not commanded closed after Set(true)", n)
			}
			if err := r.contactor(n).Set(false); err != nil {
				r.Errorf("connector %d: set false: %v", n, err)
			}
			if r.contactor(n).Commanded() {
				r.Errorf("connector %d is commanded closed after Set(false)", n)
			}
		}
		r.advance(hal.MaxContactorDelay)
		r.wantOpen("after Set(false)")
		for _, n := range r.numbers() {
			r.wantFeedback(n, hal.ContactOpen, "after Set(false)")
		}
	}
}

// checkAlone: Set moves the contactor of its own connector only.
func checkAlone(r *rig) {
	// One after another is closed while all others must stay open.
	for _, one := range r.numbers() {
		r.kick()
		if err := r.contactor(one).Set(true); err != nil {
			r.Fatalf("connector %d: set true: %v", one, err)
		}
		r.advance(hal.MaxContactorDelay)
		for _, n := range r.numbers() {
			if got := r.controls.Closed(n); got != (n == one) {
				r.Errorf("connector %d closed is %v after Set(true) of %d", n, got, one)
			}
		}
		if err := r.contactor(one).Set(false); err != nil {
			r.Fatalf("connector %d: set false: %v", one, err)
		}
		r.advance(hal.MaxContactorDelay)
	}
}

// checkSafeState: SafeState opens every contactor, may be repeated, and does not
// prevent closing again.
func checkSafeState(r *rig) {
	r.closeAll()
	for range 2 {
		if err := r.SafeState(); err != nil {
			r.Errorf("safe state: %v", err)
		}
	}
	r.advance(hal.MaxContactorDelay)
	r.wantOpen("after SafeState")
	r.closeAll() // power may be switched on again
}

// checkClose: after Close every contactor is open and stays so, and inputs are
// errors, which are unsafe.
func checkClose(r *rig) {
	// The second Close must change nothing and return no error.
	r.closeAll()
	contactor := r.contactor(1)
	for range 2 {
		if err := r.Close(); err != nil {
			r.Errorf("close: %v", err)
		}
	}
	r.hang(hal.MaxContactorDelay)
	r.wantOpen("after Close")
	if err := contactor.Set(true); !errors.Is(err, hal.ErrClosed) {
		r.Errorf("set true after Close: got %v, want %v", err, hal.ErrClosed)
	}
	if state, _, err := contactor.Feedback(); err == nil || state != hal.ContactUnknown {
		r.Errorf("feedback after Close: got %v, %v; want unknown and an error", state, err)
	}
	if state, _, err := r.connectorOf(1).Pilot().State(); err == nil || state != charge.PilotUnknown {
		r.Errorf("pilot after Close: got %v, %v; want unknown and an error", state, err)
	}
	if e, err := r.EStop(); err == nil {
		if pressed, _, err := e.Pressed(); err == nil && !pressed {
			r.Error("the emergency stop reads as released after Close")
		}
	}
	r.hang(hal.MaxContactorDelay)
	r.wantOpen("after Close and Set(true)")
}

// connectorOf is connector for a closed board, which may return an error.
func (r *rig) connectorOf(n charge.ConnectorID) hal.Connector {
	c, err := r.Connector(n)
	if err != nil {
		r.Fatalf("connector %d of a closed board: %v", n, err)
	}
	return c
}

// checkKeeper: with kicks power stays on; without them it ends within
// MaxAgentGone, and comes back only by a new Set(true).
func checkKeeper(r *rig) {
	// Longer than any timeout, with kicks.
	r.closeAll()
	r.advance(2 * hal.MaxAgentGone)
	for _, n := range r.numbers() {
		if !r.controls.Closed(n) {
			r.Fatalf("connector %d opened although the keeper was kicked", n)
		}
	}
	// The trip latches: kicks alone do not restore power.
	r.hang(hal.MaxAgentGone)
	r.wantOpen("although the keeper was not kicked for " + hal.MaxAgentGone.String())
	r.advance(2 * hal.MaxContactorDelay)
	r.wantOpen("by the kicks alone, after a trip")
	r.closeAll() // a new Set(true) closes again
}

// checkWelded: feedback shows a contact that does not open, Commanded the
// command.
func checkWelded(r *rig) {
	// Welded while closed: the command to open has no effect on the contact.
	r.closeAll()
	r.controls.Weld(1)
	if err := r.contactor(1).Set(false); err != nil {
		r.Errorf("set false of a welded contactor: %v", err)
	}
	r.advance(2 * hal.MaxContactorDelay)
	r.wantFeedback(1, hal.ContactClosed, "of a welded contactor commanded open")
	if r.contactor(1).Commanded() {
		r.Error("a welded contactor reads as commanded closed")
	}
}

// checkJammed: feedback shows a contact that does not close.
func checkJammed(r *rig) {
	// Stuck while open: the command to close has no effect on the contact.
	r.controls.StickOpen(1)
	r.kick()
	if err := r.contactor(1).Set(true); err != nil {
		r.Errorf("set true of a stuck contactor: %v", err)
	}
	r.advance(2 * hal.MaxContactorDelay)
	r.wantFeedback(1, hal.ContactOpen, "of a stuck contactor commanded closed")
	if !r.contactor(1).Commanded() {
		r.Error("a stuck contactor reads as commanded open")
	}
}

// checkOvertaken: when several goroutines close while one opens, the last
// Set(false) decides.
func checkOvertaken(r *rig) {
	// Both ways to open, against four goroutines that close.
	contactor := r.contactor(1)
	for round := range 20 {
		r.kick()
		var closers sync.WaitGroup
		for range 4 {
			closers.Go(func() { _ = contactor.Set(true) })
		}
		if round%2 == 0 {
			_ = contactor.Set(false)
		} else if err := r.SafeState(); err != nil {
			r.Errorf("safe state: %v", err)
		}
		closers.Wait()
		if err := contactor.Set(false); err != nil {
			r.Fatalf("set false: %v", err)
		}
		r.advance(hal.MaxContactorDelay)
		r.wantOpen("after the last Set(false)")
	}
}

// checkPrompt: opening takes less than a tick while readings of the meters are
// under way.
func checkPrompt(r *rig) {
	// The readings are under way, and as slow as this backend can make them, when
	// the contactors open.
	if r.controls.SlowMeter != nil {
		r.controls.SlowMeter(5 * time.Second)
	}
	r.closeAll()
	ctx, cancel := context.WithCancel(r.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	for _, n := range r.numbers() {
		c := r.connector(n)
		others.Go(func() { _, _ = c.Meter().Read(ctx) })
	}
	time.Sleep(tick)
	// In the bubble only waiting takes time: any measured time is a wait.
	begin := time.Now()
	for _, n := range r.numbers() {
		if err := r.contactor(n).Set(false); err != nil {
			r.Errorf("connector %d: set false: %v", n, err)
		}
	}
	if err := r.SafeState(); err != nil {
		r.Errorf("safe state: %v", err)
	}
	if took := time.Since(begin); took > tick {
		r.Errorf("opening took %v behind a slow meter", took)
	}
	r.advance(hal.MaxContactorDelay)
	r.wantOpen("while the meters are being read")
}

// checkAllocations: opening allocates nothing, so it works when memory is short
// and never waits for the garbage collector.
func checkAllocations(r *rig) {
	contactor := r.contactor(1)
	for name, open := range map[string]func() error{
		"Set(false)": func() error { return contactor.Set(false) },
		"SafeState":  r.SafeState,
	} {
		var failed error
		// Repeating the command is allowed, so every run takes the full path.
		allocs := testing.AllocsPerRun(50, func() {
			if err := open(); err != nil {
				failed = err
			}
		})
		if failed != nil || allocs > 0 {
			r.Errorf("%s: %v allocations, error %v; want none", name, allocs, failed)
		}
	}
}
