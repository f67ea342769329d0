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
	key, kind string // kind is a header, see wire.HeaderKind
	// Header: the epoch of the Central that wrote it; zero for none.
	central charge.Epoch
	value   []byte
	// By the clock of Kafka, or of the bridge that received it.
	receivedAt charge.Time
	at         time.Duration // of its append
	// Decoded by the first Central that read it, for all later ones; nil until then.
	decoded *decodedMessage
	// Readers that were up to date at the append, and could have fetched it at once.
	awaitedBy []*reader
}

// partitionLog is one partition. messages[i] has the offset base+i.
type partitionLog struct {
	base     int64
	messages []*message
	readers  []*reader
}

// end is the offset of the next record.
func (l *partitionLog) end() int64 { return l.base + int64(len(l.messages)) }

// fingerprint distinguishes two records; it is never 0, which means "not known".
func fingerprint(m *message) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(m.key)), crc32.IEEETable, m.value) | 1
}

// partition identifies a partition.
type partition struct {
	topic string
	n     int
}

// kafka is a cluster. It has the same number of partitions for all topics, and
// never loses a record except by a fault.
type kafka struct {
	grown      bool // topics have got partitions in this run
	w          *World
	up         bool
	partitions int
	logs       map[partition]*partitionLog
	retries    []func() // calls that wait until it is up
	// Clients to notify of partitions that are added.
	watchers    []*partitionWatcher
	lostRecords bool // a fault has lost records in this run
	upSince     time.Duration
}

// newKafka creates a cluster that is down, with empty logs.
func newKafka(w *World, partitions int) *kafka {
	return &kafka{w: w, partitions: partitions, logs: map[partition]*partitionLog{}}
}

// log returns the log of a partition, which exists from its first use on.
func (k *kafka) log(p partition) *partitionLog {
	l := k.logs[p]
	if l == nil {
		l = &partitionLog{}
		k.logs[p] = l
	}
	return l
}

// partitionOf returns the partition of a key at the present number of partitions.
func (k *kafka) partitionOf(topic, key string) partition {
	return partition{topic, int(crc32.ChecksumIEEE([]byte(key)) % uint32(k.partitions))}
}

// partitionWatcher is a client that reads every partition of some topics.
type partitionWatcher struct {
	alive func() bool
	do    func(n int, added bool)
}

// eachPartition calls do for every partition and, while alive reports true, for
// each partition that is added later, after the delay of a metadata refresh.
func (k *kafka) eachPartition(alive func() bool, do func(n int, added bool)) {
	for n := range k.partitions {
		do(n, false)
	}
	k.watchers = append(k.watchers, &partitionWatcher{alive, do})
}

// grow adds a partition to each topic. Keys move to other partitions from now on;
// what was written before stays where it is.
func (k *kafka) grow() {
	k.grown = true
	n := k.partitions
	k.partitions++
	// Owners that have ended are dropped here, so that the list does not grow.
	k.watchers = slices.DeleteFunc(k.watchers, func(f *partitionWatcher) bool { return !f.alive() })
	for _, f := range k.watchers {
		k.w.after(k.w.rng.between(span{10 * time.Millisecond, 2 * time.Second}), "partition is noticed", func() {
			if f.alive() {
				f.do(n, true)
			}
		})
	}
}

// append writes a record and wakes the readers of its partition.
func (k *kafka) append(topic string, m message) {
	p := k.partitionOf(topic, m.key)
	l := k.log(p)
	m.at = k.w.now
	l.messages = append(l.messages, &m)
	k.w.mix(topic, m.value)
	for _, r := range l.readers {
		// Only such a reader proves when the record came: checks of promptness rely on
		// it.
		if r.waitsForMore() {
			m.awaitedBy = append(m.awaitedBy, r)
			r.end, r.endAt = r.cursor.next, r.now().Add(-pollInterval) // its last long poll saw the end no earlier than this
		}
		r.wake()
	}
}

// refuses reports whether Kafka refuses records of a writer whose clock is ahead
// by so much (message.timestamp.after.max.ms). Half of the clusters are configured
// so, which is Kafka's default.
func (k *kafka) refuses(ahead time.Duration) bool {
	if k.w.plan.Seed%4 < 2 || ahead <= maxAhead {
		return false
	}
	k.w.stats.TooFarAhead++
	return true
}

// retry calls do again: soon, or shortly after Kafka is up again.
func (k *kafka) retry(rng random, do func()) {
	if k.up {
		k.w.after(rng.between(span{50 * time.Millisecond, 2 * time.Second}), "retry", do)
		return
	}
	k.retries = append(k.retries, do)
}

// start makes the cluster available, and lets the waiting calls retry.
func (k *kafka) start() {
	k.up, k.upSince = true, k.w.now
	waiting := k.retries
	k.retries = nil
	for _, do := range waiting {
		k.w.after(k.w.rng.between(span{10 * time.Millisecond, 260 * time.Millisecond}), "kafka is back", do)
	}
}

// kill stops the cluster. Each log loses its last lose records, which were
// acknowledged but not flushed. If the cluster is replaced all records and offsets
// are lost.
func (k *kafka) kill(lose int, replaced bool) {
	k.up = false
	k.lostRecords = k.lostRecords || lose > 0 || replaced
	k.w.answersMayDiffer = k.w.answersMayDiffer || k.lostRecords
	for _, p := range k.sorted() {
		l := k.logs[p]
		if replaced {
			// Readers keep their cursors into a log that no longer exists.
			*l = partitionLog{readers: l.readers}
			continue
		}
		l.messages = slices.Clip(l.messages[:len(l.messages)-min(lose, len(l.messages))])
	}
}

// retain deletes records that are older, whether they were read or not.
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

// sorted returns the partitions in a fixed order.
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

// holdsFirstOf reports whether a log still has the first record of a gap.
func (k *kafka) holdsFirstOf(h *ledger.Gap) bool {
	return k.holds(recordKey{journalKey{h.CPID, h.Journal}, max(h.First, 1)})
}

// holds reports whether a log still has a record.
func (k *kafka) holds(key recordKey) bool {
	for n := range k.partitions {
		l := k.log(partition{wire.TopicEvents, n})
		for i := range l.messages {
			r, err := wire.DecodeRecord(l.messages[i].value)
			if err == nil && r.CPID == key.cp && r.Journal == key.j && r.Seq == key.seq {
				return true
			}
		}
	}
	return false
}

// cursor is a reader's place in a log: the next offset, and the fingerprint of the
// record before it (0 if unknown), by which a replaced log is detected.
type cursor struct {
	next int64
	crc  uint32
}

// batch is what a reader passes to its handler.
type batch struct {
	partition
	first    int64 // offset of messages[0]
	messages []*message
	// Records before this offset were in the log before the reader started.
	initialEnd int64
	// All were appended after this, by the clock of the reader's owner; 0: not known.
	after charge.Time
}

// reader reads one partition as internal/kafkalink does: from a cursor, and again
// from the first record when the log turns out to be another one than the cursor's.
type reader struct {
	kafka     *kafka
	line      *line
	partition partition
	// Done(false): deliver the same batch again later.
	handle  func(b batch, done func(bool))
	startAt func(*partitionLog) cursor // called at the first fetch
	// BugOffsetsBlind: a replaced log is not detected.
	ignoresReplaced bool

	positioned bool // startAt was called
	// A fetch or the handling of its batch is in flight.
	fetching bool
	stopped  bool
	cursor   cursor
	// End of the log at the first fetch; -1: not known yet.
	initialEnd int64
	// The next fetch goes back to this offset; -1: it does not.
	back int64

	// Of the owner; nil: batch.after is not needed.
	clock     func() charge.Time
	fetchedAt charge.Time // when the present fetch was sent
	// End of the log as an earlier fetch saw it, at endAt.
	end   int64
	endAt charge.Time
	// When a fetch last got no response, or the log was another one.
	failedAt time.Duration
}

// maxFetch is the greatest number of records in a batch.
const maxFetch = 200

// read starts a reader of a partition.
func (k *kafka) read(l *line, p partition, begin func(*partitionLog) cursor, handle func(batch, func(bool))) *reader {
	r := &reader{kafka: k, line: l, partition: p, startAt: begin, handle: handle, initialEnd: -1, back: -1}
	lg := k.log(p)
	lg.readers = append(lg.readers, r)
	r.wake()
	return r
}

// caughtUp reports whether everything was handled that the log held at the start.
func (r *reader) caughtUp() bool {
	return r.positioned && r.initialEnd >= 0 && r.cursor.next >= r.initialEnd
}

// waitsForMore reports whether the reader is up to date and would get the next
// record at once.
func (r *reader) waitsForMore() bool {
	return r.positioned && !r.fetching && !r.stopped && r.kafka.up && !r.line.cut[up] && !r.line.cut[down]
}

// now is the time by the owner's clock.
func (r *reader) now() charge.Time {
	if r.clock == nil {
		return 0
	}
	return r.clock()
}

// stop ends the reader; its handler is not called any more.
func (r *reader) stop() {
	r.stopped = true
	lg := r.kafka.log(r.partition)
	lg.readers = slices.DeleteFunc(lg.readers, func(o *reader) bool { return o == r })
}

// wake starts a fetch, unless one is in flight.
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
			// The fetch counts as in flight until the retry.
			r.kafka.retry(r.line.rng, func() { r.fetching = false; r.wake() })
		case len(got.messages) == 0:
			r.fetching = false
			if r.kafka.log(r.partition).end() > r.cursor.next || r.back >= 0 {
				r.wake()
			}
		default:
			r.deliver(got)
		}
	})
}

// goBack reads again from an offset that was passed.
func (r *reader) goBack(offset int64) {
	if r.back < 0 || offset < r.back {
		r.back = offset
	}
	r.wake()
}

// deliver passes a batch to the handler until the handler accepts it, then
// continues behind it.
func (r *reader) deliver(b batch) {
	r.handle(b, func(accepted bool) {
		if r.stopped {
			return
		}
		if !accepted {
			r.kafka.w.after(200*time.Millisecond, "batch again", func() {
				if !r.stopped {
					r.deliver(b)
				}
			})
			return
		}
		last := b.messages[len(b.messages)-1]
		// The fingerprint detects a log that was replaced and has grown past the offset.
		r.cursor = cursor{b.first + int64(len(b.messages)), fingerprint(last)}
		r.fetching = false
		// The log may have been replaced while the batch waited, and end just here.
		if l := r.kafka.log(r.partition); l.end() != r.cursor.next || r.back >= 0 || !r.sameLog(l) {
			r.wake()
		}
	})
}

// fetch determines where to read and returns what is there. It is executed at
// Kafka, at the moment at which the request arrives.
func (r *reader) fetch() batch {
	l := r.kafka.log(r.partition)
	if !r.positioned {
		r.cursor, r.positioned = r.startAt(l), true
		r.end, r.endAt = l.end(), r.fetchedAt
	}
	if r.initialEnd < 0 {
		r.initialEnd = l.end()
	}
	// Another log: everything in it is new, whatever the offsets are.
	if !r.sameLog(l) {
		r.kafka.w.stats.Reread++
		r.cursor, r.initialEnd, r.failedAt = cursor{next: l.base}, 0, r.kafka.w.now
		r.end = l.end()
	}
	if r.back >= 0 && r.back < r.cursor.next {
		r.cursor = cursor{next: r.back}
	}
	r.back = -1
	if r.cursor.next < l.base { // expired
		r.cursor = cursor{next: l.base}
	}
	from := r.cursor.next - l.base
	b := batch{partition: r.partition, first: r.cursor.next, initialEnd: r.initialEnd}
	// Nothing of the batch was there at the fetch before, which was sent at endAt.
	if r.cursor.next >= r.end {
		b.after = r.endAt
	}
	r.end, r.endAt = l.end(), r.fetchedAt
	if from < int64(len(l.messages)) {
		b.messages = l.messages[from:min(from+maxFetch, int64(len(l.messages)))]
	}
	return b
}

// sameLog reports whether the log is still the one that the cursor belongs to.
func (r *reader) sameLog(l *partitionLog) bool {
	switch {
	case r.ignoresReplaced:
		r.cursor.next = min(r.cursor.next, l.end())
		return true
	case r.cursor.next > l.end():
		return false
	case r.cursor.crc == 0 || r.cursor.next <= l.base:
		// The record before the cursor is unknown or expired: nothing to compare with.
		return true
	}
	m := l.messages[r.cursor.next-1-l.base]
	return fingerprint(m) == r.cursor.crc
}
