// Package haltest is the one conformance suite of package hal: every backend
// runs it, so that "a contactor opens" means the same on a simulator, over a
// socket, on fake pins and on a board. It also holds strict fakes of GPIO
// lines (Chip), which fail the test where the real driver would misbehave in
// silence.
//
// A backend's test gives a Maker: it makes a fresh board and the Hands that
// act on its world from outside. Run plays every case in a synctest bubble,
// where time is exact and free. A case whose hands are missing on a backend is
// left out, and a line says so.
package haltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Controls is what the suite does to the world around connector n of a board. A
// nil function says that this backend's world cannot do it.
type Controls struct {
	// Plug connects a vehicle that asks for power, within Settle.
	Plug func(n charge.ConnectorID)
	// Unplug pulls the cable.
	Unplug func(n charge.ConnectorID)
	// Stop presses the emergency stop, or releases it.
	Stop func(pressed bool)
	// Weld holds the contact closed; Jam holds it open.
	Weld, StickOpen func(n charge.ConnectorID)
	// SetUnreadable makes the safety inputs of the connector unreadable, or readable.
	SetUnreadable func(n charge.ConnectorID, blind bool)
	// SlowMeter makes each reading of the meters take that long.
	SlowMeter func(d time.Duration)
	// Closed tells from outside the backend whether power is switched on: the
	// contact itself, or the output line where there is no contact. It works
	// after Close. Every backend has it.
	Closed func(n charge.ConnectorID) bool

	// Settle is how long the world takes to show what the hands did: at most
	// MaxContactorDelay for a contact, longer for a vehicle that thinks.
	Settle time.Duration
}

// Maker makes a fresh board with nothing plugged in. It registers what must be
// cleaned up with t; the suite closes the board itself.
type Maker func(t *testing.T) (hal.Board, Controls)

// check is one case: a rule, and whether the backend's world can show it.
type check struct {
	name  string
	needs func(*rig) bool // nil: always
	run   func(*rig)
}

// Run plays the suite in fake time: the backend may use package time and
// in-memory connections, but no sockets and no files.
func Run(t *testing.T, newBoard Maker) {
	t.Helper()
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
		t.Logf("left out, as this backend's world cannot show them: %s", strings.Join(left, ", "))
	}
}

func checks() []check {
	var all []check
	all = append(all, shapeChecks()...)
	all = append(all, contactorChecks()...)
	all = append(all, inputChecks()...)
	return append(all, stressChecks()...)
}

// rig is one board under test.
type rig struct {
	*testing.T
	hal.Board
	controls Controls
	keeper   hal.Keeper // nil: not fitted
}

func newRig(t *testing.T, b hal.Board, h Controls) *rig {
	t.Helper()
	if h.Closed == nil {
		t.Fatal("the hands cannot tell whether a contact is closed: nothing could be proven")
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

func (r *rig) numbers() []charge.ConnectorID {
	var out []charge.ConnectorID
	for n := range r.Info().Connectors {
		out = append(out, charge.ConnectorID(n+1))
	}
	return out
}

func (r *rig) connector(n charge.ConnectorID) hal.Connector {
	r.Helper()
	c, err := r.Connector(n)
	if err != nil || c == nil {
		r.Fatalf("connector %d: got %v, %v", n, c, err)
	}
	return c
}

func (r *rig) contactor(n charge.ConnectorID) hal.Contactor {
	r.Helper()
	return r.connector(n).Contactor()
}

// tick is the period of the safety loop.
const tick = 10 * time.Millisecond

// advance lets time go by with a healthy safety loop: it reads and kicks.
func (r *rig) advance(d time.Duration) {
	r.Helper()
	for end := r.Mono() + d; r.Mono() < end; time.Sleep(tick) {
		for _, n := range r.numbers() {
			c := r.connector(n)
			_, _, _ = c.Contactor().Feedback()
			_, _, _ = c.Pilot().State()
		}
		r.kick()
	}
}

func (r *rig) kick() {
	r.Helper()
	if r.keeper == nil {
		return
	}
	if err := r.keeper.Kick(); err != nil {
		r.Fatalf("kick: %v", err)
	}
}

// hang lets time go by without any call, as a hung process does.
func (r *rig) hang(d time.Duration) { time.Sleep(d) }

// closeAll commands every contactor closed and waits until it is.
func (r *rig) closeAll() {
	r.Helper()
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

// wantOpen checks the contacts themselves.
func (r *rig) wantOpen(when string) {
	r.Helper()
	for _, n := range r.numbers() {
		if r.controls.Closed(n) {
			r.Errorf("connector %d is closed %s", n, when)
		}
	}
}

// wantFeedback reads the contact through the board, where it is fitted.
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

// settle is time enough for what the hands did to be seen.
func (r *rig) settle() { r.advance(max(r.controls.Settle, hal.MaxContactorDelay)) }
