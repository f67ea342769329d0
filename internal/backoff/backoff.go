// Package backoff spaces the attempts of whoever tries for ever: exponential,
// jittered, bounded, and deterministic with a seeded source.
//
// A Backoff is a value of its one owner; it starts nothing and is not safe for
// concurrent use.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff yields the pauses between attempts.
type Backoff struct {
	// Invariant: 0 < min <= ceil <= max.
	min, ceil, max time.Duration
	rand           *rand.Rand
}

// New returns a Backoff whose pauses begin at about low and double up to high.
// A low of zero or less counts as a millisecond, a high below low as low. rnd
// spreads the pauses, so that parts cut off together do not come back together;
// nil seeds a source of its own.
func New(low, high time.Duration, rnd *rand.Rand) *Backoff {
	if low <= 0 {
		low = time.Millisecond
	}
	if rnd == nil {
		rnd = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Backoff{min: low, ceil: low, max: max(low, high), rand: rnd}
}

// Next returns how long to wait before the next attempt: between half of and
// the whole present ceiling, which then doubles.
func (b *Backoff) Next() time.Duration {
	half := b.ceil / 2
	wait := half + time.Duration(b.rand.Int64N(int64(b.ceil-half)+1))
	if b.ceil > b.max/2 {
		b.ceil = b.max
	} else {
		b.ceil *= 2
	}
	return wait
}

// Reset begins anew after a success.
func (b *Backoff) Reset() { b.ceil = b.min }
