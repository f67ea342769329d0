package ledger

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maySkip reports whether the agent itself has said that it holds nothing before
// this record: presence calls it first; or presence calls it next, and the
// position that is counted from came from this run of Central, which has
// acknowledged nothing that it does not know.
func (f *fold) maySkip() bool {
	here := wire.Position{Journal: f.rec.Journal, Seq: f.rec.Seq}
	ours := f.positionIsOurs()
	return here == f.cp.First || ours && here == f.cp.Next
}

// skipBefore makes a hole of what is missing before the record.
func (f *fold) skipBefore(j *Journal) {
	r := f.rec
	if r.Seq > 1 {
		if j == nil {
			j = f.findOrCreateJournal(r.Journal)
		}
		f.skipTo(j, r.Seq-1, r.Prev, GapForgotten, "the charging point holds nothing before record "+fmt.Sprint(r.Seq))
		return
	}
	reg, ok := f.payload().(*wire.Registered)
	if !ok || reg.After == nil {
		f.addGap(&Gap{
			ID: f.gapID(r.Journal, 0), Journal: r.Journal, Cause: GapForgotten,
			Detail: "what the journal follows cannot be read", Missing: []Range{{}},
		})
		return
	}
	f.skipTo(f.findOrCreateJournal(reg.After.Journal), reg.After.Seq, r.Prev, GapForgotten, "the charging point holds nothing before its start")
}

// skipTo moves the position of j over records that are not known, up to and with
// last, and writes the hole down. hash is that of record last, if it is known.
func (f *fold) skipTo(j *Journal, last charge.Seq, hash string, cause GapCause, detail string) {
	first := j.Last + 1
	f.addGap(&Gap{
		ID: f.gapID(j.ID, first), Journal: j.ID, First: first, Last: last, Cause: cause, Detail: detail,
		Missing: []Range{{first, last}},
	})
	f.advanceTo(j, last, hash)
}

// skipDamaged makes holes of what the agent found unreadable, where it lies
// directly behind what is known. Ranges known already are no loss.
func (f *fold) skipDamaged(reg *wire.Registered) {
	for _, d := range reg.Damaged {
		j := f.findJournal(d.Journal)
		if j == nil || d.First > j.Last+1 || d.Last != 0 && d.Last <= j.Last {
			continue
		}
		if d.Last != 0 {
			f.skipTo(j, d.Last, "", GapDamaged, d.Reason)
			continue
		}
		if id := f.gapID(j.ID, j.Last+1); f.cp.Gaps[id] == nil {
			f.addGap(&Gap{
				ID: id, Journal: j.ID, First: j.Last + 1, Cause: GapDamaged, Detail: d.Reason,
				Missing: []Range{{First: j.Last + 1}},
			})
		}
	}
}

// addGap adds a hole, with the registers before it, and raises its alarm.
func (f *fold) addGap(h *Gap) {
	h.CPID, h.DetectedAt = f.cp.ID, f.env.Now
	for id, m := range f.cp.Meters {
		if m.Known {
			h.Unmeasured = append(h.Unmeasured, GapRegister{id, m.Last})
		}
	}
	slices.SortFunc(h.Unmeasured, func(a, b GapRegister) int { return int(a.Connector - b.Connector) })
	f.cp.Gaps[h.ID] = h
	touch(&f.gaps, h)
	f.raiseAlarm(AlarmGap, h.alarmID(), 0, fmt.Sprintf("records %d to %d of journal %s are missing: %s", h.First, h.Last, h.Journal, h.Detail))
}

// maxDetail bounds what is written beside a hole.
const maxDetail = 1000

// ExplainGap writes an operator's words beside a hole that is not filled, and
// takes its alarm back: somebody has looked. It answers an error for any other.
func ExplainGap(cp *CP, id, words string) ([]Change, error) {
	h := cp.Gaps[id]
	switch {
	case h == nil || len(h.Missing) == 0:
		return nil, fmt.Errorf("hole %s is filled, or does not exist", id)
	case len(h.Detail)+len(words) > maxDetail:
		return nil, fmt.Errorf("hole %s has been explained at length already", id)
	}
	f := fold{cp: cp, env: &Env{}}
	h.Detail += "; " + words
	touch(&f.gaps, h)
	f.clearAlarm(AlarmGap, h.alarmID(), 0)
	return f.emit(), nil
}

// gapID names a hole in the whole network: a journal's id may be used by
// several charging points.
func (f *fold) gapID(j charge.JournalID, first charge.Seq) string {
	return fmt.Sprintf("%s.%s.%d", f.cp.ID, j, first)
}

// alarmID names the alarm of a hole among those of its charging point.
func (h *Gap) alarmID() string { return fmt.Sprintf("%s.%d", h.Journal, h.First) }

// gapContaining finds the hole that misses the record. Ranges with an open end are
// filled in order only, by advance.
func (f *fold) gapContaining(j charge.JournalID, seq charge.Seq) *Gap {
	for _, h := range f.cp.Gaps {
		if h.Journal != j {
			continue
		}
		for _, m := range h.Missing {
			if m.First <= seq && seq <= m.Last {
				return h
			}
		}
	}
	return nil
}

// fillGap takes a record out of what a hole misses.
func (f *fold) fillGap(h *Gap, seq charge.Seq) {
	var rest []Range
	for _, m := range h.Missing {
		if seq < m.First || seq > m.Last {
			rest = append(rest, m)
			continue
		}
		if m.First < seq {
			rest = append(rest, Range{m.First, seq - 1})
		}
		if seq < m.Last {
			rest = append(rest, Range{seq + 1, m.Last})
		}
	}
	h.Missing = rest
	if j := f.findJournal(h.Journal); j != nil && j.Last == seq {
		j.Hash = f.out.Hash // the next record must follow these bytes
		touch(&f.journals, j)
	}
	f.closeGap(h)
}

// narrowOpenEnd moves the beginning of a range without an end beyond a record
// that turned up after all.
func (f *fold) narrowOpenEnd(j charge.JournalID, seq charge.Seq) {
	for _, h := range f.cp.Gaps {
		for i := range h.Missing {
			if m := &h.Missing[i]; h.Journal == j && m.Last == 0 && m.First != 0 && m.First <= seq {
				m.First = seq + 1
				touch(&f.gaps, h)
			}
		}
	}
}

// measureGaps takes the first register after a hole.
func (f *fold) measureGaps(id charge.ConnectorID, reg charge.WattHours) {
	for _, h := range f.cp.Gaps {
		i := slices.IndexFunc(h.Unmeasured, func(w GapRegister) bool { return w.Connector == id })
		if i < 0 {
			continue
		}
		h.Energy += max(0, reg-h.Unmeasured[i].Before)
		h.Unmeasured = slices.Delete(h.Unmeasured, i, i+1)
		f.closeGap(h)
	}
}

// closeGap forgets a hole in memory once nothing more can change about it.
func (f *fold) closeGap(h *Gap) {
	touch(&f.gaps, h)
	if len(h.Missing) == 0 && len(h.Unmeasured) == 0 {
		delete(f.cp.Gaps, h.ID)
	}
	if len(h.Missing) == 0 {
		f.clearAlarm(AlarmGap, h.alarmID(), 0)
	}
}
