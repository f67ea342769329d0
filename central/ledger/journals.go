package ledger

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxChain bounds how many boots descends goes back, and so the database reads
// for one message.
const maxChain = 1000

// findJournal returns a journal, read from its row when it is not in memory; nil
// when nothing is known of it.
func (f *fold) findJournal(id charge.JournalID) *Journal {
	if id == "" {
		return nil
	}
	j := f.cp.Journals[id]
	if j == nil && f.env.Journal != nil {
		if row, ok := f.env.Journal(id); ok {
			j = &row
			f.cp.Journals[id] = j
		}
	}
	return j
}

// findOrCreateJournal returns the journal; a new one has no known record.
func (f *fold) findOrCreateJournal(id charge.JournalID) *Journal {
	j := f.findJournal(id)
	if j == nil {
		j = &Journal{ID: id}
		f.cp.Journals[id] = j
	}
	return j
}

// advanceTo sets the position of a journal to record last with its hash; "" when
// the hash is not known. Only acceptNext and passTo move positions, through it.
func (f *fold) advanceTo(j *Journal, last charge.Seq, hash string) {
	f.cp.KnownRecords += int64(last) - int64(j.Last)
	j.Last, j.Hash = last, hash
	touch(&f.journals, j)
}

// journalEndingWith finds the journal whose record Last has the hash.
func (f *fold) journalEndingWith(hash string) *Journal {
	if hash == "" {
		return nil
	}
	for _, j := range f.cp.Journals {
		if j.Hash == hash {
			return j
		}
	}
	if f.env.JournalEnding != nil {
		if id, ok := f.env.JournalEnding(hash); ok {
			if j := f.findJournal(id); j != nil && j.Hash == hash {
				return j
			}
		}
	}
	return nil
}

// descends reports whether j is a later boot on the same storage as i. Beyond
// maxChain boots it reports false; presence, which names the boot that runs, then
// decides which one is current.
func (f *fold) descends(j, i *Journal) bool {
	for range maxChain {
		if j = f.findJournal(j.After.Journal); j == nil {
			return false
		}
		if j == i {
			return true
		}
	}
	return false
}

// evictJournals removes journals from memory, those that grew least recently;
// their rows stay. A charging point that restarts each day has thousands of
// journals after ten years, but records belong to the current one and, after an
// outage, to the few before it.
func (f *fold) evictJournals() {
	cp, keep := f.cp, f.env.KeepJournals
	if f.env.Journal == nil || len(cp.Journals) <= 2*keep {
		return
	}
	var old []*Journal
	for _, j := range cp.Journals {
		if !cp.keepsInMemory(j.ID) {
			old = append(old, j)
		}
	}
	slices.SortFunc(old, func(a, b *Journal) int {
		return cmp.Or(cmp.Compare(a.GrownAt, b.GrownAt), cmp.Compare(a.ID, b.ID))
	})
	for _, j := range old[:min(len(old), len(cp.Journals)-keep)] {
		delete(cp.Journals, j.ID)
	}
}

// keepsInMemory reports whether every record or presence needs the journal.
func (cp *CP) keepsInMemory(id charge.JournalID) bool {
	switch id {
	case cp.NewestJournal, cp.CurrentJournal, cp.PendingJournal, cp.AnnouncedJournal, cp.First.Journal, cp.Next.Journal, cp.Last.Journal, cp.lastGrown:
		return true
	}
	return false
}

// ForgetHash forgets the hash of the last record of a journal, which is not held and was
// named by a record that follows it. Central does so when it passes what is behind it in
// that journal; a replay of records does not know when that was. It reports false if there
// is no such hash, or gaps do not have both the record and the one behind it.
func (cp *CP) ForgetHash(at wire.Position, gaps []Gap) bool {
	missing := func(seq charge.Seq) bool {
		return slices.ContainsFunc(gaps, func(g Gap) bool {
			return g.Journal == at.Journal && g.First <= seq && (seq <= g.Last || g.Last == 0)
		})
	}
	j := cp.Journals[at.Journal]
	if j == nil || j.Last != at.Seq || j.LastFollowed != at.Seq || j.Hash == "" || !missing(at.Seq) || !missing(at.Seq+1) {
		return false
	}
	j.Hash = ""
	return true
}
