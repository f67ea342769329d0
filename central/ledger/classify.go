package ledger

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// forkAfter is how long two journals of one charging point may both grow, or a
// series of records that do not fit the chain may last, before Central concludes
// that two devices use one identity. A storage that was rolled back leaves a few
// late records, and a stray message stays alone; two devices never stop.
const forkAfter = 10 * time.Minute

// mismatchSeriesPause is the longest pause within a series of records that do not
// fit the chain. An agent without acknowledgement sends at least once a minute.
const mismatchSeriesPause = 3 * time.Minute

// classify decides what the record is: a duplicate, the next of its journal, one
// of a gap, one that permits to pass over what precedes it, out of order, or not of
// this chain. If the record is to be applied, classify has advanced the position
// of its journal or filled its gap.
func (f *fold) classify() Verdict {
	r, cp := f.rec, f.cp
	j := f.findJournal(r.Journal)
	if j != nil && r.Seq <= j.Last {
		return f.classifyKnown(j)
	}
	if cp.Forked() {
		return Forked
	}
	before, known := f.predecessor(j)
	switch {
	case !known && !f.mayPass():
		if reg, ok := f.firstPayload().(*wire.Registered); ok {
			f.passDamaged(reg) // the record is dropped, but what it reports as unreadable can be passed
		}
		return OutOfOrder
	case !known:
		f.passBefore(j)
	case before != "" && before != r.Prev:
		return f.blocked()
	}
	if f.provesFork(j) {
		f.quarantine(reason.Reason{Code: reason.BothGrow, Journal: string(r.Journal), Other: string(cp.lastGrown)})
		return Forked
	}
	f.acceptNext()
	return Applied
}

// classifyKnown classifies a record at or before its journal's position: it fills
// a gap, was applied before, or has other bytes than the one applied. Other bytes
// that follow the same predecessor prove a fork: two devices continued one chain.
func (f *fold) classifyKnown(j *Journal) Verdict {
	r := f.rec
	if g := f.gapContaining(r.Journal, r.Seq); g != nil {
		switch {
		case f.cp.Forked():
			return Forked
		case !f.fitsNeighbours(j):
			return f.dropMismatch(reason.NotFitting)
		}
		f.fillGap(g, r.Seq)
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
	if before := f.predecessorHash(); before == "" || before != r.Prev {
		return f.dropMismatch(reason.OtherBytes)
	}
	if !f.cp.Forked() {
		f.quarantine(f.about(reason.OtherBytesFork))
	}
	return Forked
}

// blocked drops a record that does not follow the one known before it. One such
// record may be a stray message. If they keep coming for forkAfter and no other
// record is applied meanwhile, the records of a second device block this one.
// Copies of one message do not, see arrivedAt.
func (f *fold) blocked() Verdict {
	p, at := &f.cp.Point, f.arrivedAt()
	v := f.dropMismatch(reason.NotFollowing)
	if p.BlockedSince == 0 {
		p.BlockedSince = set(at)
	}
	if at < p.BlockedSince.Add(forkAfter) {
		return v
	}
	f.quarantine(f.about(reason.NotFollowingFork))
	return Forked
}

// arrivedAt is when the message was received: by the bridge, if it reports that, and
// not later than now. A bridge whose Kafka answers late writes one message many
// times, and delays all others meanwhile; such copies have one time, so they are no
// series of messages.
func (f *fold) arrivedAt() charge.Time {
	if f.receivedAt == 0 {
		return f.env.Now
	}
	return min(f.env.Now, f.receivedAt)
}

// dropMismatch drops a record that does not fit the chain. A single one proves
// nothing, because a sender without the chain can produce it. After a pause, or
// if Central's clock went back, the record begins a new series.
func (f *fold) dropMismatch(code reason.Code) Verdict {
	p, at := &f.cp.Point, f.arrivedAt()
	if at < p.MismatchAt || at > p.MismatchAt.Add(mismatchSeriesPause) {
		p.BlockedSince = 0
	}
	p.MismatchAt = set(at)
	f.pointChanged = true
	f.raiseAlarm(AlarmMismatch, mismatchID, 0, f.about(code))
	return Mismatched
}

// about returns a reason about the record.
func (f *fold) about(code reason.Code) reason.Reason {
	return reason.Reason{Code: code, Journal: string(f.rec.Journal), First: int64(f.rec.Seq)}
}

// mismatchID names the one alarm of a charging point about records that do not
// fit the chain.
const mismatchID = "chain"

// noteProgress notes that a record was applied in the order of its journal, so
// nothing blocks the charging point. The alarm is cleared once no record failed
// to fit for forkAfter.
func (f *fold) noteProgress() {
	p := &f.cp.Point
	if p.BlockedSince != 0 {
		p.BlockedSince = 0
		f.pointChanged = true
	}
	if p.MismatchAt != 0 && f.env.Now >= p.MismatchAt.Add(forkAfter) {
		p.MismatchAt = 0
		f.pointChanged = true
		f.clearAlarm(AlarmMismatch, mismatchID, 0)
	}
}

// predecessorHash returns the hash of the record that this one, whose journal is
// known, follows; "" when that record is not stored, or there is none.
func (f *fold) predecessorHash() string {
	r := f.rec
	if r.Seq > 1 {
		return f.hashOf(r.Journal, r.Seq-1)
	}
	reg, ok := f.payload().(*wire.Registered)
	if !ok || reg.After == nil {
		return ""
	}
	if i := f.findJournal(reg.After.Journal); i != nil && reg.After.Seq == i.Last {
		return i.Hash
	}
	return f.hashOf(reg.After.Journal, reg.After.Seq)
}

// fitsNeighbours reports whether a record of a gap fits what is known on both
// sides of it: its prev names the record before it, and the record after it, or
// record 1 of a journal that follows it, names its hash.
func (f *fold) fitsNeighbours(j *Journal) bool {
	r := f.rec
	if before := f.predecessorHash(); before != "" && before != r.Prev {
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

// predecessor reports whether what precedes the record is known, and its hash. The
// hash is "" if it is not stored any more, or if nothing precedes the record.
func (f *fold) predecessor(j *Journal) (hash string, known bool) {
	if f.rec.Seq > 1 {
		if j == nil || f.rec.Seq != j.Last+1 {
			return "", false
		}
		return j.Hash, true
	}
	reg, ok := f.payload().(*wire.Registered)
	switch {
	case !ok: // record 1 that cannot be decoded: its prev still names what it follows
		i := f.journalEndingWith(f.rec.Prev)
		return "", i != nil || f.rec.Prev == ""
	case reg.After == nil:
		return "", true
	}
	i := f.findJournal(reg.After.Journal)
	switch {
	case i == nil || reg.After.Seq > i.Last:
		return "", false
	case reg.After.Seq == i.Last:
		return i.Hash, true
	}
	return f.hashOf(i.ID, reg.After.Seq), true
}

// firstPayload returns the payload if the record is record 1 of its journal.
func (f *fold) firstPayload() wire.Payload {
	if f.rec.Seq != 1 {
		return nil
	}
	return f.payload()
}

// provesFork reports whether the record proves that two devices use the identity:
// its journal and another one both grew, more than forkAfter after the later of
// the two was opened. A record that was written before the later journal was
// opened, by synchronized clocks, is only late.
func (f *fold) provesFork(j *Journal) bool {
	other := f.findJournal(f.cp.lastGrown)
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

// writtenBefore reports whether the record was certainly written before another
// journal was opened. Only synchronized clocks can show that.
func (f *fold) writtenBefore(later *Journal) bool {
	synced := f.rec.Clock == charge.ClockSynced && later.Clock == charge.ClockSynced
	return synced && f.rec.Journal != later.ID && f.rec.At <= later.FirstWrittenAt
}

// acceptNext advances the journal's position to the record, and opens the journal
// if it is new.
func (f *fold) acceptNext() {
	r := f.rec
	j := f.findJournal(r.Journal)
	if j == nil || j.OpenedAt == 0 {
		j = f.openJournal(j)
	}
	f.advanceTo(j, r.Seq, f.out.Hash)
	if o := f.findJournal(f.cp.lastGrown); o == nil || o == j || !f.writtenBefore(o) {
		j.GrownAt = f.env.Now
		f.cp.lastGrown = j.ID
	}
	f.noteProgress()
	if j.LastFollowed != 0 && r.Seq == j.LastFollowed+1 {
		f.alarmRolledBack(j.ID, j.LastFollowed)
	}
	f.narrowOpenEnd(r.Journal, r.Seq)
}

func (f *fold) alarmRolledBack(j charge.JournalID, at charge.Seq) {
	f.raiseAlarm(AlarmRolledBack, fmt.Sprintf("%s.%d", j, at), 0,
		reason.Reason{Code: reason.StorageSetBack, Journal: string(j), First: int64(at)})
}

// quarantine stops applying records of the identity until an operator releases
// it: records of two devices in one account would bill wrong sessions.
func (f *fold) quarantine(why reason.Reason) {
	if f.cp.Forked() {
		return
	}
	f.cp.ForkedAt, f.cp.Fork = set(f.env.Now), why
	f.pointChanged = true
	f.raiseAlarm(AlarmFork, string(f.rec.Journal), 0, why)
}
