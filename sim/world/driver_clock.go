package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxPrompt is how long after it came into Kafka a request is read at most for
// its driver's clock to have no effect: less than the minute in which it is
// fresh, by the time that a request takes to Kafka.
const maxPrompt = 40 * time.Second

// skewOf is how wrong the clock of a driver is, always: up to a minute, which
// Central must bear, and often that much.
func (d *drivers) skewOf(user charge.Username) time.Duration {
	rng := newRandom(d.w.plan.Seed, "clock of "+string(user))
	return [...]time.Duration{-wire.MaxClockError, wire.MaxClockError, rng.between(span{-wire.MaxClockError, wire.MaxClockError})}[rng.IntN(3)]
}

// clock is the time of a driver.
func (d *drivers) clock(user charge.Username) wire.Seconds {
	return wire.Seconds(d.w.wall().Add(d.skewOf(user)))
}

// checkClock: S20 a driver's clock that is wrong by up to a minute, either way,
// neither makes a request stale nor hides a session from its stop, as long as
// Central reads the request soon after it came.
func (u *unit) checkClock(p *decodedMessage, tells []wire.CentralEvent) {
	w := u.run.w
	took := w.wall().Sub(p.req.Timestamp.Time().Add(-w.drivers.skewOf(p.req.Username)))
	if !w.clocksRight || took > maxPrompt || !slices.ContainsFunc(p.m.awaitedBy, func(r *reader) bool { return r.failedAt < p.m.at && slices.Contains(u.run.readers, r) }) {
		return
	}
	for i := range tells {
		e := &tells[i]
		switch {
		case e.MessageID != p.req.MessageID:
		case e.Reason == wire.RefusedStale || e.Reason == wire.RefusedInvalid:
			w.violated("S20", "%s of %s is refused after %s: %s", p.req.EventType, p.req.Username, took, e.Message)
		case e.Reason == "no_session" && u.stoppable(p.req) != "":
			w.violated("S20", "%s of %s does not see session %s", p.req.EventType, p.req.Username, u.stoppable(p.req))
		}
	}
}

// stoppable is a session of a driver that Central knows and that began before he
// asked for its stop; "" if there is none.
func (u *unit) stoppable(q *wire.DriverRequest) charge.SessionID {
	if q.EventType != wire.DriverStop || q.CPID == nil || u.run.cps[*q.CPID] == nil {
		return ""
	}
	asked := q.Timestamp.Time().Add(-u.run.w.drivers.skewOf(q.Username))
	cp := u.run.cps[*q.CPID]
	for _, id := range sortedKeys(cp.Connectors) {
		s := cp.Sessions[cp.Connectors[id].Session]
		if s != nil && s.Username == q.Username && s.State == ledger.SessionOpen && s.AuthorizedAt != 0 && s.AuthorizedAt < asked.Add(-time.Second) {
			return s.ID
		}
	}
	return ""
}
