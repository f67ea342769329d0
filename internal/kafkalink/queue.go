package kafkalink

import (
	"time"
)

// entryOverhead is what a waiting record costs beside its bytes, and more than
// what its frame takes in a batch.
const entryOverhead = 64

// entry is a record that waits.
type entry struct {
	Record
	size int
	// at is since when a record of its subject waits: of acceptance, or of that of the
	// values it replaced.
	at time.Time
}

func newEntry(r Record) entry {
	size := entryOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + 8
	}
	return entry{Record: r, size: size, at: time.Now()}
}

// subject is what a Latest topic keeps one value of.
type subject struct{ key, of string }

func (e *entry) subject() subject { return subject{string(e.Key), e.Subject} }

// queue is what a lane holds and is not sending. The zero value is an empty
// FIFO; with latest it keeps one entry per subject, at the place of the first.
type queue struct {
	latest map[subject]int // → place in entries, counted from base; nil for a FIFO
	base   int             // what has been taken so far
	// entries[head:] wait.
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

// pop removes and returns the first entries: at least one if there is any, at
// most records of them, and as many as fit into bytes.
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
	clear(q.entries[q.head : q.head+n]) // their bytes may be freed
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

// compact gives the taken front back, in constant time on average.
func (q *queue) compact() {
	switch {
	case q.len() == 0:
		q.head = 0
		if cap(q.entries) > 4096 {
			q.entries = nil // a flood is over
		} else {
			q.entries = q.entries[:0]
		}
	case q.head > 1024 && q.head > q.len():
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
}

// putBack returns entries to the front of a latest queue. A newer value that came
// meanwhile takes the place of its elder, which is returned.
func (q *queue) putBack(batch []entry) (replaced []entry) {
	keep := make([]entry, 0, len(batch)+q.len())
	overtaken := make(map[subject]struct{})
	for _, e := range batch {
		place, newer := q.latest[e.subject()]
		if newer {
			overtaken[e.subject()] = struct{}{}
			replaced = append(replaced, e)
			newest := q.entries[place-q.base+q.head]
			newest.at = e.at
			e = newest
		}
		keep = append(keep, e)
	}
	for _, e := range q.entries[q.head:] {
		if _, moved := overtaken[e.subject()]; !moved {
			keep = append(keep, e)
		}
	}
	q.entries, q.head, q.base = keep, 0, 0
	for i, e := range keep {
		q.latest[e.subject()] = i
	}
	return replaced
}

// oldest returns since when the first entry waits.
func (q *queue) oldest() (time.Time, bool) {
	if q.len() == 0 {
		return time.Time{}, false
	}
	return q.entries[q.head].at, true
}
