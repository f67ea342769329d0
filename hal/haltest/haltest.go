// Package haltest is the conformance suite of package hal: every backend runs it,
// so that "a contactor opens" means the same on a simulator, over a socket, on
// fake pins and on real ones. It also holds strict fakes of GPIO lines (Chip),
// which fail the test where the real driver would misbehave without an error.
//
// A backend's test supplies a Maker, which makes a new board and the Controls
// that act on its surroundings. Run runs every case in a synctest bubble, where
// time is exact and waiting costs nothing. A case that needs a control which the
// backend does not have is skipped, and the log lists it.
//
// The rules are checked from outside: Controls.Closed is the truth about a
// contact, and the board's answers are compared with it. Rules that need no
// control are those of package check, which the agent also runs on site.
package haltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/check"
	"github.com/carga-ev/carga/internal/charge"
)

// Controls change the surroundings of a board: vehicles, the emergency stop,
// faults. A nil function means that this backend cannot do it.
type Controls struct {
	// Plug connects a vehicle that requests power, within Settle.
	Plug func(n charge.ConnectorID)
	// Unplug pulls the cable.
	Unplug func(n charge.ConnectorID)
	// Stop presses or releases the emergency stop.
	Stop func(pressed bool)
	// Weld keeps the contact closed, StickOpen keeps it open, whatever is commanded.
	Weld, StickOpen func(n charge.ConnectorID)
	// SetUnreadable makes the safety inputs of the connector unreadable, or readable
	// again.
	SetUnreadable func(n charge.ConnectorID, blind bool)
	// SlowMeter makes each reading of the meters take that long.
	SlowMeter func(d time.Duration)
	// Trip makes the residual current device trip, or removes the cause of that.
	Trip func(n charge.ConnectorID, on bool)
	// Locked is where the bolt of the lock is, measured outside the board, and Jam
	// makes it stay there, or frees it.
	Locked func(n charge.ConnectorID) bool
	Jam    func(n charge.ConnectorID, on bool)
	// Cable is what a plugged cable is coded for.
	Cable charge.MilliAmps
	// Tap holds a card to the reader, PressButton presses the button of a connector.
	Tap         func(uid string)
	PressButton func(n charge.ConnectorID)
	// Light is what a person sees at a connector.
	Light func(n charge.ConnectorID) hal.Light
	// Closed is whether power is switched on, measured outside the board: at the
	// contact, or at the output line where there is no contact. It works after
	// Close. Every backend has it.
	Closed func(n charge.ConnectorID) bool

	// Settle is how long a control takes to have its effect: at most
	// MaxContactorDelay for a contact, longer for a vehicle that requests power
	// after a delay.
	Settle time.Duration
}

// Maker makes a new board with nothing plugged in. It registers its cleanups with
// t; the suite closes the board itself.
type Maker func(t *testing.T) (hal.Board, Controls)

// testCase is one case: a rule, and whether the backend has the controls for it.
type testCase struct {
	name  string
	needs func(*rig) bool // nil: always
	run   func(*rig)
}

// Run runs the suite in fake time: the backend may use package time and in-memory
// connections, but no sockets and no files.
func Run(t *testing.T, newBoard Maker) {
	t.Helper()
	for _, rule := range check.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board, controls := newBoard(t)
				r := newRig(t, board, controls)
				err := rule.Check(check.NewProbe(t.Context(), board))
				if err != nil && !notFitted(err) {
					t.Error(err)
				}
				r.hang(hal.MaxContactorDelay)
				r.wantOpen("after the rule was checked")
			})
		})
	}
	var left []string
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				board, controls := newBoard(t)
				r := newRig(t, board, controls)
				if c.needs != nil && !c.needs(r) {
					left = append(left, c.name)
					return
				}
				c.run(r)
			})
		})
	}
	if len(left) > 0 {
		t.Logf("skipped, since this backend has no control for them: %s", strings.Join(left, ", "))
	}
}

// checks are all cases.
func checks() []testCase {
	var all []testCase
	all = append(all, shapeChecks()...)
	all = append(all, contactorChecks()...)
	all = append(all, inputChecks()...)
	all = append(all, partChecks()...)
	return append(all, stressChecks()...)
}

// rig is one board under test. It is the test, the board and the controls at
// once, so that a case reads as a sequence of actions.
type rig struct {
	*testing.T
	hal.Board
	controls Controls
	keeper   hal.Keeper // nil: not fitted
}

// newRig puts a board under test and closes it at the end.
func newRig(t *testing.T, b hal.Board, h Controls) *rig {
	t.Helper()
	if h.Closed == nil {
		t.Fatal("the controls have no Closed: nothing could be proven")
	}
	r := &rig{T: t, Board: b, controls: h}
	if k, err := b.Keeper(); err == nil {
		r.keeper = k
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close at the end: %v", err)
		}
	})
	return r
}

// numbers are the numbers of the board's connectors, from 1.
func (r *rig) numbers() []charge.ConnectorID {
	var out []charge.ConnectorID
	for n := range r.Info().Connectors {
		out = append(out, charge.ConnectorID(n+1))
	}
	return out
}

// connector returns the devices of connector n; an error ends the case.
func (r *rig) connector(n charge.ConnectorID) hal.Connector {
	r.Helper()
	c, err := r.Connector(n)
	if err != nil || c == nil {
		r.Fatalf("connector %d: got %v, %v", n, c, err)
	}
	return c
}

// contactor returns the contactor of connector n.
func (r *rig) contactor(n charge.ConnectorID) hal.Contactor {
	r.Helper()
	return r.connector(n).Contactor()
}

// tick is the period of the safety loop.
const tick = check.Tick

// advance lets time pass with a working safety loop, which reads the inputs and
// kicks the keeper.
func (r *rig) advance(d time.Duration) {
	r.Helper()
	// Reading matters: a backend may sample its inputs only when they are read.
	for end := r.Mono() + d; r.Mono() < end; time.Sleep(tick) {
		for _, n := range r.numbers() {
			c := r.connector(n)
			_, _, _ = c.Contactor().Feedback()
			_, _, _ = c.Pilot().State()
		}
		r.kick()
	}
}

// kick kicks the keeper, where one is fitted.
func (r *rig) kick() {
	r.Helper()
	if r.keeper == nil {
		return
	}
	if err := r.keeper.Kick(); err != nil {
		r.Fatalf("kick: %v", err)
	}
}

// hang lets time pass without any call, as a hung process does.
func (r *rig) hang(d time.Duration) { time.Sleep(d) }

// closeAll commands every contactor closed and waits until it is.
func (r *rig) closeAll() {
	r.Helper()
	// No contactor closes before the first kick.
	r.kick()
	for _, n := range r.numbers() {
		if err := r.contactor(n).Set(true); err != nil {
			r.Fatalf("connector %d: set true: %v", n, err)
		}
	}
	r.advance(hal.MaxContactorDelay)
	for _, n := range r.numbers() {
		if !r.controls.Closed(n) {
			r.Fatalf("connector %d is not closed %v after Set(true)", n, hal.MaxContactorDelay)
		}
	}
}

// wantOpen checks from outside that every contact is open.
func (r *rig) wantOpen(when string) {
	r.Helper()
	for _, n := range r.numbers() {
		if r.controls.Closed(n) {
			r.Errorf("connector %d is closed %s", n, when)
		}
	}
}

// wantFeedback checks what the board measures at a contact, where feedback is
// fitted.
func (r *rig) wantFeedback(n charge.ConnectorID, want hal.ContactState, when string) {
	r.Helper()
	got, _, err := r.contactor(n).Feedback()
	if notFitted(err) {
		return
	}
	if err != nil || got != want {
		r.Errorf("connector %d: feedback %s: got %v, %v; want %v", n, when, got, err, want)
	}
}

// settle waits until the board can show what a control did.
func (r *rig) settle() { r.advance(max(r.controls.Settle, hal.MaxContactorDelay)) }
