// Package backoff spaces the attempts of code that retries for ever: the pauses are
// exponential, jittered, bounded, and reproducible with a seeded source.
//
// A Backoff belongs to one owner. It starts nothing and must not be used
// concurrently.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff returns the pauses between attempts.
type Backoff struct {
	// Invariant: 0 < min <= ceil <= max.
	min, ceil, max time.Duration // ceil bounds the next pause
	rand           *rand.Rand
}

// New returns a Backoff whose pauses begin at about low and double up to high. A
// low of zero or less counts as a millisecond, and a high below low as low. rnd
// jitters the pauses, so that programs that were cut off together do not
// reconnect together; nil means a source of its own.
func New(low, high time.Duration, rnd *rand.Rand) *Backoff {
	if low <= 0 {
		low = time.Millisecond
	}
	if rnd == nil {
		rnd = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Backoff{min: low, ceil: low, max: max(low, high), rand: rnd}
}

// Next returns how long to wait before the next attempt: between half of and the
// whole present ceiling, which then doubles.
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

// Reset starts with the shortest pause again; call it after a success.
func (b *Backoff) Reset() { b.ceil = b.min }
