package ingest

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// ackGap is the least time between two acknowledgements of one charging point.
const ackGap = 100 * time.Millisecond

// burst is how many acknowledgements of the start leave at once; the next
// burst follows after ackGap.
const burst = 200

// pacer sends the first acknowledgement of a charging point at once and those
// that follow coalesced, the latest only, at most ten per second.
type pacer struct {
	sentAt  map[charge.CPID]time.Time // in the last gap
	pending map[charge.CPID]wantedAck
	due     []wake      // of pending, in order of time
	start   []wantedAck // of the start, paced
	startAt time.Time
}

type wake struct {
	cp charge.CPID
	at time.Time
}

func newPacer() pacer {
	return pacer{sentAt: map[charge.CPID]time.Time{}, pending: map[charge.CPID]wantedAck{}}
}

// want notes that a charging point is to be answered.
func (p *pacer) want(a wantedAck, now time.Time) {
	if _, waits := p.pending[a.cp]; !waits {
		at := now
		if sent, ok := p.sentAt[a.cp]; ok && sent.Add(ackGap).After(now) {
			at = sent.Add(ackGap)
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
		p.sentAt[d.cp] = now
	}
	p.due = kept
	if len(p.start) > 0 && !p.startAt.After(now) {
		n := min(burst, len(p.start))
		for _, a := range p.start[:n] {
			out(a)
		}
		p.start, p.startAt = p.start[n:], now.Add(ackGap)
	}
	if len(p.due) == 0 { // nobody needs the past any more once its gap is over
		for cp, at := range p.sentAt {
			if !at.Add(ackGap).After(now) {
				delete(p.sentAt, cp)
			}
		}
	}
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
