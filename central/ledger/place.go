package ledger

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// forkAfter is how long two journals of one charging point may both grow, or
// records that do not fit the chain may keep its others from coming: a storage
// that was rolled back leaves a few late records, and a stray message is alone;
// two boxes with one identity never stop.
const forkAfter = 10 * time.Minute

// mismatchPause is the longest pause between records that do not fit for them to
// count as one series: an agent that is held up sends at least each minute.
const mismatchPause = 3 * time.Minute

// place finds out whether the record is known, is next, fills a hole, may pass
// over one, or must be said again. If it is next or passes, its journal's
// position is moved on.
func (f *fold) place() Verdict {
	r, cp := f.rec, f.cp
	j := f.known(r.Journal)
	if j != nil && r.Seq <= j.Last {
		return f.placeKnown(j)
	}
	if cp.Forked() {
		return Forked
	}
	before, known := f.before(j)
	switch {
	case !known && !f.mayPass():
		if reg, ok := f.payloadOfFirst().(*wire.Registered); ok {
			f.passDamaged(reg) // it is dropped, but what it says of its storage lets others pass
		}
		return Gap
	case !known:
		f.passBefore(j)
	case before != "" && before != r.Prev:
		return f.heldUp(fmt.Sprintf("record %s/%d does not follow the record known before it", r.Journal, r.Seq))
	}
	if f.growsBeside(j) {
		f.fork(fmt.Sprintf("journals %s and %s both grow", r.Journal, cp.grower))
		return Forked
	}
	f.advance()
	return Applied
}

// placeKnown judges a record at or before its journal's position: it fills a
// hole, or was applied before, or says something else than the one applied.
func (f *fold) placeKnown(j *Journal) Verdict {
	r := f.rec
	if h := f.holeWith(r.Journal, r.Seq); h != nil {
		switch {
		case f.cp.Forked():
			return Forked
		case !f.fits(j):
			return f.mismatch(fmt.Sprintf("record %s/%d, which was missing, does not fit the records known beside it", r.Journal, r.Seq))
		}
		f.fill(h, r.Seq)
		f.out.Late = true
		return Applied
	}
	known := j.Hash
	if r.Seq != j.Last {
		known = f.hashOf(r.Journal, r.Seq)
	}
	if known == "" || known == f.out.Hash {
		return Duplicate
	}
	why := fmt.Sprintf("record %s/%d came with other bytes than before", r.Journal, r.Seq)
	if before := f.hashBefore(); before == "" || before != r.Prev {
		return f.mismatch(why)
	}
	if !f.cp.Forked() {
		f.fork(why + ", and both follow the same record")
	}
	return Forked
}

// heldUp drops a record that does not follow the one known before it. It may be
// a stray message; but where such records keep coming and nothing else of the
// charging point does, it is held up by another one's records.
func (f *fold) heldUp(why string) Verdict {
	p, now := &f.cp.Point, f.env.Now
	v := f.mismatch(why)
	if p.HeldUpSince == 0 {
		p.HeldUpSince = max(now, 1)
	}
	if now < p.HeldUpSince.Add(forkAfter) {
		return v
	}
	f.fork(why + ", and nothing else came for ten minutes")
	return Forked
}

// mismatch drops a record that does not fit the chain. That proves nothing: who
// does not hold the chain can send it as well. After a pause, or if the clock went
// back, it belongs to no series of before.
func (f *fold) mismatch(why string) Verdict {
	p, now := &f.cp.Point, f.env.Now
	if now < p.MismatchAt || now > p.MismatchAt.Add(mismatchPause) {
		p.HeldUpSince = 0
	}
	p.MismatchAt = max(now, 1)
	f.point = true
	f.alarm(AlarmMismatch, mismatchID, 0, why+": dropped")
	return Mismatched
}

// mismatchID names the one alarm of a charging point about records that do not
// fit.
const mismatchID = "chain"

// progress notes that a record was applied in the order of its journal: nothing
// holds the charging point up. The alarm goes once none came for a while.
func (f *fold) progress() {
	p := &f.cp.Point
	if p.HeldUpSince != 0 {
		p.HeldUpSince = 0
		f.point = true
	}
	if p.MismatchAt != 0 && f.env.Now >= p.MismatchAt.Add(forkAfter) {
		p.MismatchAt = 0
		f.point = true
		f.clear(AlarmMismatch, mismatchID, 0)
	}
}

// hashBefore is the hash of the record before one that is known, whose journal
// it continues; "" when that is not held, or there is none.
func (f *fold) hashBefore() string {
	r := f.rec
	if r.Seq > 1 {
		return f.hashOf(r.Journal, r.Seq-1)
	}
	reg, ok := f.payload().(*wire.Registered)
	if !ok || reg.After == nil {
		return ""
	}
	if i := f.known(reg.After.Journal); i != nil && reg.After.Seq == i.Last {
		return i.Hash
	}
	return f.hashOf(reg.After.Journal, reg.After.Seq)
}

// fits reports whether a record that turns up late fits what is known on both of
// its sides.
func (f *fold) fits(j *Journal) bool {
	r := f.rec
	if before := f.hashBefore(); before != "" && before != r.Prev {
		return false
	}
	if r.Seq == j.Last && j.Hash != "" && j.Hash != f.out.Hash {
		return false
	}
	if prev, held := f.prevOf(r.Journal, r.Seq+1); held && prev != f.out.Hash {
		return false
	}
	here := wire.Position{Journal: r.Journal, Seq: r.Seq}
	for id, k := range f.cp.Journals {
		if k.After != here {
			continue
		}
		if prev, held := f.prevOf(id, 1); held && prev != f.out.Hash {
			return false
		}
	}
	return true
}

func (f *fold) prevOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	if f.env.PrevOf == nil {
		return "", false
	}
	return f.env.PrevOf(j, seq)
}

func (f *fold) hashOf(j charge.JournalID, seq charge.Seq) string {
	if f.env.HashOf == nil {
		return ""
	}
	h, _ := f.env.HashOf(j, seq)
	return h
}

// before tells whether the record's predecessor is known, and its hash where
// that is still held ("" otherwise, and when there is no predecessor).
func (f *fold) before(j *Journal) (hash string, known bool) {
	if f.rec.Seq > 1 {
		if j == nil || f.rec.Seq != j.Last+1 {
			return "", false
		}
		return j.Hash, true
	}
	reg, ok := f.payload().(*wire.Registered)
	switch {
	case !ok: // record 1 that cannot be read: its hash still names what it follows
		i := f.endingIn(f.rec.Prev)
		return "", i != nil || f.rec.Prev == ""
	case reg.After == nil:
		return "", true
	}
	i := f.known(reg.After.Journal)
	switch {
	case i == nil || reg.After.Seq > i.Last:
		return "", false
	case reg.After.Seq == i.Last:
		return i.Hash, true
	}
	return f.hashOf(i.ID, reg.After.Seq), true
}

// payloadOfFirst is the payload if the record is a journal's first.
func (f *fold) payloadOfFirst() wire.Payload {
	if f.rec.Seq != 1 {
		return nil
	}
	return f.payload()
}

// growsBeside reports whether the record proves that two boxes use the identity:
// its journal and another both grew, more than forkAfter after the later of them
// was opened. A record that was written before that moment, by clocks that are
// right, is only late.
func (f *fold) growsBeside(j *Journal) bool {
	other := f.known(f.cp.grower)
	if j == nil || other == nil || other == j {
		return false
	}
	later := other
	if j.OpenedAt > other.OpenedAt {
		later = j
	}
	limit := later.OpenedAt.Add(forkAfter)
	return other.GrownAt > limit && !f.writtenBefore(later)
}

func (f *fold) writtenBefore(later *Journal) bool {
	synced := f.rec.Clock == charge.ClockSynced && later.Clock == charge.ClockSynced
	return synced && f.rec.Journal != later.ID && f.rec.At <= later.WroteAt
}

// advance moves the journal's position to the record, opening the journal if it
// is new.
func (f *fold) advance() {
	r := f.rec
	j := f.known(r.Journal)
	if j == nil || j.OpenedAt == 0 {
		j = f.open(j)
	}
	f.moveOn(j, r.Seq, f.out.Hash)
	if o := f.known(f.cp.grower); o == nil || o == j || !f.writtenBefore(o) {
		j.GrownAt = f.env.Now
		f.cp.grower = j.ID
	}
	f.progress()
	if j.Followed != 0 && r.Seq == j.Followed+1 {
		f.rolledBack(j.ID, j.Followed)
	}
	f.narrowOpenEnd(r.Journal, r.Seq)
}

func (f *fold) rolledBack(j charge.JournalID, at charge.Seq) {
	f.alarm(AlarmRolledBack, fmt.Sprintf("%s.%d", j, at), 0,
		fmt.Sprintf("record %s/%d has two continuations: the storage went back to an older state", j, at))
}

// fork puts the identity into quarantine.
func (f *fold) fork(why string) {
	if f.cp.Forked() {
		return
	}
	f.cp.ForkedAt, f.cp.Fork = max(f.env.Now, 1), why
	f.point = true
	f.alarm(AlarmFork, string(f.rec.Journal), 0, why)
}
