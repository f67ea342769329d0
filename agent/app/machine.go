package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/logs"
)

// eventFunc makes an event of the time at which it is taken.
type eventFunc func(connector.Now) connector.Event

// machine is the goroutine of one connector and its inbox.
type machine struct {
	outlet   *outlet
	clock    *clock
	recorder *recorder
	log      *slog.Logger
	loop     *health.Loop
	readNow  chan struct{} // capacity 1: a reading is wanted now
	// afterStep is called with the records of each step, on this goroutine.
	afterStep func(connector.State, []connector.Record)

	state connector.State // owned by run, and by boot before it
	view  atomic.Pointer[connector.State]
	timer *time.Timer

	wake chan struct{} // capacity 1: there is something in the inbox
	mu   sync.Mutex
	// mu guards everything that follows.
	inbox []eventFunc
}

// post hands an event over. It never waits; the inbox is bounded by what its
// senders can have under way.
func (m *machine) post(e eventFunc) {
	m.mu.Lock()
	m.inbox = append(m.inbox, e)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// postPilot posts a new state of the pilot with a fresh session id, in case a
// policy starts a session by it.
func (m *machine) postPilot(p charge.PilotState) {
	crashpoint.At(crashpoint.Plugged)
	m.post(func(n connector.Now) connector.Event {
		wall, _ := m.clock.wall()
		return connector.PilotChanged{Now: n, Pilot: p, NewSession: charge.SessionID(ids.New(wall.Std(), rand.Reader))}
	})
}

// postReading posts what the meter said.
func (m *machine) postReading(r connector.Reading, failed bool) {
	m.post(func(n connector.Now) connector.Event { return connector.MeterRead{Now: n, Reading: r, Failed: failed} })
}

// run takes events until ctx ends; what is in the inbox then is taken still.
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

func (m *machine) applyAll() {
	m.mu.Lock()
	events := m.inbox
	m.inbox = nil
	m.mu.Unlock()
	for _, e := range events {
		m.apply(e(m.clock.now()))
	}
}

// apply steps and performs the effects in their order.
func (m *machine) apply(e connector.Event) {
	var effects []connector.Effect
	m.state, effects = connector.Step(m.state, e)
	for _, f := range effects {
		m.perform(f)
	}
	m.publish()
}

// publish lets others see the state as it is now.
func (m *machine) publish() { m.view.Store(new(m.state)) }

func (m *machine) perform(f connector.Effect) {
	switch f := f.(type) {
	case connector.OpenContactor:
		crashpoint.At(crashpoint.Stopping)
		if err := m.outlet.open(); err != nil {
			m.log.Error("contactor not opened", logs.Connector(m.outlet.id), logs.Err(err))
		}
		crashpoint.At(crashpoint.Done)
	case connector.Append:
		m.recorder.add(m.outlet.id, f.Records, func(err error) {
			if err != nil {
				m.post(func(n connector.Now) connector.Event { return connector.AppendFailed{Now: n, Token: f.Token} })
				return
			}
			m.post(func(n connector.Now) connector.Event { return connector.Appended{Now: n, Token: f.Token} })
		})
		m.afterStep(m.state, f.Records)
	case connector.OfferPower:
		if err := m.outlet.pilot.SetAvailable(f.Offer); err != nil {
			m.log.Warn("pilot not switched", logs.Connector(m.outlet.id), slog.Bool("offer", f.Offer), logs.Err(err))
		}
	case connector.CloseContactor:
		m.outlet.permit.Store(true)
	case connector.ReadMeter:
		select {
		case m.readNow <- struct{}{}:
		default:
		}
	case connector.SetTimer: // run reads it from the state
		m.setTimer()
	}
}

// setTimer sets the timer to what the state asks for. During boot there is none.
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
