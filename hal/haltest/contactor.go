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

// contactorChecks are about when power is on.
func contactorChecks() []check {
	return []check{
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

func checkSwitch(r *rig) {
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

func checkAlone(r *rig) {
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

func checkSafeState(r *rig) {
	r.closeAll()
	for range 2 {
		if err := r.SafeState(); err != nil {
			r.Errorf("safe state: %v", err)
		}
	}
	r.advance(hal.MaxContactorDelay)
	r.wantOpen("after SafeState")
	r.closeAll() // it is no end: power may be switched again
}

func checkClose(r *rig) {
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

// connectorOf is connector for a closed board, which may refuse it.
func (r *rig) connectorOf(n charge.ConnectorID) hal.Connector {
	c, err := r.Connector(n)
	if err != nil {
		r.Fatalf("connector %d of a closed board: %v", n, err)
	}
	return c
}

func checkKeeper(r *rig) {
	r.closeAll()
	r.advance(2 * hal.MaxAgentGone)
	for _, n := range r.numbers() {
		if !r.controls.Closed(n) {
			r.Fatalf("connector %d opened although the keeper was kicked", n)
		}
	}
	r.hang(hal.MaxAgentGone)
	r.wantOpen("although nobody kicked for " + hal.MaxAgentGone.String())
	r.advance(2 * hal.MaxContactorDelay)
	r.wantOpen("by the kicks alone, after a trip")
	r.closeAll() // a new Set(true) may
}

func checkWelded(r *rig) {
	r.closeAll()
	r.controls.Weld(1)
	if err := r.contactor(1).Set(false); err != nil {
		r.Errorf("set false of a welded contactor: %v", err)
	}
	r.advance(2 * hal.MaxContactorDelay)
	r.wantFeedback(1, hal.ContactClosed, "of a welded contactor commanded open")
	if r.contactor(1).Commanded() {
		r.Error("a welded contactor says it is commanded closed")
	}
}

func checkJammed(r *rig) {
	r.controls.StickOpen(1)
	r.kick()
	if err := r.contactor(1).Set(true); err != nil {
		r.Errorf("set true of a stuck contactor: %v", err)
	}
	r.advance(2 * hal.MaxContactorDelay)
	r.wantFeedback(1, hal.ContactOpen, "of a stuck contactor commanded closed")
	if !r.contactor(1).Commanded() {
		r.Error("a stuck contactor says it is commanded open")
	}
}

// checkOvertaken lets many close while one opens: whoever opens last wins.
func checkOvertaken(r *rig) {
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

// checkPrompt opens while the meters are slow and others close.
func checkPrompt(r *rig) {
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

func checkAllocations(r *rig) {
	contactor := r.contactor(1)
	for name, open := range map[string]func() error{
		"Set(false)": func() error { return contactor.Set(false) },
		"SafeState":  r.SafeState,
	} {
		var failed error
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
