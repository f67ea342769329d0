package ingest

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Acknowledgements of one charging point are paced by a token bucket of
// ackBurst tokens, refilled by one per ackInterval. A vehicle plugged in makes
// a few records within a moment, which are acknowledged without delay. No
// charging point gets more than ten acknowledgements in any second.
const (
	ackBurst    = 4
	ackInterval = 150 * time.Millisecond
)

// When a Central becomes active it acknowledges all charging points, startBurst
// of them per startInterval, which bounds the burst on Kafka and MQTT.
const (
	startBurst    = 200
	startInterval = 100 * time.Millisecond
)

// pacer delays acknowledgements to the rates above. While one is delayed, a
// newer one of the same charging point replaces it; a position only grows, so
// none is lost. Only Run's goroutine uses it.
type pacer struct {
	// fullAt is when the bucket of a charging point is full again. A full
	// bucket has no entry.
	fullAt map[charge.CPID]time.Time
	// pending is the acknowledgement to send to each charging point, due when
	// to send it. Both have the same charging points.
	pending map[charge.CPID]pendingAck
	due     []dueAck
	// start are acknowledgements of a Central that became active, the next of
	// them at startAt.
	start   []pendingAck
	startAt time.Time
}

// dueAck is when to send the pending acknowledgement of a charging point.
type dueAck struct {
	cp charge.CPID
	at time.Time
}

func newPacer() pacer {
	return pacer{fullAt: map[charge.CPID]time.Time{}, pending: map[charge.CPID]pendingAck{}}
}

// queue adds an acknowledgement, due as soon as its bucket has a token.
func (p *pacer) queue(a pendingAck, now time.Time) {
	if _, waits := p.pending[a.cp]; !waits {
		at := now
		if free := p.fullAt[a.cp].Add(-(ackBurst - 1) * ackInterval); free.After(now) {
			at = free
		}
		p.due = append(p.due, dueAck{a.cp, at})
	}
	p.pending[a.cp] = a
}

// queueAll replaces start by acknowledgements that are paced together, not per
// charging point.
func (p *pacer) queueAll(all []pendingAck, now time.Time) { p.start, p.startAt = all, now }

// send passes every acknowledgement that is due to out.
func (p *pacer) send(now time.Time, out func(pendingAck)) {
	kept := p.due[:0]
	for _, d := range p.due {
		if d.at.After(now) {
			kept = append(kept, d)
			continue
		}
		out(p.pending[d.cp])
		delete(p.pending, d.cp)
		p.sent(d.cp, now)
	}
	p.due = kept
	if len(p.start) > 0 && !p.startAt.After(now) {
		n := min(startBurst, len(p.start))
		for _, a := range p.start[:n] {
			out(a)
		}
		p.start, p.startAt = p.start[n:], now.Add(startInterval)
	}
	if len(p.due) == 0 {
		for cp, at := range p.fullAt {
			if !at.After(now) {
				delete(p.fullAt, cp)
			}
		}
	}
}

// sent removes a token from the bucket of a charging point.
func (p *pacer) sent(cp charge.CPID, now time.Time) {
	at := p.fullAt[cp]
	if at.Before(now) {
		at = now
	}
	p.fullAt[cp] = at.Add(ackInterval)
}

// next returns when send is to be called again; zero if there is nothing to
// send.
func (p *pacer) next() time.Time {
	var next time.Time
	for _, d := range p.due {
		next = earlier(next, d.at)
	}
	if len(p.start) > 0 {
		next = earlier(next, p.startAt)
	}
	return next
}

// reset drops everything: a fenced Central may not acknowledge.
func (p *pacer) reset() { *p = newPacer() }
