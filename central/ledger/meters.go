package ledger

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// meter returns the account of a connector to be changed.
func (f *fold) meter(id charge.ConnectorID) *Meter {
	m := f.cp.Meters[id]
	if m == nil {
		m = &Meter{Connector: id}
		f.cp.Meters[id] = m
	}
	for _, t := range f.meters {
		if t.m == m {
			return m
		}
	}
	f.meters = append(f.meters, touchedMeter{m, m.Unaccounted()})
	return m
}

// read takes a register as the record says it stood. Within a boot, and from one
// boot to the next, it cannot be lower than before: then the meter was replaced
// or set back, and what was counted so far is carried over. (Between branches of
// a storage that was rolled back, records come in any order, so nothing is
// concluded from them.)
func (f *fold) read(id charge.ConnectorID, reg charge.WattHours) {
	if id < 1 {
		return
	}
	c := f.boot()[id]
	if c != nil && reg < c.Register {
		m := f.meter(id)
		f.alarm(AlarmMeterBack, fmt.Sprintf("%s.%d", f.rec.Journal, f.rec.Seq), id,
			fmt.Sprintf("the register went from %d Wh back to %d Wh", c.Register, reg))
		m.Carried += m.Last - m.First
		m.First, m.Last = reg, reg
	}
	f.reach(id, reg, false)
	if f.boot() != nil {
		f.measureHoles(id, reg)
	}
	if c != nil {
		c.Register = reg
		touch(&f.connectors, c)
	}
}

// reach widens what is known of a meter to a register. Once the meter was set
// back, records that come late speak of the one before, and so does one that says
// that it speaks of another meter.
func (f *fold) reach(id charge.ConnectorID, reg charge.WattHours, other bool) {
	m := f.meter(id)
	switch {
	case !m.Known:
		m.Known, m.First, m.Last = true, reg, reg
	case m.Carried > 0 && (other || f.boot() == nil):
	default:
		m.First, m.Last = min(m.First, reg), max(m.Last, reg)
	}
}

// recount sums the energy of the sessions that are open at a connector.
func (f *fold) recount(id charge.ConnectorID) {
	var sum charge.WattHours
	for _, s := range f.cp.Sessions {
		if s.Connector == id && s.State == SessionOpen {
			sum += s.Energy()
		}
	}
	if m := f.cp.Meters[id]; m == nil && sum == 0 || m != nil && m.Running == sum {
		return
	}
	f.meter(id).Running = sum
}

// watchMeters raises an alarm where energy is on no ticket, or on two.
func (f *fold) watchMeters() {
	for _, t := range f.meters {
		u := t.m.Unaccounted()
		if u == t.was {
			continue
		}
		id := fmt.Sprint(t.m.Connector)
		switch {
		case u > 0:
			f.alarm(AlarmUnaccounted, id, t.m.Connector, fmt.Sprintf("%d Wh went through the meter outside of sessions", u))
		case t.was > 0:
			f.clear(AlarmUnaccounted, id, t.m.Connector)
		}
		switch {
		case u < 0:
			f.alarm(AlarmOverlap, id, t.m.Connector, fmt.Sprintf("tickets and sessions hold %d Wh more than went through the meter", -u))
		case t.was < 0:
			f.clear(AlarmOverlap, id, t.m.Connector)
		}
	}
}
