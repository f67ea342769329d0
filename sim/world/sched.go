package world

import (
	"hash/crc32"
	"io"
	"math/rand/v2"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
)

// event is a function to be called at a time. Events of the same time run in the
// order in which they were scheduled.
type event struct {
	at time.Duration
	// Counts all events, and so orders those of the same time.
	n   uint64
	tag string // for the trace and its hash
	do  func()
}

// before orders events by time, then by number.
func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.n < o.n }

// schedule is the heap of pending events, and the virtual clock. It is a heap of
// values and not container/heap's of interfaces: runs push and pop millions.
type schedule struct {
	now  time.Duration // since the beginning of the run
	n    uint64        // number of the event scheduled last
	heap []event

	// Begin of the millisecond whose events are counted.
	burstStart  time.Duration
	burstEvents int
}

// push adds an event to the heap.
func (s *schedule) push(e event) {
	s.heap = append(s.heap, e)
	i := len(s.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s.heap[i].before(&s.heap[up]) {
			break
		}
		s.heap[i], s.heap[up] = s.heap[up], s.heap[i]
		i = up
	}
}

// pop removes the next event; the heap must not be empty.
func (s *schedule) pop() event {
	top := s.heap[0]
	last := len(s.heap) - 1
	s.heap[0] = s.heap[last]
	s.heap[last] = event{}
	s.heap = s.heap[:last]
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < last && s.heap[c].before(&s.heap[least]) {
				least = c
			}
		}
		if least == i {
			return top
		}
		s.heap[i], s.heap[least] = s.heap[least], s.heap[i]
		i = least
	}
}

// after schedules a call in d; a negative d means now. The call cannot be
// cancelled: a caller that may change its mind keeps a generation counter and
// compares it in do.
func (w *World) after(d time.Duration, tag string, do func()) {
	w.n++
	w.push(event{w.now + max(d, 0), w.n, tag, do})
}

// at schedules a call at a time since the beginning.
func (w *World) at(t time.Duration, tag string, do func()) { w.after(t-w.now, tag, do) }

// runUntil runs all events up to a time, or until a check fails. The clock stands
// at end afterwards, even if nothing was scheduled for it.
func (w *World) runUntil(end time.Duration) {
	for len(w.heap) > 0 && w.heap[0].at <= end && w.failure == nil {
		e := w.pop()
		w.checkLivelock(e.at, e.tag)
		w.now = e.at
		w.events++
		w.mix(e.tag, nil)
		e.do()
		w.checkEvent()
	}
	if w.failure == nil {
		w.now = max(w.now, end)
	}
}

// maxBurst limits the events within a millisecond: more are an endless loop.
const maxBurst = 50_000

// checkLivelock fails for loops in which time does not pass: V5.
func (w *World) checkLivelock(at time.Duration, tag string) {
	if at >= w.burstStart+time.Millisecond {
		w.burstStart, w.burstEvents = at, 0
	}
	if w.burstEvents++; w.burstEvents > maxBurst {
		w.violated("V5", "more than %d events in a millisecond, the last one %q", maxBurst, tag)
	}
}

// mix folds an event or a message into the hash of the run (FNV-1a over time, tag
// and, for messages, a checksum of the bytes) and traces it. raw is nil for events
// without a message.
func (w *World) mix(tag string, raw []byte) {
	w.sum = (w.sum ^ uint64(w.now)) * 0x100000001b3
	for i := range len(tag) {
		w.sum = (w.sum ^ uint64(tag[i])) * 0x100000001b3
	}
	if raw != nil {
		w.sum = (w.sum ^ uint64(crc32.Checksum(raw, w.table))) * 0x100000001b3
	}
	if w.trace != nil {
		w.trace(w.now, tag, raw)
	}
}

// simulationStart is the true time at which every run begins.
const simulationStart charge.Time = 1_795_600_800_000 // 2026-11-25T10:00:00Z

// wall is the true time. Components read it through their own, possibly wrong, clocks.
func (w *World) wall() charge.Time { return simulationStart.Add(w.now) }

// random is the source of random numbers of one component.
type random struct{ *rand.Rand }

// newRandom derives a component's source from the seed and its name. Separate
// sources keep components independent: leaving one step out of a plan does not
// change the numbers that the others draw, which is what makes shrinking work.
func newRandom(seed uint64, name string) random {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return random{rand.New(rand.NewPCG(seed, h))}
}

// span is a range of durations, both ends included.
type span struct{ least, most time.Duration }

// between draws a duration from s.
func (rng random) between(s span) time.Duration {
	return s.least + time.Duration(rng.Int64N(int64(s.most-s.least)+1))
}

// permille reports true with a probability of n in a thousand.
func (rng random) permille(n int) bool { return n > 0 && rng.IntN(1000) < n }

// Read fills b; it implements io.Reader for package ids.
func (rng random) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		v := rng.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return len(b), nil
}

var _ io.Reader = random{}

// newID makes an id as package ids does, from a time and this source.
func (rng random) newID(at charge.Time) string { return ids.New(at.Std(), rng) }
