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
	at         time.Duration   // of its append
	decoded    *decodedMessage // nil: by no Central yet; logs are read again and again
	awaitedBy  []*reader       // who had read all before it and could have fetched it at once
}

// partitionLog is one partition. The record i of messages has the offset base+i.
type partitionLog struct {
	base     int64
	messages []*message
	readers  []*reader
}

func (l *partitionLog) end() int64 { return l.base + int64(len(l.messages)) }

// fingerprint tells two records apart.
func fingerprint(m *message) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(m.key)), crc32.IEEETable, m.value) | 1
}

// partition names a partition.
type partition struct {
	topic string
	n     int
}

// kafka is a cluster of one broker.
type kafka struct {
	w           *World
	up          bool
	partitions  int
	logs        map[partition]*partitionLog
	retries     []func()            // until it is up
	watchers    []*partitionWatcher // who wants to know of partitions that are added
	lostRecords bool                // some of what it had, ever
	upSince     time.Duration       // of up
}

func newKafka(w *World, parts int) *kafka {
	return &kafka{w: w, partitions: parts, logs: map[partition]*partitionLog{}}
}

func (k *kafka) log(p partition) *partitionLog {
	l := k.logs[p]
	if l == nil {
		l = &partitionLog{}
		k.logs[p] = l
	}
	return l
}

// partitionOf is where a key goes.
func (k *kafka) partitionOf(topic, key string) partition {
	return partition{topic, int(crc32.ChecksumIEEE([]byte(key)) % uint32(k.partitions))}
}

// partitionWatcher is somebody who uses every partition of some topics.
type partitionWatcher struct {
	alive func() bool
	do    func(n int, added bool)
}

// eachPartition does something for every partition there is, and, while its owner lives,
// for each that is added later, once that is noticed.
func (k *kafka) eachPartition(lives func() bool, do func(n int, added bool)) {
	for n := range k.partitions {
		do(n, false)
	}
	k.watchers = append(k.watchers, &partitionWatcher{lives, do})
}

// grow adds a partition to each topic: keys go to other ones from now on, and
// what was written before stays where it is.
func (k *kafka) grow() {
	n := k.partitions
	k.partitions++
	k.watchers = slices.DeleteFunc(k.watchers, func(f *partitionWatcher) bool { return !f.alive() })
	for _, f := range k.watchers {
		k.w.after(k.w.rng.between(span{10 * time.Millisecond, 2 * time.Second}), "partition is noticed", func() {
			if f.alive() {
				f.do(n, true)
			}
		})
	}
}

// append writes a record and wakes who reads.
func (k *kafka) append(topic string, m message) {
	p := k.partitionOf(topic, m.key)
	l := k.log(p)
	m.at = k.w.now
	l.messages = append(l.messages, &m)
	k.w.mix(topic, m.value)
	for _, r := range l.readers {
		if r.waitsForMore() {
			m.awaitedBy = append(m.awaitedBy, r)
			r.end, r.endAt = r.cursor.next, r.now().Add(-pollInterval) // it looked a moment ago
		}
		r.wake()
	}
}

// refuses reports whether records of a writer are refused whose clock is so far
// ahead. Every second cluster is set up so, as Kafka is by default.
func (k *kafka) refuses(ahead time.Duration) bool {
	if k.w.plan.Seed%4 < 2 || ahead <= maxAhead {
		return false
	}
	k.w.stats.TooFarAhead++
	return true
}

// retry lets somebody try again: soon, or as soon as Kafka is back.
func (k *kafka) retry(rng random, do func()) {
	if k.up {
		k.w.after(rng.between(span{50 * time.Millisecond, 2 * time.Second}), "retry", do)
		return
	}
	k.retries = append(k.retries, do)
}

func (k *kafka) start() {
	k.up, k.upSince = true, k.w.now
	waiting := k.retries
	k.retries = nil
	for _, do := range waiting {
		k.w.after(k.w.rng.between(span{10 * time.Millisecond, 260 * time.Millisecond}), "kafka is back", do)
	}
}

// kill stops Kafka. Each log loses so many of its last records, which were not
// flushed; all of them, with the numbers, if it was replaced.
func (k *kafka) kill(lose int, replaced bool) {
	k.up = false
	k.lostRecords = k.lostRecords || lose > 0 || replaced
	k.w.answersMayDiffer = k.w.answersMayDiffer || k.lostRecords
	for _, p := range k.sorted() {
		l := k.logs[p]
		if replaced {
			*l = partitionLog{readers: l.readers}
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

func (k *kafka) sorted() []partition {
	return slices.SortedFunc(maps.Keys(k.logs), func(a, b partition) int {
		if a.topic != b.topic {
			if a.topic < b.topic {
				return -1
			}
			return 1
		}
		return a.n - b.n
	})
}

// holdsAnyOf reports whether a log has a record of a hole.
func (k *kafka) holdsAnyOf(h *ledger.Gap) bool {
	for n := range k.partitions {
		l := k.log(partition{wire.TopicEvents, n})
		for i := range l.messages {
			r, err := wire.DecodeRecord(l.messages[i].value)
			if err == nil && r.CPID == h.CPID && r.Journal == h.Journal && h.First <= r.Seq && (h.Last == 0 || r.Seq <= h.Last) {
				return true
			}
		}
	}
	return false
}

// cursor is where a reader goes on: the next offset, and the fingerprint of the
// record before it.
type cursor struct {
	next int64
	crc  uint32
}

// batch is what a reader hands on.
type batch struct {
	partition
	first      int64
	messages   []*message
	initialEnd int64       // what lies before it was in the log before the reader began
	after      charge.Time // none of it was in the log then, by the reader's clock; 0: not known
}

// reader reads a partition as internal/kafkalink does: from a place, and from
// the first record when the log turns out to be another one.
type reader struct {
	kafka           *kafka
	line            *line
	partition       partition
	handle          func(b batch, done func(bool)) // done(false): the same batch again
	startAt         func(*partitionLog) cursor     // until it has found its place
	ignoresReplaced bool                           // a planted bug: it does not look whether the log is the one read

	positioned, fetching, stopped bool
	cursor                        cursor
	initialEnd                    int64

	clock            func() charge.Time // nil: nobody needs to know when something came
	fetchedAt, endAt charge.Time        // of the fetch under way; when the log ended at end
	end              int64
	failedAt         time.Duration // when a fetch was not answered last, or the log was another one
}

const maxFetch = 200

func (k *kafka) read(l *line, p partition, begin func(*partitionLog) cursor, handle func(batch, func(bool))) *reader {
	r := &reader{kafka: k, line: l, partition: p, startAt: begin, handle: handle, initialEnd: -1}
	lg := k.log(p)
	lg.readers = append(lg.readers, r)
	r.wake()
	return r
}

// caughtUp reports whether all that was there when it began was taken.
func (r *reader) caughtUp() bool {
	return r.positioned && r.initialEnd >= 0 && r.cursor.next >= r.initialEnd
}

// waitsForMore reports whether it has read all there is and would notice more at once.
func (r *reader) waitsForMore() bool {
	return r.positioned && !r.fetching && !r.stopped && r.kafka.up && !r.line.cut[up] && !r.line.cut[down]
}

// now is that of its owner's clock.
func (r *reader) now() charge.Time {
	if r.clock == nil {
		return 0
	}
	return r.clock()
}

func (r *reader) stop() {
	r.stopped = true
	lg := r.kafka.log(r.partition)
	lg.readers = slices.DeleteFunc(lg.readers, func(o *reader) bool { return o == r })
}

// wake has the reader fetch, unless it does.
func (r *reader) wake() {
	if r.fetching || r.stopped {
		return
	}
	r.fetching, r.fetchedAt = true, r.now()
	var got batch
	r.line.call("fetch", func() bool {
		got = r.fetch()
		return true
	}, func(ok bool) {
		switch {
		case r.stopped:
		case !ok:
			r.failedAt = r.kafka.w.now
			r.kafka.retry(r.line.rng, func() { r.fetching = false; r.wake() })
		case len(got.messages) == 0:
			r.fetching = false
			if r.kafka.log(r.partition).end() > r.cursor.next {
				r.wake()
			}
		default:
			r.deliver(got)
		}
	})
}

func (r *reader) deliver(b batch) {
	r.handle(b, func(taken bool) {
		if r.stopped {
			return
		}
		if !taken {
			r.kafka.w.after(200*time.Millisecond, "batch again", func() {
				if !r.stopped {
					r.deliver(b)
				}
			})
			return
		}
		last := b.messages[len(b.messages)-1]
		r.cursor = cursor{b.first + int64(len(b.messages)), fingerprint(last)}
		r.fetching = false
		// The log may have been replaced while the batch waited, and end just here.
		if l := r.kafka.log(r.partition); l.end() != r.cursor.next || !r.sameLog(l) {
			r.wake()
		}
	})
}

// fetch looks for the place and takes what lies behind it.
func (r *reader) fetch() batch {
	l := r.kafka.log(r.partition)
	if !r.positioned {
		r.cursor, r.positioned = r.startAt(l), true
		r.end, r.endAt = l.end(), r.fetchedAt
	}
	if r.initialEnd < 0 {
		r.initialEnd = l.end()
	}
	if !r.sameLog(l) {
		r.kafka.w.stats.Reread++
		r.cursor, r.initialEnd, r.failedAt = cursor{next: l.base}, 0, r.kafka.w.now
		r.end = l.end()
	}
	if r.cursor.next < l.base { // expired
		r.cursor = cursor{next: l.base}
	}
	from := r.cursor.next - l.base
	b := batch{partition: r.partition, first: r.cursor.next, initialEnd: r.initialEnd}
	if r.cursor.next >= r.end {
		b.after = r.endAt
	}
	r.end, r.endAt = l.end(), r.fetchedAt
	if from < int64(len(l.messages)) {
		b.messages = l.messages[from:min(from+maxFetch, int64(len(l.messages)))]
	}
	return b
}

// sameLog reports whether the log is still the one whose place is known.
func (r *reader) sameLog(l *partitionLog) bool {
	switch {
	case r.ignoresReplaced:
		r.cursor.next = min(r.cursor.next, l.end())
		return true
	case r.cursor.next > l.end():
		return false
	case r.cursor.crc == 0 || r.cursor.next <= l.base:
		return true
	}
	m := l.messages[r.cursor.next-1-l.base]
	return fingerprint(m) == r.cursor.crc
}
