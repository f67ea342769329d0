package operator

import (
	"context"
	"time"
)

// retryAfter is how long after an order its effect is awaited before the order is
// repeated.
const retryAfter = 3 * time.Second

// Drainer ends all open sessions and reservations of a network. Call Drain again
// and again until nothing is open: an order takes effect only once its charging
// point has confirmed it. One goroutine may use it.
type Drainer struct {
	API *API
	// Failed, if set, is called for an order that failed: it was not answered, or
	// refused, for instance because the session ended meanwhile. The order is
	// repeated.
	Failed func(id string, err error)

	requestedAt map[string]time.Time // when an order was last sent, by session or reservation
}

// Drain orders the end of every session that is open and of every reservation that
// is pending or active, and returns how many there are.
func (e *Drainer) Drain(ctx context.Context) (sessions, reservations int, err error) {
	open, err := e.API.Sessions(ctx, "open")
	if err != nil {
		return 0, 0, err
	}
	for _, s := range open {
		e.request(string(s.ID), func() error { return e.API.StopSession(ctx, s.ID) })
	}
	for _, state := range []string{"pending", "active"} {
		held, err := e.API.Reservations(ctx, state)
		if err != nil {
			return 0, 0, err
		}
		reservations += len(held)
		for _, r := range held {
			e.request(string(r.ID), func() error { return e.API.CancelReservation(ctx, r.ID) })
		}
	}
	return len(open), reservations, nil
}

// request sends an order, unless it was sent less than retryAfter ago.
func (e *Drainer) request(id string, do func() error) {
	if time.Since(e.requestedAt[id]) < retryAfter {
		return
	}
	if e.requestedAt == nil {
		e.requestedAt = map[string]time.Time{}
	}
	e.requestedAt[id] = time.Now()
	if err := do(); err != nil && e.Failed != nil {
		e.Failed(id, err)
	}
}
