package ledger

import (
	"errors"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Apply folds one delivered record into cp and returns what changed, each row
// once. The record must be of this charging point. A duplicate changes nothing
// and returns no changes.
func Apply(cp *CP, env *Env, in Input) (Outcome, []Change) {
	f := fold{cp: cp, env: env, rec: &in.Record}
	f.out.Hash = wire.Hash(in.Raw)
	f.noteFirstContact()
	f.out.Verdict = f.classify()
	if f.out.Verdict == Applied {
		f.applyRecord()
	}
	return f.out, f.emit()
}

// fold is one step: the record, what was understood of it, and the rows it
// touched. Changes are collected at the end, so each row appears once.
type fold struct {
	cp  *CP
	env *Env
	rec *wire.Record
	out Outcome

	decoded         bool
	pointChanged    bool
	journals        []*Journal
	connectors      []*Connector
	meters          []touchedMeter
	brokenRegisters []charge.ConnectorID // whose registers in cp_registered do not go on from those before
	sessions        []*Session
	gaps            []*Gap
	settled         *Ticket  // of the session that the record belongs to, if an operator settled it
	deletions       []Change // boots forgotten: before the rows of those that come
	inserts         []Change // tickets and alarms
}

type touchedMeter struct {
	meter             *Meter
	unaccountedBefore charge.WattHours // unaccounted before this step
}

// noteFirstContact writes down a charging point that is heard for the first time.
func (f *fold) noteFirstContact() {
	if f.cp.FirstSeenAt != 0 {
		return
	}
	f.cp.FirstSeenAt = max(f.env.Now, 1)
	f.cp.Admitted = f.cp.Admitted || f.env.AdmitNew
	f.pointChanged = true
}

// payload decodes the record's data once. It is nil when the type is not known
// or the data cannot be used.
func (f *fold) payload() wire.Payload {
	if f.decoded {
		return f.out.Payload
	}
	f.decoded = true
	p, err := f.rec.Payload()
	if err != nil {
		f.out.Unusable = err
		return nil
	}
	f.out.Payload = p
	return p
}

// applyRecord applies a record that was found to be next, or to fill a hole.
func (f *fold) applyRecord() {
	p := f.payload()
	if f.out.Unusable != nil {
		f.reportUnusable(f.out.Unusable.Error())
	}
	if j := f.findJournal(f.rec.Journal); f.out.Late && f.rec.Seq == 1 && j.After.Seq == 0 && !j.Root {
		f.linkJournal(j, 0) // what it follows was not known so far
		touch(&f.journals, j)
	}
	f.extendDuration(f.cp.Sessions[f.rec.SessionID])
	f.extendSettledDuration(p)
	if reg, ok := p.(*wire.Registered); ok {
		f.applyRegistered(reg)
	} else if p != nil {
		f.applyPayload(p)
	}
	boot := f.bootState()
	f.out.Current = boot != nil && f.rec.Journal == f.cp.CurrentJournal
	f.out.Late = f.out.Late || boot == nil
}

// bootState is the state that the record changes: that of the present boot or of the
// one that waits; nil for records of boots that are over and for late ones.
func (f *fold) bootState() map[charge.ConnectorID]*Connector {
	switch {
	case f.out.Late:
		return nil
	case f.rec.Journal == f.cp.CurrentJournal:
		return f.cp.Connectors
	case f.rec.Journal == f.cp.PendingJournal:
		return f.cp.PendingConnectors
	}
	return nil
}

// connector is the connector the record is about in the boot it changes; nil
// when it changes none, or is about the charging point as a whole. One that
// record 1 did not name is made: better shown than lost.
func (f *fold) connector(id charge.ConnectorID) *Connector {
	boot := f.bootState()
	if boot == nil || id < 1 {
		return nil
	}
	c := boot[id]
	if c == nil {
		c = &Connector{Journal: f.rec.Journal, ID: id, Available: true, IdleSince: f.env.Now}
		boot[id] = c
	}
	touch(&f.connectors, c)
	return c
}

func touch[T comparable](list *[]T, v T) {
	if !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

func (f *fold) raiseAlarm(kind AlarmKind, id string, connector charge.ConnectorID, detail string) {
	f.inserts = append(f.inserts, AlarmRaised{Alarm{
		ID: string(kind) + "." + string(f.cp.ID) + "." + id, Kind: kind, CPID: f.cp.ID, Connector: connector,
		At: f.env.Now, Detail: detail,
	}})
}

func (f *fold) clearAlarm(kind AlarmKind, id string, connector charge.ConnectorID) {
	f.raiseAlarm(kind, id, connector, "")
	f.inserts[len(f.inserts)-1] = asCleared(f.inserts[len(f.inserts)-1])
}

func asCleared(c Change) Change {
	if a, ok := c.(AlarmRaised); ok {
		a.Alarm.Cleared = true
		return a
	}
	return c
}

// reportUnusable notes that the record, or what it tells, cannot be used: it stays
// applied, is counted, and raises an alarm.
func (f *fold) reportUnusable(why string) {
	if f.out.Unusable == nil {
		f.out.Unusable = errors.New(why)
	}
	f.raiseAlarm(AlarmUnusable, string(f.rec.Journal)+"."+string(f.rec.Type), f.rec.Connector, why)
}

// emit returns the touched rows as copies.
func (f *fold) emit() []Change {
	defer f.evictJournals() // once their rows are copied
	n := len(f.deletions) + len(f.journals) + len(f.connectors) + len(f.meters) + len(f.sessions) + len(f.gaps) + len(f.inserts) + 1
	if n == 1 && !f.pointChanged {
		return nil
	}
	f.raiseMeterAlarms()
	out := make([]Change, 0, n+len(f.meters))
	out = append(out, f.deletions...)
	if f.pointChanged {
		p := f.cp.Point
		p.Faults = slices.Clone(p.Faults)
		out = append(out, PointChanged{p})
	}
	for _, j := range f.journals {
		row := *j
		row.Reported = slices.Clone(j.Reported)
		out = append(out, JournalChanged{f.cp.ID, row})
	}
	for _, c := range f.connectors {
		row := *c
		row.Faults = slices.Clone(c.Faults)
		out = append(out, ConnectorChanged{f.cp.ID, row})
	}
	for _, t := range f.meters {
		out = append(out, MeterChanged{f.cp.ID, *t.meter})
	}
	for _, s := range f.sessions {
		row := *s
		row.Spans = slices.Clone(s.Spans)
		out = append(out, SessionChanged{row})
	}
	for _, h := range f.gaps {
		row := *h
		row.Missing, row.Unmeasured = slices.Clone(h.Missing), slices.Clone(h.Unmeasured)
		out = append(out, GapChanged{row})
	}
	return append(out, f.inserts...)
}
