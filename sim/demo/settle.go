package demo

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/operator"
)

// Time limits of settling and of calls of Central's API.
const (
	settleLimit = 10 * time.Second
	settlePoll  = 150 * time.Millisecond
	callLimit   = 5 * time.Second // of one call
)

// settle brings the network to rest: it stops the drivers, restores what is
// cut, stops every open session and cancels every reservation through Central,
// and waits until all records are acknowledged. What is not at rest within
// settleLimit is visible in the summary.
func (d *demo) settle(ctx context.Context) {
	d.drivers.halt()
	if err := d.breaker.restoreAll(); err != nil {
		d.log.Error("could not restore what was cut", slog.Any("err", err))
	}
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	// A refusal is expected: the session or reservation ended by itself in the
	// meantime.
	drainer := operator.Drainer{API: d.api, Failed: func(id string, err error) {
		if _, refused := errors.AsType[*operator.RefusedError](err); !refused {
			d.log.Warn("Central did not accept a request", slog.String("id", id), slog.Any("err", err))
		}
	}}
	for {
		rest, err := d.atRest(ctx, &drainer)
		if err != nil && ctx.Err() == nil {
			d.log.Warn("Central does not answer", slog.Any("err", err))
		}
		if rest && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settlePoll):
		}
	}
}

// atRest asks Central to end what is open, and reports whether everything is at
// rest.
func (d *demo) atRest(ctx context.Context, drainer *operator.Drainer) (rest bool, err error) {
	// Drain sends each request once, and returns what is still open.
	open, kept, err := drainer.Drain(ctx)
	if err != nil || open+kept > 0 {
		return false, err
	}
	t := d.fleet.Totals() // read first: the applied records follow the journalled ones
	n, err := d.api.Network(ctx)
	return err == nil && n.Books.Applied == t.Journalled && t.Unacked == 0, err
}

// overdueAfter is how long after its end a reservation may still be shown.
const overdueAfter = 2 * time.Second

// summarize counts everything since the data folder was created.
func (d *demo) summarize(ctx context.Context) (Summary, error) {
	s := Summary{ReadyS: float64(d.ready.Milliseconds()) / 1000}
	c := d.centralOrNil()
	if c == nil {
		return s, errors.New("there is no summary: Central did not start")
	}
	s.Events.Journalled = d.fleet.Totals().Journalled // read first: the applied records follow the journalled ones
	n, err := d.api.Network(ctx)
	if err != nil {
		return s, err
	}
	t, err := c.Totals(ctx)
	if err != nil {
		return s, err
	}
	s.Sessions, s.Tickets = t.Sessions, t.Tickets
	s.Events.Applied, s.Events.Duplicates, s.Events.DeadLetters = t.Applied, t.Duplicates, t.DeadLetters
	s.Events.Lost = s.Events.Journalled - s.Events.Applied
	s.Events.AppliedTwice = max(t.Applied-n.Books.Announced, 0) // Central counts each announced record once
	s.Energy = EnergySummary{Metered: d.fleet.Metered(), Billed: t.Billed, Unaccounted: t.Unaccounted}
	s.Reservations = ReservationsSummary{Made: t.Reservations, Used: t.Used, Ended: t.Ended, Overdue: t.Overdue + overdue(&n)}
	return s, nil
}

// overdue counts the connectors that are shown as reserved after the end of the
// reservation.
func overdue(n *operator.View) int64 {
	var count int64
	// The times of a view are Central's, so that clocks need not agree.
	late := n.At.Add(-overdueAfter)
	for _, cp := range n.CPs {
		for _, k := range cp.Connectors {
			if k.Status == charge.StatusReserved && k.ReservedUntil < late {
				count++
			}
		}
	}
	return count
}
