package ledger

import (
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// mayPass reports whether the agent itself states that it has nothing to send
// before this record. Either presence calls the record the first that the agent
// holds; or presence calls it the next to be acknowledged, and this run of Central
// acknowledged what precedes it. (An earlier run may have acknowledged records
// that the database lost; the agent still has those.)
//
// What the agent deleted may still be in Kafka, in a partition that this Central
// has not read to its end: see Env.LogRead. That holds for a record that is both
// first and next, too: an agent whose position was set back behind what it deleted
// continues at the first record that it holds.
func (f *fold) mayPass() bool {
	switch (wire.Position{Journal: f.rec.Journal, Seq: f.rec.Seq}) {
	case f.cp.First:
		f.out.AwaitsLog = !f.logRead()
		return !f.out.AwaitsLog
	case f.cp.Next:
		return f.positionIsOurs()
	}
	return false
}

// logRead reports whether the log of records has been read as far as it was when the
// latest presence arrived.
func (f *fold) logRead() bool { return f.env.LogRead == nil || f.env.LogRead() }

// passBefore makes a gap of what is missing before the record.
func (f *fold) passBefore(j *Journal) {
	r := f.rec
	if r.Seq > 1 {
		if j == nil {
			j = f.findOrCreateJournal(r.Journal)
		}
		f.passTo(j, r.Seq-1, r.Prev, GapForgotten, reason.Reason{Code: reason.GapBeforeRecord, Count: int64(r.Seq)})
		return
	}
	reg, ok := f.payload().(*wire.Registered)
	if !ok || reg.After == nil {
		f.addGap(&Gap{
			ID: f.gapID(r.Journal, 0), Journal: r.Journal, Cause: GapForgotten,
			Why: reason.Reason{Code: reason.GapUnreadable}, Missing: []Range{{}},
		})
		return
	}
	f.passTo(f.findOrCreateJournal(reg.After.Journal), reg.After.Seq, r.Prev, GapForgotten, reason.Reason{Code: reason.GapBeforeStart})
}

// passTo adds a gap from the position of j to last, and advances the position to
// last. hash is that of record last; "" if it is not known.
func (f *fold) passTo(j *Journal, last charge.Seq, hash string, cause GapCause, why reason.Reason) {
	first := j.Last + 1
	f.addGap(&Gap{
		ID: f.gapID(j.ID, first), Journal: j.ID, First: first, Last: last, Cause: cause, Why: why,
		Missing: []Range{{first, last}},
	})
	f.advanceTo(j, last, hash)
}

// passDamaged makes gaps of the ranges that the agent cannot read, where they
// follow directly on what is known. Ranges that are known already are not lost.
func (f *fold) passDamaged(reg *wire.Registered) {
	for _, d := range reg.Damaged {
		j := f.findJournal(d.Journal)
		if j == nil || d.First > j.Last+1 || d.Last != 0 && d.Last <= j.Last {
			continue
		}
		if d.Last != 0 {
			f.passTo(j, d.Last, "", GapDamaged, reason.Words(d.Reason))
			continue
		}
		if id := f.gapID(j.ID, j.Last+1); f.cp.Gaps[id] == nil {
			f.addGap(&Gap{
				ID: id, Journal: j.ID, First: j.Last + 1, Cause: GapDamaged, Why: reason.Words(d.Reason),
				Missing: []Range{{First: j.Last + 1}},
			})
		}
	}
}

// addGap adds a gap, with the registers before it, and raises its alarm.
func (f *fold) addGap(g *Gap) {
	g.CPID, g.DetectedAt, g.Detail = f.cp.ID, f.env.Now, g.Why.String()
	for id, m := range f.cp.Meters {
		if m.Known {
			g.Unmeasured = append(g.Unmeasured, GapRegister{id, m.Last})
		}
	}
	slices.SortFunc(g.Unmeasured, func(a, b GapRegister) int { return int(a.Connector - b.Connector) })
	f.cp.Gaps[g.ID] = g
	touch(&f.gaps, g)
	why := reason.Reason{Code: reason.GapOf, First: int64(g.First), Last: int64(g.Last), Journal: string(g.Journal)}
	f.raiseAlarm(AlarmGap, g.alarmID(), 0, why.Because(g.Why))
}

// maxDetail bounds Gap.Detail, in bytes.
const maxDetail = 1000

// ExplainGap adds an operator's explanation to a gap that is not filled, and
// clears its alarm: an operator has looked at it. It returns an error for any
// other gap.
func ExplainGap(cp *CP, id, explanation string) ([]Change, error) {
	g := cp.Gaps[id]
	switch {
	case g == nil || len(g.Missing) == 0:
		return nil, fmt.Errorf("gap %s is filled, or does not exist", id)
	case len(g.Detail)+len(explanation) > maxDetail:
		return nil, fmt.Errorf("gap %s has been explained at length already", id)
	}
	f := fold{cp: cp, env: &Env{}}
	g.Detail += "; " + explanation
	g.Why.Note = join(g.Why.Note, explanation)
	touch(&f.gaps, g)
	f.clearAlarm(AlarmGap, g.alarmID(), 0)
	return f.emit(), nil
}

// join adds a note to those before it.
func join(notes, note string) string {
	if notes == "" {
		return note
	}
	return notes + "; " + note
}

// gapID names a gap in the whole network. The charging point is part of it,
// because two charging points may use the same journal id.
func (f *fold) gapID(j charge.JournalID, first charge.Seq) string {
	return fmt.Sprintf("%s.%s.%d", f.cp.ID, j, first)
}

// alarmID names the alarm of a gap among those of its charging point.
func (g *Gap) alarmID() string { return fmt.Sprintf("%s.%d", g.Journal, g.First) }

// gapContaining finds the gap that misses the record. A range with an open end
// lies behind the journal's position; acceptNext shortens it in order.
func (f *fold) gapContaining(j charge.JournalID, seq charge.Seq) *Gap {
	for _, g := range f.cp.Gaps {
		if g.Journal != j {
			continue
		}
		for _, m := range g.Missing {
			if m.First <= seq && seq <= m.Last {
				return g
			}
		}
	}
	return nil
}

// fillGap removes a record from what a gap misses.
func (f *fold) fillGap(g *Gap, seq charge.Seq) {
	var rest []Range
	for _, m := range g.Missing {
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
	g.Missing = rest
	if j := f.findJournal(g.Journal); j != nil && j.Last == seq {
		j.Hash = f.out.Hash // the next record must follow these bytes
		touch(&f.journals, j)
	}
	f.closeGap(g)
}

// narrowOpenEnd moves the beginning of a range with an open end behind a record
// that turned up after all.
func (f *fold) narrowOpenEnd(j charge.JournalID, seq charge.Seq) {
	for _, g := range f.cp.Gaps {
		for i := range g.Missing {
			if m := &g.Missing[i]; g.Journal == j && m.Last == 0 && m.First != 0 && m.First <= seq {
				m.First = seq + 1
				touch(&f.gaps, g)
			}
		}
	}
}

// measureGaps adds the energy of a connector to the gaps whose first register
// after them this is. reg 0 adds none: the meter does not show what flowed.
func (f *fold) measureGaps(id charge.ConnectorID, reg charge.WattHours) {
	for _, g := range f.cp.Gaps {
		i := slices.IndexFunc(g.Unmeasured, func(w GapRegister) bool { return w.Connector == id })
		if i < 0 {
			continue
		}
		g.Energy += max(0, reg-g.Unmeasured[i].Before)
		g.Unmeasured = slices.Delete(g.Unmeasured, i, i+1)
		f.closeGap(g)
	}
}

// closeGap removes a gap from memory once nothing of it can change any more, and
// clears its alarm once it is filled.
func (f *fold) closeGap(g *Gap) {
	touch(&f.gaps, g)
	if len(g.Missing) == 0 && len(g.Unmeasured) == 0 {
		delete(f.cp.Gaps, g.ID)
	}
	if len(g.Missing) == 0 {
		f.clearAlarm(AlarmGap, g.alarmID(), 0)
	}
}
