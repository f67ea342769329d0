package delivery

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Index numbers the records of all journals of one agent in the order of
// writing, from 1 without gaps among those held. Zero is before all of them.
type Index uint64

// Range is consecutive records of one journal that the disk holds.
type Range struct {
	Journal     charge.JournalID
	First, Last charge.Seq
	Index       Index // of the record First
}

// last is the index of the record Last.
func (r Range) last() Index { return r.Index + Index(r.Last-r.First) }

// Held is which records the disk holds, in the order of writing; the index of
// each range follows that of the one before. A journal has two ranges where
// records between them were damaged.
type Held struct {
	Ranges []Range
	// Present is the journal of this boot.
	Present charge.JournalID
}

// First is the index of the first record held; one more than Last when there
// is none.
func (h Held) First() Index {
	if len(h.Ranges) == 0 {
		return 1
	}
	return h.Ranges[0].Index
}

// Last is the index of the last record held, zero when there is none.
func (h Held) Last() Index {
	if len(h.Ranges) == 0 {
		return 0
	}
	return h.Ranges[len(h.Ranges)-1].last()
}

// Position names the record with an index; nil when it is not held.
func (h Held) Position(i Index) *wire.Position {
	for _, r := range h.Ranges {
		if i >= r.Index && i <= r.last() {
			return &wire.Position{Journal: r.Journal, Seq: r.First + charge.Seq(i-r.Index)}
		}
	}
	return nil
}

// location is where a journal and a seq are among the records held.
type location struct {
	held    bool // the journal is held
	pastEnd bool // seq is beyond its end
	// index of the last record held that is not behind (journal, seq) in its
	// journal; before the journal's first record held when seq is before it.
	index Index
}

// locate finds a journal and a seq among the records held.
func (h Held) locate(journal charge.JournalID, seq charge.Seq) location {
	var f location
	for _, r := range h.Ranges {
		if r.Journal != journal {
			continue
		}
		switch {
		case seq >= r.Last:
			f.index = r.last()
		case seq >= r.First:
			f.index = r.Index + Index(seq-r.First)
		case !f.held:
			f.index = r.Index - 1
		}
		f.held, f.pastEnd = true, seq > r.Last
	}
	return f
}
