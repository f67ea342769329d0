package health

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// BeatEvery is the longest interval between two beats of a healthy loop. A loop
// with nothing to do wakes up to beat.
const BeatEvery = time.Second

// Loops are the goroutines on which a program depends. The program is alive
// while all of them beat; that it answers HTTP requests proves nothing, since
// another goroutine does that. The methods may be called concurrently.
type Loops struct {
	began time.Time

	mu sync.Mutex
	// mu guards everything that follows.
	all []*Loop
}

// Loop is one watched goroutine. A nil Loop is valid and not watched.
type Loop struct {
	name  string
	limit time.Duration
	began time.Time    // of Loops; the monotonic clock counts from it
	last  atomic.Int64 // the last beat, in nanoseconds since began
}

// NewLoops returns a set without loops.
func NewLoops() *Loops { return &Loops{began: time.Now()} }

// Add starts to watch a loop, which hangs once its last beat is limit ago. Add
// counts as its first beat.
func (l *Loops) Add(name string, limit time.Duration) *Loop {
	o := &Loop{name: name, limit: limit, began: l.began}
	o.Beat()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, o)
	return o
}

// Beat reports that the loop makes progress. Only the goroutine of the loop
// calls it, or else it would prove nothing. It costs one atomic store.
func (o *Loop) Beat() {
	if o != nil {
		o.last.Store(int64(time.Since(o.began)))
	}
}

// idle is the time since the last beat; now counts from began.
func (o *Loop) idle(now time.Duration) time.Duration { return now - time.Duration(o.last.Load()) }

// All returns the status of all loops, sorted by name. Since is the last beat.
func (l *Loops) All() []Status {
	now := time.Since(l.began)
	all := make([]Status, 0, 8)
	for _, o := range l.loops() {
		idle := o.idle(now)
		h := Status{Name: o.name, Up: idle < o.limit, Since: l.began.Add(now - idle)}
		if !h.Up {
			h.Reason = fmt.Sprintf("no progress for %s, its limit is %s", idle.Round(time.Millisecond), o.limit)
		}
		at, _ := slices.BinarySearchFunc(all, o.name, func(h Status, name string) int { return strings.Compare(h.Name, name) })
		all = slices.Insert(all, at, h)
	}
	return all
}

// Hung returns the names of the loops that hang.
func (l *Loops) Hung() []string {
	now := time.Since(l.began)
	var names []string
	for _, o := range l.loops() {
		if o.idle(now) >= o.limit {
			names = append(names, o.name)
		}
	}
	return names
}

func (l *Loops) loops() []*Loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
