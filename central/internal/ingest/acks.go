package ingest

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// The pace of the acknowledgements of one charging point: the first atOnce
// leave at once, as what happens at a plug makes several records in a moment,
// and one more each ackGap. So none has more than ten in any second.
const (
	ackBurst    = 4
	ackInterval = 150 * time.Millisecond
)

// burst is how many acknowledgements of the start leave at once; the next
// burst follows after startGap.
const (
	startBurst    = 200
	startInterval = 100 * time.Millisecond
)

// pacer sends the first acknowledgements of a charging point at once and those
// that follow coalesced, the latest only.
type pacer struct {
	// fullAt is when a charging point may have atOnce again; it is in here while
	// that is to come.
	fullAt  map[charge.CPID]time.Time
	pending map[charge.CPID]pendingAck
	due     []dueAck     // of pending, in order of time
	start   []pendingAck // of the start, paced
	startAt time.Time
}

type dueAck struct {
	cp charge.CPID
	at time.Time
}

func newPacer() pacer {
	return pacer{fullAt: map[charge.CPID]time.Time{}, pending: map[charge.CPID]pendingAck{}}
}

// queue notes that a charging point is to be answered.
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

// queueAll notes that each of these is to be told where it stands, in its turn.
func (p *pacer) queueAll(all []pendingAck, now time.Time) { p.start, p.startAt = all, now }

// send sends what is due.
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

func (p *pacer) sent(cp charge.CPID, now time.Time) {
	at := p.fullAt[cp]
	if at.Before(now) {
		at = now
	}
	p.fullAt[cp] = at.Add(ackInterval)
}

// next is when send is to be called again; zero: not before want.
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

// reset drops everything: this Central may not acknowledge.
func (p *pacer) reset() { *p = newPacer() }
