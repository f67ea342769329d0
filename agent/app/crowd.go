package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/logs"
	"github.com/carga-ev/carga/internal/wire"
)

// crowd is the people who come to a simulated charging point, in real time.
type crowd struct {
	model *sim.Driver
	desk  *commandHandler
	clock *clock
	log   *slog.Logger

	wake chan struct{} // capacity 1: there is news
	mu   sync.Mutex
	// mu guards everything that follows.
	news []func(*sim.Driver, time.Duration)
}

// hear takes the records of one connector: whom it is kept for, who may come,
// whose session has ended, whose vehicle is full.
func (c *crowd) hear(s connector.State, records []connector.Record) {
	for _, r := range records {
		switch p := r.Payload.(type) {
		case *wire.CommandAccepted:
			if s.Reservation.ID != "" {
				c.tell(func(d *sim.Driver, at time.Duration) { d.Reserved(at, s.ID, s.Reservation.Username) })
			} else if s.Pending.Session != "" && !s.Plugged {
				c.tell(func(d *sim.Driver, at time.Duration) { d.Reserved(at, s.ID, s.Pending.Username) })
			}
		case *wire.ReservationEnded, *wire.ChargingStopped:
			c.tell(func(d *sim.Driver, at time.Duration) { d.Ended(at, s.ID) })
		case *wire.Suspended:
			if p.By == "ev" {
				c.tell(func(d *sim.Driver, at time.Duration) { d.Full(at, s.ID) })
			}
		default:
		}
	}
}

func (c *crowd) tell(news func(*sim.Driver, time.Duration)) {
	c.mu.Lock()
	c.news = append(c.news, news)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run lets the people come and go until ctx ends.
func (c *crowd) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next, some := c.model.Next(); some {
			timer.Reset(max(next-c.clock.at(), 0))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			c.mu.Lock()
			news := c.news
			c.news = nil
			c.mu.Unlock()
			for _, n := range news {
				n(c.model, c.clock.at())
			}
		case <-timer.C:
		}
		for _, a := range c.model.Tick(c.clock.at()) {
			c.do(a)
		}
	}
}

// do plugs or unplugs. That somebody else stands there already, or has pulled
// the cable, is life.
func (c *crowd) do(a sim.Action) {
	action := wire.SimulatePlug
	if a.Deed == sim.DeedUnplug {
		action = wire.SimulateUnplug
	}
	err := c.desk.operate(a.Connector, wire.Simulate{Action: action})
	c.log.Debug("driver", slog.String("deed", a.Deed.String()), logs.Connector(a.Connector),
		slog.String("username", string(a.Username)), logs.Err(err))
}
