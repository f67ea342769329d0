package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file decides which records are late for the accounts. The accounts follow
// from the records alone: presence decides which boot is shown and commanded, and
// must not decide what is metered and billed, since no replay of the records can
// see it.

// mostAhead is how far ahead of its reception a record may have been written. Beyond
// that the clock of its boot was wrong and shows no order: else a boot of next year
// would be the newest one until then.
const mostAhead = 24 * time.Hour

// chooseNewest makes a newly opened boot the newest one, unless it is an older
// branch that arrives late: storage that was rolled back leaves such a branch. A boot
// that follows the newest one is newer whatever the clocks show; else clocks that are
// set decide, and without them the order of arrival.
func (f *fold) chooseNewest(j *Journal) {
	cp := f.cp
	was := f.findJournal(cp.NewestJournal)
	if was != nil && dated(was.Clock) && dated(j.Clock) && j.FirstWrittenAt < was.FirstWrittenAt && !f.descends(j, was) {
		return
	}
	straight := was != nil && j.After == wire.Position{Journal: was.ID, Seq: was.Last}
	cp.NewestJournal, f.pointChanged = j.ID, true
	for id := range cp.Meters {
		m := f.changeMeter(id)
		m.Session = ""
		if straight && m.Boot == was.ID {
			m.Boot = j.ID
		} else {
			m.Boot = ""
		}
	}
}

// isLate reports whether the record is late for the accounts: it fills a gap, or it
// was not written after the newest boot began, of which it is no record. Records of
// another boot that were written after that, by clocks that are set, are of a second
// device; its meter is read, too.
func (f *fold) isLate() bool {
	newest := f.findJournal(f.cp.NewestJournal)
	switch {
	case f.out.Late:
		return true
	case newest == nil || newest.ID == f.rec.Journal:
		return false
	}
	return !dated(f.rec.Clock) || !dated(newest.Clock) || f.rec.At <= newest.FirstWrittenAt
}

// dated reports whether a clock shows which of two records is older. Not many charging
// points have one that is synchronized, so one that was set is enough.
func dated(c charge.ClockQuality) bool { return c == charge.ClockSet || c == charge.ClockSynced }
