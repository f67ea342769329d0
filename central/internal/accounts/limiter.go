package accounts

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter bounds how often each of many keys may try something: burst times at once,
// then once per every. After burst failures in a row the key has to wait, twice as
// long after each further one, up to longest. Its memory is bounded: of more than
// most keys it forgets the one that was used least recently.
type Limiter struct {
	every   time.Duration
	burst   int
	longest time.Duration
	most    int

	mu     sync.Mutex // guards what follows
	keys   map[string]*list.Element
	recent *list.List // of *bucket, the most recently used first
}

// bucket is one key.
type bucket struct {
	key      string
	tries    *rate.Limiter
	failures int       // in a row
	closed   time.Time // no try before
}

// NewLimiter returns a limiter that has seen nothing.
func NewLimiter(every time.Duration, burst int, longest time.Duration, most int) *Limiter {
	return &Limiter{every: every, burst: burst, longest: longest, most: most, keys: map[string]*list.Element{}, recent: list.New()}
}

// Try counts a try and returns 0, or returns how long the key has to wait; then
// nothing is counted.
func (l *Limiter) Try(key string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if wait := b.closed.Sub(now); wait > 0 && wait <= l.longest { // a longer one is of a clock that was ahead
		return wait
	}
	r := b.tries.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait
	}
	return 0
}

// Failed counts a failure of a try.
func (l *Limiter) Failed(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	b.failures++
	if over := b.failures - l.burst; over >= 0 {
		wait := l.longest
		if over < 16 {
			wait = min(l.every<<over, l.longest)
		}
		b.closed = now.Add(wait)
	}
}

// Succeeded forgets the failures of a key.
func (l *Limiter) Succeeded(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.keys[key]; ok {
		b, _ := e.Value.(*bucket)
		b.failures, b.closed = 0, time.Time{}
	}
}

// bucket returns the bucket of a key, a new one if it has none. l.mu is held.
func (l *Limiter) bucket(key string) *bucket {
	if e, ok := l.keys[key]; ok {
		l.recent.MoveToFront(e)
		b, _ := e.Value.(*bucket)
		return b
	}
	if len(l.keys) >= l.most {
		oldest := l.recent.Back()
		b, _ := l.recent.Remove(oldest).(*bucket)
		delete(l.keys, b.key)
	}
	b := &bucket{key: key, tries: rate.NewLimiter(rate.Every(l.every), l.burst)}
	l.keys[key] = l.recent.PushFront(b)
	return b
}
