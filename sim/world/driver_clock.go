package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxPrompt bounds the time between a driver's request and Central's reading of it
// within which the driver's clock must have no effect. It is less than the minute
// in which a request is fresh, by the time that the request needs to reach Kafka.
const maxPrompt = 40 * time.Second

// skewOf returns the constant error of a driver's clock: up to wire.MaxClockError
// either way, which Central must tolerate, and often exactly that much.
func (d *drivers) skewOf(user charge.Username) time.Duration {
	rng := newRandom(d.w.plan.Seed, "clock of "+string(user))
	return [...]time.Duration{-wire.MaxClockError, wire.MaxClockError, rng.between(span{-wire.MaxClockError, wire.MaxClockError})}[rng.IntN(3)]
}

// clock returns the time that a driver's client puts into a request.
func (d *drivers) clock(user charge.Username) wire.Seconds {
	return wire.Seconds(d.w.wall().Add(d.skewOf(user)))
}

// checkClock: S20. A driver's clock that is wrong by up to a minute, either way,
// neither makes a request stale nor hides a session from a request to stop it. This
// is checked only if Central was waiting for the request and read it promptly;
// otherwise a stale answer may be right. events are Central's answers to p.
func (u *unit) checkClock(p *decodedMessage, events []wire.CentralEvent) {
	w := u.run.w
	// The true age of the request: the error of the driver's clock is known here.
	age := w.wall().Sub(p.req.Timestamp.Time().Add(-w.drivers.skewOf(p.req.Username)))
	if !w.clocksRight || age > maxPrompt || !slices.ContainsFunc(p.m.awaitedBy, func(r *reader) bool { return r.failedAt < p.m.at && slices.Contains(u.run.readers, r) }) {
		return
	}
	for i := range events {
		e := &events[i]
		switch {
		case e.MessageID != p.req.MessageID:
		case e.Reason == wire.RefusedStale || e.Reason == wire.RefusedInvalid:
			w.violated("S20", "%s of %s is refused after %s: %s", p.req.EventType, p.req.Username, age, e.Message)
		case e.Reason == "no_session" && u.stoppable(p.req) != "":
			w.violated("S20", "%s of %s does not see session %s", p.req.EventType, p.req.Username, u.stoppable(p.req))
		}
	}
}

// stoppable returns a session of the driver that Central knows and that began,
// by true time, before the request to stop it; "" if there is none.
func (u *unit) stoppable(q *wire.DriverRequest) charge.SessionID {
	if q.EventType != wire.DriverStop || q.CPID == nil || u.run.cps[*q.CPID] == nil {
		return ""
	}
	asked := q.Timestamp.Time().Add(-u.run.w.drivers.skewOf(q.Username))
	cp := u.run.cps[*q.CPID]
	for _, id := range sortedKeys(cp.Connectors) {
		// A second of tolerance: timestamps of requests have whole seconds.
		s := cp.Sessions[cp.Connectors[id].Session]
		if s != nil && s.Username == q.Username && s.State == ledger.SessionOpen && s.AuthorizedAt != 0 && s.AuthorizedAt < asked.Add(-time.Second) {
			return s.ID
		}
	}
	return ""
}
