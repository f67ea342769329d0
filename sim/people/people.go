// Package people plays the drivers of simulated charging points: on a
// reservation a vehicle arrives, plugs in, and leaves after its session.
//
// Model decides and is pure. People runs one model in real time: it reads the
// records of the charging point's agent (app.Deps.OnRecords) and operates the
// simulated hardware. Agents know nothing of it.
package people

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// People are the drivers of one charging point, in real time. Observe may be
// called from any goroutine; Run is called once.
type People struct {
	model   *Model // owned by Run
	board   hal.Simulator
	log     *slog.Logger
	started time.Time // the times of the model count from it

	wake chan struct{} // capacity 1: reports has grown
	mu   sync.Mutex
	// mu guards everything that follows.
	reports []func(m *Model, now time.Duration)
}

// New returns the drivers of a charging point with the given hardware. It
// starts nothing.
func New(cfg Config, board hal.Simulator, log *slog.Logger) (*People, error) {
	m, err := NewModel(cfg)
	if err != nil {
		return nil, err
	}
	return &People{model: m, board: board, log: log, started: time.Now(), wake: make(chan struct{}, 1)}, nil
}

// Observe reads the records of a connector's step: reservations, starts, ends
// of sessions and full vehicles. It never waits.
func (p *People) Observe(s connector.State, records []connector.Record) {
	for _, r := range records {
		switch payload := r.Payload.(type) {
		case *wire.CommandAccepted:
			if s.Reservation.ID != "" {
				p.report(func(m *Model, now time.Duration) { m.Reserved(now, s.ID, s.Reservation.Username) })
			} else if s.Pending.Session != "" && !s.Plugged {
				p.report(func(m *Model, now time.Duration) { m.Reserved(now, s.ID, s.Pending.Username) })
			}
		case *wire.ReservationEnded, *wire.ChargingStopped:
			p.report(func(m *Model, now time.Duration) { m.Ended(now, s.ID) })
		case *wire.Suspended:
			if payload.By == "ev" {
				p.report(func(m *Model, now time.Duration) { m.Full(now, s.ID) })
			}
		default:
		}
	}
}

func (p *People) report(f func(*Model, time.Duration)) {
	p.mu.Lock()
	p.reports = append(p.reports, f)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *People) now() time.Duration { return time.Since(p.started) }

// Run lets the drivers come and go until ctx ends.
func (p *People) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, some := p.model.Next(); some {
			timer.Reset(max(next-p.now(), 0))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			p.mu.Lock()
			reports := p.reports
			p.reports = nil
			p.mu.Unlock()
			for _, f := range reports {
				f(p.model, p.now())
			}
		case <-timer.C:
		}
		for _, a := range p.model.Due(p.now()) {
			p.perform(a)
		}
	}
}

// perform plugs or unplugs. The connector may be occupied already, or the cable
// pulled by an operator: such an error is normal and only logged.
func (p *People) perform(a Action) {
	operate := p.board.Plug
	if a.Kind == Unplug {
		operate = p.board.Unplug
	}
	err := operate(a.Connector)
	p.log.Debug("driver", slog.String("action", a.Kind.String()), logs.Connector(a.Connector),
		slog.String("username", string(a.Username)), logs.Err(err))
}
