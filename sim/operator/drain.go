package operator

import (
	"context"
	"time"
)

// retryAfter is how long a request for an end may stay without its effect.
const retryAfter = 3 * time.Second

// Drainer asks Central for an end of all that is open, and again where nothing
// came of it. It is for one goroutine.
type Drainer struct {
	API *API
	// Failed, if set, is told of a request that was refused, since it ended
	// meanwhile, or not answered. It is made again.
	Failed func(id string, err error)

	requestedAt map[string]time.Time
}

// Drain asks for an end of every open session and of every reservation that is
// held, and returns how many there were.
func (e *Drainer) Drain(ctx context.Context) (sessions, reservations int, err error) {
	open, err := e.API.Sessions(ctx, "open")
	if err != nil {
		return 0, 0, err
	}
	for _, s := range open {
		e.request(string(s.ID), func() error { return e.API.StopSession(ctx, s.ID) })
	}
	for _, state := range []string{"asked", "active"} {
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
