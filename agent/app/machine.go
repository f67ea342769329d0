package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/internal/control"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
)

// eventFunc makes an event with the time at which it is applied. The time is
// not that of posting: it must not go back between two events of a connector.
type eventFunc func(connector.Now) connector.Event

// machine runs the state machine of one connector: its goroutine owns the state,
// applies the events of the inbox in order, and performs the effects.
type machine struct {
	outlet   *control.Outlet
	clock    *clock
	recorder *recorder
	log      *slog.Logger
	loop     *health.Loop
	readNow  chan struct{} // capacity 1: asks the meter reader for a reading
	// afterStep is called with the records of each step, on this goroutine.
	afterStep func(connector.State, []connector.Record)

	state connector.State                 // owned by run, and by boot before it
	view  atomic.Pointer[connector.State] // state for other goroutines; nil before the first event
	timer *time.Timer                     // nil during boot

	wake chan struct{} // capacity 1: the inbox has grown
	mu   sync.Mutex
	// mu guards everything that follows.
	inbox []eventFunc
}

// post puts an event into the inbox. It never waits. The inbox has no limit of
// its own: each sender has a bounded number of events in flight.
func (m *machine) post(e eventFunc) {
	m.mu.Lock()
	m.inbox = append(m.inbox, e)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// postPilot posts a new state of the pilot with a fresh session id, which is
// used if a policy starts a session by this plug.
func (m *machine) postPilot(p charge.PilotState) {
	crashpoint.At(crashpoint.Plugged)
	m.post(func(n connector.Now) connector.Event {
		wall, _ := m.clock.wall()
		return connector.PilotChanged{Now: n, Pilot: p, NewSession: charge.SessionID(ids.New(wall.Std(), rand.Reader))}
	})
}

// postReading posts a reading of the meter, or that it failed.
func (m *machine) postReading(r connector.Reading, failed bool) {
	m.post(func(n connector.Now) connector.Event { return connector.MeterRead{Now: n, Reading: r, Failed: failed} })
}

// run applies events until ctx ends, and then those that are in the inbox.
func (m *machine) run(ctx context.Context) {
	m.timer = time.NewTimer(time.Hour)
	m.setTimer()
	defer m.timer.Stop()
	turn := time.NewTicker(health.BeatEvery)
	defer turn.Stop()
	for {
		m.loop.Beat()
		select {
		case <-turn.C:
		case <-ctx.Done():
			m.applyAll()
			return
		case <-m.wake:
			m.applyAll()
		case <-m.timer.C:
			m.apply(connector.TimerFired{Now: m.clock.now()})
		}
	}
}

// applyAll applies the events of the inbox in order, each with the time at which
// it is applied.
func (m *machine) applyAll() {
	m.mu.Lock()
	events := m.inbox
	m.inbox = nil
	m.mu.Unlock()
	for _, e := range events {
		m.apply(e(m.clock.now()))
	}
}

// apply makes one step of the state machine and performs its effects in their
// order.
func (m *machine) apply(e connector.Event) {
	var effects []connector.Effect
	m.state, effects = connector.Step(m.state, e)
	for _, f := range effects {
		m.perform(f)
	}
	m.publish()
}

// publish makes the present state visible to other goroutines.
func (m *machine) publish() { m.view.Store(new(m.state)) }

// perform performs one effect. CloseContactor only permits: the control loop
// closes at its next tick if the safety rules allow it.
func (m *machine) perform(f connector.Effect) {
	switch f := f.(type) {
	case connector.OpenContactor:
		crashpoint.At(crashpoint.Stopping)
		if err := m.outlet.Open(); err != nil {
			m.log.Error("contactor not opened", logs.Connector(m.outlet.ID), logs.Err(err))
		}
		crashpoint.At(crashpoint.Done)
	case connector.Append:
		// The result comes back as an event, on the recorder's goroutine.
		m.recorder.add(m.outlet.ID, f.Records, func(err error) {
			if err != nil {
				m.post(func(n connector.Now) connector.Event { return connector.AppendFailed{Now: n, Token: f.Token} })
				return
			}
			m.post(func(n connector.Now) connector.Event { return connector.Appended{Now: n, Token: f.Token} })
		})
		m.afterStep(m.state, f.Records)
	case connector.OfferPower:
		if err := m.outlet.Offer(f.Offer); err != nil {
			m.log.Warn("pilot not switched", logs.Connector(m.outlet.ID), slog.Bool("offer", f.Offer), logs.Err(err))
		}
	case connector.CloseContactor:
		m.outlet.Permit()
	case connector.ReadMeter:
		select {
		case m.readNow <- struct{}{}:
		default:
		}
	case connector.SetTimer: // setTimer reads the time from the state
		m.setTimer()
	}
}

// setTimer sets the timer to State.Timer. During boot there is no timer: run
// sets it when it starts.
func (m *machine) setTimer() {
	if m.timer == nil {
		return
	}
	if m.state.Timer == 0 {
		m.timer.Stop()
		return
	}
	m.timer.Reset(max(m.state.Timer-m.clock.at(), 0))
}
