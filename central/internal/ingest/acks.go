package ingest

import (
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// When a Central becomes active it acknowledges all charging points, startBurst
// of them per startInterval, which bounds the burst on Kafka and MQTT.
const (
	startBurst    = 200
	startInterval = 100 * time.Millisecond
)

// pacer delays acknowledgements to the rate above, and to that of ledger.AckPace for
// each charging point. While one is delayed, a newer one of the same charging point
// replaces it; a position only grows, so none is lost. Only Run's goroutine uses it.
type pacer struct {
	began time.Time // the moments of paces count from here
	// paces has the charging points that got an acknowledgement in the last second.
	paces    map[charge.CPID]*ledger.AckPace
	forgetAt time.Time // when idle paces are looked for next
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
	return pacer{began: time.Now(), paces: map[charge.CPID]*ledger.AckPace{}, pending: map[charge.CPID]pendingAck{}}
}

// queue adds an acknowledgement, due as soon as its charging point may get one.
func (p *pacer) queue(a pendingAck, now time.Time) {
	if _, waits := p.pending[a.cp]; !waits {
		p.due = append(p.due, dueAck{a.cp, p.free(a.cp, now)})
	}
	p.pending[a.cp] = a
}

// free returns when a charging point may get its next acknowledgement.
func (p *pacer) free(cp charge.CPID, now time.Time) time.Time {
	pace := p.paces[cp]
	if pace == nil {
		return now
	}
	return p.began.Add(pace.Free(now.Sub(p.began)))
}

// queueAll replaces start by acknowledgements that are paced together, too.
func (p *pacer) queueAll(all []pendingAck, now time.Time) { p.start, p.startAt = all, now }

// send passes every acknowledgement that is due to out.
func (p *pacer) send(now time.Time, out func(pendingAck)) {
	kept := p.due[:0]
	for _, d := range p.due {
		if !d.at.After(now) {
			d.at = p.free(d.cp, now) // one of start may have left meanwhile
		}
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
			if p.free(a.cp, now).After(now) {
				if _, waits := p.pending[a.cp]; !waits {
					p.queue(a, now)
				}
				continue
			}
			out(a)
			p.sent(a.cp, now)
		}
		p.start, p.startAt = p.start[n:], now.Add(startInterval)
	}
	p.forget(now)
}

// sent counts an acknowledgement.
func (p *pacer) sent(cp charge.CPID, now time.Time) {
	pace := p.paces[cp]
	if pace == nil {
		pace = &ledger.AckPace{}
		p.paces[cp] = pace
	}
	pace.Sent(now.Sub(p.began))
}

// forget drops the paces of charging points that are idle, once a second.
func (p *pacer) forget(now time.Time) {
	if now.Before(p.forgetAt) {
		return
	}
	p.forgetAt = now.Add(time.Second)
	for cp, pace := range p.paces {
		if pace.Idle(now.Sub(p.began)) {
			delete(p.paces, cp)
		}
	}
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
