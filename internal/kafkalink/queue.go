package kafkalink

import (
	"time"
)

// entryOverhead is the memory of a waiting record beside its bytes. It is more
// than the frame of a record in a batch, so that sizes of entries bound sizes of
// batches.
const entryOverhead = 64

// entry is a record that is held: waiting, or in flight.
type entry struct {
	Record
	size int // in bytes, with entryOverhead
	// at is when the record was accepted. On a Latest topic it is when the first of
	// the values that it replaced was accepted: since then Kafka has no current
	// value.
	at time.Time
}

func newEntry(r Record) entry {
	size := entryOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + 8
	}
	return entry{Record: r, size: size, at: time.Now()}
}

// subject identifies the values of a Latest topic that replace each other.
type subject struct{ key, of string }

func (e *entry) subject() subject { return subject{string(e.Key), e.Subject} }

// queue holds the records of a lane that are not in flight. The zero value is an
// empty FIFO. With latest, it keeps one entry per subject, at the position of the
// first one, so that a value that changes often is not delayed for ever.
//
// Its lane's mutex guards it.
type queue struct {
	// latest maps subjects to positions, counted since the start: position base is
	// entries[head]. It is nil for a FIFO.
	latest map[subject]int
	base   int // how many entries were popped so far
	// entries[head:] wait; those before head were popped.
	entries []entry
	head    int
}

func (q *queue) len() int { return len(q.entries) - q.head }

// put adds an entry. With latest it returns the one it replaced.
func (q *queue) put(e entry) (replaced entry, ok bool) {
	if q.latest != nil {
		if place, waits := q.latest[e.subject()]; waits {
			slot := &q.entries[place-q.base+q.head]
			e.at = slot.at
			replaced, *slot = *slot, e
			return replaced, true
		}
		q.latest[e.subject()] = q.base + q.len()
	}
	q.entries = append(q.entries, e)
	return entry{}, false
}

// pop removes and returns the first entries: at least one if there is any, at most
// records of them, and no more than fit into bytes.
func (q *queue) pop(records, bytes int) []entry {
	n, size := 0, 0
	for n < q.len() && n < records {
		size += q.entries[q.head+n].size
		if n > 0 && size > bytes {
			break
		}
		n++
	}
	batch := make([]entry, n)
	copy(batch, q.entries[q.head:])
	clear(q.entries[q.head : q.head+n]) // releases their memory
	q.head += n
	q.base += n
	if q.latest != nil {
		for _, e := range batch {
			delete(q.latest, e.subject())
		}
	}
	q.compact()
	return batch
}

// compact releases the popped front of entries, in amortized constant time.
func (q *queue) compact() {
	switch {
	case q.len() == 0:
		q.head = 0
		if cap(q.entries) > 4096 {
			q.entries = nil // releases the memory of a burst
		} else {
			q.entries = q.entries[:0]
		}
	case q.head > 1024 && q.head > q.len():
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
}

// putBack returns entries that were in flight to the front of a queue with latest.
// A newer value that arrived meanwhile replaces the old one, which is returned.
func (q *queue) putBack(batch []entry) (replaced []entry) {
	keep := make([]entry, 0, len(batch)+q.len())
	superseded := make(map[subject]struct{})
	for _, e := range batch {
		place, newer := q.latest[e.subject()]
		if newer {
			superseded[e.subject()] = struct{}{}
			replaced = append(replaced, e)
			newest := q.entries[place-q.base+q.head]
			newest.at = e.at
			e = newest
		}
		keep = append(keep, e)
	}
	for _, e := range q.entries[q.head:] {
		if _, moved := superseded[e.subject()]; !moved {
			keep = append(keep, e)
		}
	}
	q.entries, q.head, q.base = keep, 0, 0
	for i, e := range keep {
		q.latest[e.subject()] = i
	}
	return replaced
}

// oldest returns since when the first entry waits, and whether there is one.
func (q *queue) oldest() (time.Time, bool) {
	if q.len() == 0 {
		return time.Time{}, false
	}
	return q.entries[q.head].at, true
}
