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
	f.meet()
	f.out.Verdict = f.place()
	if f.out.Verdict == Applied {
		f.take()
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

	decoded    bool
	point      bool
	journals   []*Journal
	connectors []*Connector
	meters     []touchedMeter
	astray     []charge.ConnectorID // whose registers in cp_registered do not go on from those before
	sessions   []*Session
	holes      []*Hole
	settled    *Ticket  // of the session that the record belongs to, if an operator settled it
	first      []Change // boots forgotten: before the rows of those that come
	rest       []Change // tickets and alarms
}

type touchedMeter struct {
	m   *Meter
	was charge.WattHours // unaccounted before this step
}

// meet writes down a charging point that is heard for the first time.
func (f *fold) meet() {
	if f.cp.FirstHeard != 0 {
		return
	}
	f.cp.FirstHeard = max(f.env.Now, 1)
	f.cp.Admitted = f.cp.Admitted || f.env.Admit
	f.point = true
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

// take applies a record that was found to be next, or to fill a hole.
func (f *fold) take() {
	p := f.payload()
	if f.out.Unusable != nil {
		f.unusable(f.out.Unusable.Error())
	}
	if j := f.known(f.rec.Journal); f.out.Late && f.rec.Seq == 1 && j.After.Seq == 0 && !j.Root {
		f.link(j, 0) // what it follows was not known so far
		touch(&f.journals, j)
	}
	f.widen(f.cp.Sessions[f.rec.SessionID])
	f.widenSettled(p)
	if reg, ok := p.(*wire.Registered); ok {
		f.takeRegistered(reg)
	} else if p != nil {
		f.takePayload(p)
	}
	boot := f.boot()
	f.out.Present = boot != nil && f.rec.Journal == f.cp.Present
	f.out.Late = f.out.Late || boot == nil
}

// boot is the state that the record changes: that of the present boot or of the
// one that waits; nil for records of boots that are over and for late ones.
func (f *fold) boot() map[charge.ConnectorID]*Connector {
	switch {
	case f.out.Late:
		return nil
	case f.rec.Journal == f.cp.Present:
		return f.cp.Connectors
	case f.rec.Journal == f.cp.WaitingJournal:
		return f.cp.Waiting
	}
	return nil
}

// connector is the connector the record is about in the boot it changes; nil
// when it changes none, or is about the charging point as a whole. One that
// record 1 did not name is made: better shown than lost.
func (f *fold) connector(id charge.ConnectorID) *Connector {
	boot := f.boot()
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

func (f *fold) alarm(kind AlarmKind, id string, connector charge.ConnectorID, detail string) {
	f.rest = append(f.rest, AlarmRaised{Alarm{
		ID: string(kind) + "." + string(f.cp.ID) + "." + id, Kind: kind, CPID: f.cp.ID, Connector: connector,
		At: f.env.Now, Detail: detail,
	}})
}

func (f *fold) clear(kind AlarmKind, id string, connector charge.ConnectorID) {
	f.alarm(kind, id, connector, "")
	f.rest[len(f.rest)-1] = cleared(f.rest[len(f.rest)-1])
}

func cleared(c Change) Change {
	if a, ok := c.(AlarmRaised); ok {
		a.Alarm.Cleared = true
		return a
	}
	return c
}

// unusable notes that the record, or what it tells, cannot be used: it stays
// applied, is counted, and raises an alarm.
func (f *fold) unusable(why string) {
	if f.out.Unusable == nil {
		f.out.Unusable = errors.New(why)
	}
	f.alarm(AlarmUnusable, string(f.rec.Journal)+"."+string(f.rec.Type), f.rec.Connector, why)
}

// emit returns the touched rows as copies.
func (f *fold) emit() []Change {
	defer f.putAway() // once their rows are copied
	n := len(f.first) + len(f.journals) + len(f.connectors) + len(f.meters) + len(f.sessions) + len(f.holes) + len(f.rest) + 1
	if n == 1 && !f.point {
		return nil
	}
	f.watchMeters()
	out := make([]Change, 0, n+len(f.meters))
	out = append(out, f.first...)
	if f.point {
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
		out = append(out, MeterChanged{f.cp.ID, *t.m})
	}
	for _, s := range f.sessions {
		row := *s
		row.Spans = slices.Clone(s.Spans)
		out = append(out, SessionChanged{row})
	}
	for _, h := range f.holes {
		row := *h
		row.Missing, row.Waiting = slices.Clone(h.Missing), slices.Clone(h.Waiting)
		out = append(out, HoleChanged{row})
	}
	return append(out, f.rest...)
}
