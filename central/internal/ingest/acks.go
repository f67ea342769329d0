package ingest

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// The pace of the acknowledgements of one charging point: the first atOnce
// leave at once, as what happens at a plug makes several records in a moment,
// and one more each ackGap. So none has more than ten in any second.
const (
	atOnce = 4
	ackGap = 150 * time.Millisecond
)

// burst is how many acknowledgements of the start leave at once; the next
// burst follows after startGap.
const (
	burst    = 200
	startGap = 100 * time.Millisecond
)

// pacer sends the first acknowledgements of a charging point at once and those
// that follow coalesced, the latest only.
type pacer struct {
	// restedAt is when a charging point may have atOnce again; it is in here while
	// that is to come.
	restedAt map[charge.CPID]time.Time
	pending  map[charge.CPID]wantedAck
	due      []wake      // of pending, in order of time
	start    []wantedAck // of the start, paced
	startAt  time.Time
}

type wake struct {
	cp charge.CPID
	at time.Time
}

func newPacer() pacer {
	return pacer{restedAt: map[charge.CPID]time.Time{}, pending: map[charge.CPID]wantedAck{}}
}

// want notes that a charging point is to be answered.
func (p *pacer) want(a wantedAck, now time.Time) {
	if _, waits := p.pending[a.cp]; !waits {
		at := now
		if free := p.restedAt[a.cp].Add(-(atOnce - 1) * ackGap); free.After(now) {
			at = free
		}
		p.due = append(p.due, wake{a.cp, at})
	}
	p.pending[a.cp] = a
}

// greet notes that each of these is to be told where it stands, in its turn.
func (p *pacer) greet(all []wantedAck, now time.Time) { p.start, p.startAt = all, now }

// send sends what is due.
func (p *pacer) send(now time.Time, out func(wantedAck)) {
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
		n := min(burst, len(p.start))
		for _, a := range p.start[:n] {
			out(a)
		}
		p.start, p.startAt = p.start[n:], now.Add(startGap)
	}
	if len(p.due) == 0 {
		for cp, at := range p.restedAt {
			if !at.After(now) {
				delete(p.restedAt, cp)
			}
		}
	}
}

func (p *pacer) sent(cp charge.CPID, now time.Time) {
	at := p.restedAt[cp]
	if at.Before(now) {
		at = now
	}
	p.restedAt[cp] = at.Add(ackGap)
}

// next is when send is to be called again; zero: not before want.
func (p *pacer) next() time.Time {
	var next time.Time
	for _, d := range p.due {
		next = sooner(next, d.at)
	}
	if len(p.start) > 0 {
		next = sooner(next, p.startAt)
	}
	return next
}

// forget drops everything: this Central may not acknowledge.
func (p *pacer) forget() { *p = newPacer() }
