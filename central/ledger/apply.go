package ledger

import (
	"errors"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// Apply folds one delivered record into cp and returns what changed, each row
// once. The record must be of this charging point. A duplicate returns no
// changes, except for the first message of a charging point.
func Apply(cp *CP, env *Env, in Input) (Outcome, []Change) {
	f := fold{cp: cp, env: env, rec: &in.Record, receivedAt: in.ReceivedAt}
	f.out.Hash = wire.Hash(in.Raw)
	f.noteFirstContact()
	f.out.Verdict = f.classify()
	if f.out.Verdict == Applied {
		f.applyRecord()
	}
	return f.out, f.emit()
}

// fold is the state of one call: its input, its outcome so far, and the rows it
// touched. emit copies the touched rows at the end, so that each appears once
// and in its final form.
type fold struct {
	cp  *CP
	env *Env
	rec *wire.Record
	out Outcome

	receivedAt charge.Time // of Input

	decoded         bool // payload was called
	late            bool // the accounts have newer records: see isLate
	pointChanged    bool
	journals        []*Journal
	connectors      []*Connector
	meters          []touchedMeter
	brokenRegisters []charge.ConnectorID // whose register in cp_registered does not continue the known ones
	sessions        []*Session
	gaps            []*Gap
	settled         *Ticket  // of the session that the record belongs to, if an operator settled it
	deletions       []Change // of connector rows: emitted first, before the rows of the new boot
	inserts         []Change // tickets and alarms: emitted last
}

type touchedMeter struct {
	meter             *Meter
	unaccountedBefore charge.WattHours // before this call
}

// noteFirstContact records when the charging point sent its first message, and
// admits it if the setting is so.
func (f *fold) noteFirstContact() {
	if f.cp.FirstSeenAt != 0 {
		return
	}
	f.cp.FirstSeenAt = set(f.env.Now)
	f.cp.Admitted = f.cp.Admitted || f.env.AdmitNew
	f.pointChanged = true
}

// set returns a moment for a field in which zero means "not set". Only a clock
// that stands at the Unix epoch makes the difference.
func set(t charge.Time) charge.Time { return max(t, 1) }

// payload decodes the record's data once. It returns nil when the type is not
// known or the data cannot be decoded; such a record is applied without effect, so
// that it does not block those after it.
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

// applyRecord applies the content of a record that classify accepted.
func (f *fold) applyRecord() {
	p := f.payload()
	f.late = f.isLate()
	if f.out.Unusable != nil {
		f.reportUnusable(wire.Why(f.out.Unusable))
	}
	if j := f.findJournal(f.rec.Journal); f.out.Late && f.rec.Seq == 1 && j.After.Seq == 0 && !j.Root {
		f.linkJournal(j, 0) // a gap covered record 1 so far
		touch(&f.journals, j)
	}
	f.learnTime()
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

// bootState returns the connectors that the record may change: those of the
// current or the pending boot; nil for late records, which describe a state that
// has been replaced since.
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

// connector returns a connector of bootState for a change; nil if there is no
// such state, or if id is 0, the charging point as a whole. A connector that
// record 1 did not name is created, so that its sessions are visible.
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

// touch notes that a row has to be emitted.
func touch[T comparable](list *[]T, v T) {
	if !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

// raiseAlarm raises an alarm. id names it among those of its kind and charging
// point; raising it again replaces its reason.
func (f *fold) raiseAlarm(kind AlarmKind, id string, connector charge.ConnectorID, why reason.Reason) {
	f.inserts = append(f.inserts, AlarmRaised{Alarm{
		ID: string(kind) + "." + string(f.cp.ID) + "." + id, Kind: kind, CPID: f.cp.ID, Connector: connector,
		At: f.env.Now, Detail: why.String(), Why: why,
	}})
}

// clearAlarm withdraws an alarm; it may never have been raised.
func (f *fold) clearAlarm(kind AlarmKind, id string, connector charge.ConnectorID) {
	f.raiseAlarm(kind, id, connector, reason.Reason{})
	f.inserts[len(f.inserts)-1] = asCleared(f.inserts[len(f.inserts)-1])
}

func asCleared(c Change) Change {
	if a, ok := c.(AlarmRaised); ok {
		a.Alarm.Cleared = true
		return a
	}
	return c
}

// reportUnusable notes that the record or a part of it cannot be used. The record
// stays applied, for its agent cannot change it any more; it is counted and
// raises an alarm.
func (f *fold) reportUnusable(cause reason.Reason) {
	if f.out.Unusable == nil {
		f.out.Unusable = errors.New(cause.String())
	}
	f.raiseAlarm(AlarmUnusable, string(f.rec.Journal)+"."+string(f.rec.Type), f.rec.Connector, reason.Reason{Code: reason.RecordUnusable}.Because(cause))
}

// emit returns the touched rows as copies. Each list of a row is cloned, because
// the next call changes the lists in place.
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
	for _, g := range f.gaps {
		row := *g
		row.Missing, row.Unmeasured = slices.Clone(g.Missing), slices.Clone(g.Unmeasured)
		out = append(out, GapChanged{row})
	}
	return append(out, f.inserts...)
}
