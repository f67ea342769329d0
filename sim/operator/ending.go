package operator

import (
	"context"
	"time"
)

// askAgain is how long a request for an end may stay without its effect.
const askAgain = 3 * time.Second

// Ending asks Central for an end of all that is open, and again where nothing
// came of it. It is for one goroutine.
type Ending struct {
	API *API
	// Failed, if set, is told of a request that was refused, since it ended
	// meanwhile, or not answered. It is made again.
	Failed func(id string, err error)

	asked map[string]time.Time
}

// Ask asks for an end of every open session and of every reservation that is
// held, and returns how many there were.
func (e *Ending) Ask(ctx context.Context) (sessions, reservations int, err error) {
	open, err := e.API.Sessions(ctx, "open")
	if err != nil {
		return 0, 0, err
	}
	for _, s := range open {
		e.once(string(s.ID), func() error { return e.API.StopSession(ctx, s.ID) })
	}
	for _, state := range []string{"asked", "active"} {
		held, err := e.API.Reservations(ctx, state)
		if err != nil {
			return 0, 0, err
		}
		reservations += len(held)
		for _, r := range held {
			e.once(string(r.ID), func() error { return e.API.CancelReservation(ctx, r.ID) })
		}
	}
	return len(open), reservations, nil
}

func (e *Ending) once(id string, do func() error) {
	if time.Since(e.asked[id]) < askAgain {
		return
	}
	if e.asked == nil {
		e.asked = map[string]time.Time{}
	}
	e.asked[id] = time.Now()
	if err := do(); err != nil && e.Failed != nil {
		e.Failed(id, err)
	}
}
