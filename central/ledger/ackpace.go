package ledger

import "time"

// AcksPerSecond is how many acknowledgements a charging point gets within any
// second at most.
const AcksPerSecond = 10

// AckPace keeps the acknowledgements of one charging point to AcksPerSecond. The
// zero value has sent none. Moments are those of a clock that is never set back.
//
// A vehicle makes a few records within a moment, which are acknowledged without
// delay. When that has used up a second, the next ones are spread evenly until there
// is a pause: an agent with a backlog sends its next records when it has an
// acknowledgement, and would stand still between one burst of them and the next.
type AckPace struct {
	sent   [AcksPerSecond]time.Duration // when the last ones left: a ring
	n      int                          // how many have left, in all
	spread bool
}

// Free returns the earliest moment, from now on, at which the next one may leave:
// within a second.
func (p *AckPace) Free(now time.Duration) time.Duration {
	if p.Idle(now) {
		return now
	}
	at := now
	if p.n >= AcksPerSecond {
		at = max(at, p.sent[p.n%AcksPerSecond]+time.Second)
	}
	if p.spread {
		at = max(at, p.last()+time.Second/AcksPerSecond)
	}
	return at
}

// Sent reports that one leaves now, not before Free.
func (p *AckPace) Sent(now time.Duration) {
	if p.Idle(now) {
		p.spread = false
	}
	p.sent[p.n%AcksPerSecond] = now
	p.n++
	if p.n >= AcksPerSecond && p.sent[p.n%AcksPerSecond]+time.Second > now {
		p.spread = true // the last second is used up
	}
}

// Idle reports that the last second holds none: the value is as good as a new one.
func (p *AckPace) Idle(now time.Duration) bool { return p.n == 0 || p.last()+time.Second <= now }

func (p *AckPace) last() time.Duration { return p.sent[(p.n-1)%AcksPerSecond] }
