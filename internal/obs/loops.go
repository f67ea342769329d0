package obs

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TurnEvery is how often a watched loop turns at least, also when it has
// nothing to do.
const TurnEvery = time.Second

// Loops are the loops on which the life of a program hangs. A program is alive
// while all of them turn; that something answers HTTP proves nothing. Its
// methods may be called concurrently.
type Loops struct {
	began time.Time

	mu sync.Mutex
	// mu guards everything that follows.
	all []*Loop
}

// Loop is one of them. A nil Loop is watched by nobody.
type Loop struct {
	name  string
	limit time.Duration
	began time.Time
	last  atomic.Int64 // nanoseconds since began
}

// NewLoops watches no loop yet.
func NewLoops() *Loops { return &Loops{began: time.Now()} }

// Add watches a loop, which hangs once it has not turned for limit. It counts
// as turning now.
func (l *Loops) Add(name string, limit time.Duration) *Loop {
	o := &Loop{name: name, limit: limit, began: l.began}
	o.Turn()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, o)
	return o
}

// Turn says that the loop turns; its own goroutine calls it. It costs one store.
func (o *Loop) Turn() {
	if o != nil {
		o.last.Store(int64(time.Since(o.began)))
	}
}

func (o *Loop) idle(now time.Duration) time.Duration { return now - time.Duration(o.last.Load()) }

// All returns the health of all loops, sorted by name; Since is the last turn.
func (l *Loops) All() []Health {
	now := time.Since(l.began)
	all := make([]Health, 0, 8)
	for _, o := range l.loops() {
		idle := o.idle(now)
		h := Health{Name: o.name, Up: idle < o.limit, Since: l.began.Add(now - idle)}
		if !h.Up {
			h.Reason = fmt.Sprintf("has not turned for %s, its limit is %s", idle.Round(time.Millisecond), o.limit)
		}
		at, _ := slices.BinarySearchFunc(all, o.name, func(h Health, name string) int { return strings.Compare(h.Name, name) })
		all = slices.Insert(all, at, h)
	}
	return all
}

// Hung names the loops that hang.
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
