package world

import (
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// message is a record of a log.
type message struct {
	key, kind  string
	central    charge.Epoch // header: of the Central that wrote it
	value      []byte
	receivedAt charge.Time
	at         time.Duration // of its append
	read       *prepared     // nil: by no Central yet; logs are read again and again
	awaited    []*reader     // who had read all before it and could have fetched it at once
}

// log is one partition. The record i of messages has the offset base+i.
type log struct {
	base     int64
	messages []*message
	readers  []*reader
}

func (l *log) end() int64 { return l.base + int64(len(l.messages)) }

// fingerprint tells two records apart.
func fingerprint(m *message) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(m.key)), crc32.IEEETable, m.value) | 1
}

// part names a partition.
type part struct {
	topic string
	n     int
}

// kafka is a cluster of one broker.
type kafka struct {
	w       *World
	up      bool
	parts   int
	logs    map[part]*log
	waiting []func()      // until it is up
	follow  []*following  // who wants to know of partitions that are added
	lost    bool          // some of what it had, ever
	since   time.Duration // of up
}

func newKafka(w *World, parts int) *kafka { return &kafka{w: w, parts: parts, logs: map[part]*log{}} }

func (k *kafka) log(p part) *log {
	l := k.logs[p]
	if l == nil {
		l = &log{}
		k.logs[p] = l
	}
	return l
}

// partition is where a key goes.
func (k *kafka) partition(topic, key string) part {
	return part{topic, int(crc32.ChecksumIEEE([]byte(key)) % uint32(k.parts))}
}

// following is somebody who uses every partition of some topics.
type following struct {
	lives func() bool
	do    func(n int, added bool)
}

// each does something for every partition there is, and, while its owner lives,
// for each that is added later, once that is noticed.
func (k *kafka) each(lives func() bool, do func(n int, added bool)) {
	for n := range k.parts {
		do(n, false)
	}
	k.follow = append(k.follow, &following{lives, do})
}

// grow adds a partition to each topic: keys go to other ones from now on, and
// what was written before stays where it is.
func (k *kafka) grow() {
	n := k.parts
	k.parts++
	k.follow = slices.DeleteFunc(k.follow, func(f *following) bool { return !f.lives() })
	for _, f := range k.follow {
		k.w.after(k.w.c.in(span{10 * time.Millisecond, 2 * time.Second}), "partition is noticed", func() {
			if f.lives() {
				f.do(n, true)
			}
		})
	}
}

// append writes a record and wakes who reads.
func (k *kafka) append(topic string, m message) {
	p := k.partition(topic, m.key)
	l := k.log(p)
	m.at = k.w.now
	l.messages = append(l.messages, &m)
	k.w.mix(topic, m.value)
	for _, r := range l.readers {
		if r.waits() {
			m.awaited = append(m.awaited, r)
			r.end, r.endAt = r.at.next, r.time().Add(-pollEvery) // it looked a moment ago
		}
		r.wake()
	}
}

// refuses reports whether records of a writer are refused whose clock is so far
// ahead. Every second cluster is set up so, as Kafka is by default.
func (k *kafka) refuses(ahead time.Duration) bool {
	if k.w.plan.Seed%4 < 2 || ahead <= aheadMost {
		return false
	}
	k.w.stats.TooEarly++
	return true
}

// retry lets somebody try again: soon, or as soon as Kafka is back.
func (k *kafka) retry(c chance, do func()) {
	if k.up {
		k.w.after(c.in(span{50 * time.Millisecond, 2 * time.Second}), "retry", do)
		return
	}
	k.waiting = append(k.waiting, do)
}

func (k *kafka) start() {
	k.up, k.since = true, k.w.now
	waiting := k.waiting
	k.waiting = nil
	for _, do := range waiting {
		k.w.after(k.w.c.in(span{10 * time.Millisecond, 260 * time.Millisecond}), "kafka is back", do)
	}
}

// kill stops Kafka. Each log loses so many of its last records, which were not
// flushed; all of them, with the numbers, if it was replaced.
func (k *kafka) kill(lose int, replaced bool) {
	k.up = false
	k.lost = k.lost || lose > 0 || replaced
	k.w.forgetful = k.w.forgetful || k.lost
	for _, p := range k.sorted() {
		l := k.logs[p]
		if replaced {
			*l = log{readers: l.readers}
			continue
		}
		l.messages = slices.Clip(l.messages[:len(l.messages)-min(lose, len(l.messages))])
	}
}

// retain deletes what is older.
func (k *kafka) retain(older time.Duration) {
	for _, p := range k.sorted() {
		l := k.logs[p]
		n := 0
		for n < len(l.messages) && l.messages[n].at < k.w.now-older {
			n++
		}
		l.messages = slices.Clone(l.messages[n:])
		l.base += int64(n)
	}
}

func (k *kafka) sorted() []part {
	return slices.SortedFunc(maps.Keys(k.logs), func(a, b part) int {
		if a.topic != b.topic {
			if a.topic < b.topic {
				return -1
			}
			return 1
		}
		return a.n - b.n
	})
}

// holds reports whether a log has a record of a hole.
func (k *kafka) holds(h *ledger.Hole) bool {
	for n := range k.parts {
		l := k.log(part{wire.TopicEvents, n})
		for i := range l.messages {
			r, err := wire.DecodeRecord(l.messages[i].value)
			if err == nil && r.CPID == h.CPID && r.Journal == h.Journal && h.First <= r.Seq && (h.Last == 0 || r.Seq <= h.Last) {
				return true
			}
		}
	}
	return false
}

// place is where a reader goes on: the next offset, and the fingerprint of the
// record before it.
type place struct {
	next int64
	crc  uint32
}

// batch is what a reader hands on.
type batch struct {
	part
	first    int64
	messages []*message
	past     int64       // what lies before it was in the log before the reader began
	after    charge.Time // none of it was in the log then, by the reader's clock; 0: not known
}

// reader reads a partition as internal/kafkalink does: from a place, and from
// the first record when the log turns out to be another one.
type reader struct {
	k      *kafka
	l      *line
	p      part
	handle func(b batch, done func(bool)) // done(false): the same batch again
	begin  func(*log) place               // until it has found its place
	blind  bool                           // a planted bug: it does not look whether the log is the one read

	found, busy, stopped bool
	at                   place
	past                 int64

	clock        func() charge.Time // nil: nobody needs to know when something came
	asked, endAt charge.Time        // of the fetch under way; when the log ended at end
	end          int64
	failedAt     time.Duration // when a fetch was not answered last, or the log was another one
}

const fetchMost = 200

func (k *kafka) read(l *line, p part, begin func(*log) place, handle func(batch, func(bool))) *reader {
	r := &reader{k: k, l: l, p: p, begin: begin, handle: handle, past: -1}
	lg := k.log(p)
	lg.readers = append(lg.readers, r)
	r.wake()
	return r
}

// caughtUp reports whether all that was there when it began was taken.
func (r *reader) caughtUp() bool { return r.found && r.past >= 0 && r.at.next >= r.past }

// waits reports whether it has read all there is and would notice more at once.
func (r *reader) waits() bool {
	return r.found && !r.busy && !r.stopped && r.k.up && !r.l.cut[up] && !r.l.cut[down]
}

// time is that of its owner's clock.
func (r *reader) time() charge.Time {
	if r.clock == nil {
		return 0
	}
	return r.clock()
}

func (r *reader) stop() {
	r.stopped = true
	lg := r.k.log(r.p)
	lg.readers = slices.DeleteFunc(lg.readers, func(o *reader) bool { return o == r })
}

// wake has the reader fetch, unless it does.
func (r *reader) wake() {
	if r.busy || r.stopped {
		return
	}
	r.busy, r.asked = true, r.time()
	var got batch
	r.l.call("fetch", func() bool {
		got = r.fetch()
		return true
	}, func(ok bool) {
		switch {
		case r.stopped:
		case !ok:
			r.failedAt = r.k.w.now
			r.k.retry(r.l.c, func() { r.busy = false; r.wake() })
		case len(got.messages) == 0:
			r.busy = false
			if r.k.log(r.p).end() > r.at.next {
				r.wake()
			}
		default:
			r.give(got)
		}
	})
}

func (r *reader) give(b batch) {
	r.handle(b, func(taken bool) {
		if r.stopped {
			return
		}
		if !taken {
			r.k.w.after(200*time.Millisecond, "batch again", func() {
				if !r.stopped {
					r.give(b)
				}
			})
			return
		}
		last := b.messages[len(b.messages)-1]
		r.at = place{b.first + int64(len(b.messages)), fingerprint(last)}
		r.busy = false
		// The log may have been replaced while the batch waited, and end just here.
		if l := r.k.log(r.p); l.end() != r.at.next || !r.same(l) {
			r.wake()
		}
	})
}

// fetch looks for the place and takes what lies behind it.
func (r *reader) fetch() batch {
	l := r.k.log(r.p)
	if !r.found {
		r.at, r.found = r.begin(l), true
		r.end, r.endAt = l.end(), r.asked
	}
	if r.past < 0 {
		r.past = l.end()
	}
	if !r.same(l) {
		r.k.w.stats.Reread++
		r.at, r.past, r.failedAt = place{next: l.base}, 0, r.k.w.now
		r.end = l.end()
	}
	if r.at.next < l.base { // expired
		r.at = place{next: l.base}
	}
	from := r.at.next - l.base
	b := batch{part: r.p, first: r.at.next, past: r.past}
	if r.at.next >= r.end {
		b.after = r.endAt
	}
	r.end, r.endAt = l.end(), r.asked
	if from < int64(len(l.messages)) {
		b.messages = l.messages[from:min(from+fetchMost, int64(len(l.messages)))]
	}
	return b
}

// same reports whether the log is still the one whose place is known.
func (r *reader) same(l *log) bool {
	switch {
	case r.blind:
		r.at.next = min(r.at.next, l.end())
		return true
	case r.at.next > l.end():
		return false
	case r.at.crc == 0 || r.at.next <= l.base:
		return true
	}
	m := l.messages[r.at.next-1-l.base]
	return fingerprint(m) == r.at.crc
}
