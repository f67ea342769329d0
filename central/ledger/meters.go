package ledger

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// changeMeter returns the account of a connector for a change, and creates it if
// needed.
func (f *fold) changeMeter(id charge.ConnectorID) *Meter {
	m := f.cp.Meters[id]
	if m == nil {
		m = &Meter{Connector: id}
		f.cp.Meters[id] = m
	}
	for _, t := range f.meters {
		if t.meter == m {
			return m
		}
	}
	f.meters = append(f.meters, touchedMeter{m, m.Unaccounted()})
	return m
}

// meterSlack is added to the most energy that can flow between two readings, for
// coarse registers and for readings that take time: see maxEnergy.
const meterSlack charge.WattHours = 1000

// unknownRated is the power of a connector that reports none: 64 A on three
// phases of 230 V.
const unknownRated charge.Watts = 3 * 64 * 230

// unknownTime is used for the time between two readings when the clocks of the
// charging point do not give it.
const unknownTime = 24 * time.Hour

// maxEnergy returns the most energy that can flow at a rated power in a time: a
// tenth more than power × time (the voltage of the grid may be that much higher),
// plus meterSlack. Both arguments are bounded, so that the product cannot overflow.
func maxEnergy(rated charge.Watts, elapsed time.Duration) charge.WattHours {
	const maxRated, maxElapsed, perHour = 10_000_000, 10 * 365 * 24 * time.Hour, int64(time.Hour / time.Millisecond)
	if rated <= 0 {
		rated = unknownRated
	}
	e := int64(min(rated, maxRated)) * int64(min(max(elapsed, 0), maxElapsed)/time.Millisecond) / perHour
	return charge.WattHours(e+e/10) + meterSlack
}

// elapsedBetween returns the time from one reading to a later one: by uptime within
// a boot, else by the wall clock, else unknownTime. Readings in the wrong order by
// the wall clock count as unknown.
func elapsedBetween(earlier, later ReadAt) time.Duration {
	switch d := later.At.Sub(earlier.At); {
	case earlier.Journal != "" && earlier.Journal == later.Journal:
		return charge.Milliseconds(later.UptimeMS - earlier.UptimeMS)
	case earlier.At != 0 && later.At != 0 && d >= 0:
		return max(d, d+clockError) // a sum that overflows is d alone
	}
	return unknownTime
}

// clockError is how much a wall clock that is set may jump at a restart.
const clockError = time.Minute

// readAt returns when the record's reading was taken: when the record was written.
func (f *fold) readAt() ReadAt {
	r := ReadAt{Journal: f.rec.Journal, UptimeMS: f.rec.UptimeMS}
	if f.rec.Clock == charge.ClockSet || f.rec.Clock == charge.ClockSynced {
		r.At = f.rec.At
	}
	return r
}

// applyRegister applies a register that the record reports. Within a boot, and
// from one boot to the next, a lower register than before means that the meter was
// replaced, was set back, or rolled over. (Late records come in any order, so a
// lower register between First and Last proves nothing there.)
//
// It reports whether the register continues the known ones.
func (f *fold) applyRegister(id charge.ConnectorID, reg charge.WattHours) (continues bool) {
	if id < 1 {
		return false
	}
	m := f.changeMeter(id)
	if !f.late && m.Boot == f.rec.Journal && reg < m.Register {
		f.registerFell(id, m.Register, reg)
	} else {
		continues = f.extendMeter(id, reg, f.readAt(), false)
	}
	switch {
	case f.late:
	case continues:
		f.measureGaps(id, reg)
	default:
		f.measureGaps(id, 0) // the register does not show what flowed in them
	}
	if !f.late {
		m.Register, m.Boot = reg, f.rec.Journal
	}
	if c := f.bootState()[id]; c != nil {
		c.Register = reg
		touch(&f.connectors, c)
	}
	return continues
}

// extendMeter extends the span of a meter to a register that was read at a moment.
// other marks a register of another meter than the current one, as a stop after a
// replacement reports it. Once the meter was replaced, such a register and those
// of late records belong to the meter before, and are ignored.
func (f *fold) extendMeter(id charge.ConnectorID, reg charge.WattHours, at ReadAt, other bool) (continues bool) {
	m := f.changeMeter(id)
	late := other || f.late
	switch {
	case !m.Known:
		m.Known = true
		m.startSpan(reg, at)
	case m.Previous.Known && late:
	case reg > m.Last:
		if reg-m.Last > maxEnergy(m.Rated, elapsedBetween(m.LastRead, at)) {
			if session, ok := f.sessionCovering(id, m.Last, reg); ok {
				f.raiseAlarm(AlarmMeterJumped, fmt.Sprint(id), id, reason.Reason{
					Code: reason.RegisterJumpedIn, From: int64(m.Last), To: int64(reg), Session: string(session),
				})
			} else {
				f.registerJumped(m, m.Last, reg, at, late)
				return false
			}
		}
		m.Last, m.LastRead = reg, at
	case reg < m.First:
		later := at.At != 0 && m.FirstAt != 0 && at.At >= m.FirstAt // so the register fell
		switch most := maxEnergy(m.Rated, elapsedBetween(at, ReadAt{At: m.FirstAt})); {
		case !late && (later || m.First-reg > most):
			f.registerFell(id, m.Last, reg)
			return false
		case m.First-reg > most:
			f.registerJumped(m, reg, m.First, at, true)
			return false
		}
		m.First, m.FirstAt = reg, at.At
	default:
		m.reread(reg, at, late)
	}
	return true
}

// sessionCovering returns the session that bills a step of the register: an
// open one, or the record's own one if its settlement bills the step. The charging
// point bills it, so the meter must have counted it. That a settled session counts
// as an open one makes the result independent of when the settlement is applied.
func (f *fold) sessionCovering(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
	for _, s := range f.cp.Sessions {
		if s.Connector == id && s.State == SessionOpen && s.StartKnown && s.Start <= from && s.Register >= to {
			return s.ID, true
		}
	}
	if t := f.settled; t != nil && t.Connector == id && t.Start <= from && t.Stop >= to && t.Energy >= to-from {
		return t.SessionID, true
	}
	return "", false
}

// reread applies another reading of a register between First and Last. It keeps
// the earliest reading of First and the latest of Last, because the time in which
// a higher register can be reached begins there.
func (m *Meter) reread(reg charge.WattHours, at ReadAt, late bool) {
	if reg == m.First && at.At != 0 && (m.FirstAt == 0 || at.At < m.FirstAt) {
		m.FirstAt = at.At
	}
	later := !late
	if at.At != 0 && m.LastRead.At != 0 && at.Journal != m.LastRead.Journal {
		later = at.At > m.LastRead.At
	}
	if reg == m.Last && later {
		m.LastRead = at
	}
}

// startSpan begins a span of registers with one reading.
func (m *Meter) startSpan(reg charge.WattHours, at ReadAt) {
	m.First, m.Last, m.FirstAt, m.LastRead = reg, reg, at.At, at
}

// endSpan ends the span. Its energy stays counted, in Carried.
func (m *Meter) endSpan() {
	m.Carried += m.Last - m.First
	m.Previous = PreviousSpan{Known: true, Last: m.Last, LastRead: m.LastRead, Counted: m.Last - m.First}
}

// resumePreviousSpan continues the span before the latest one, if the register can
// be the next reading there, and reports whether it did. The meter then showed
// wrong values for a while, as one does that starts at 0 after a power cut.
func (f *fold) resumePreviousSpan(m *Meter, reg charge.WattHours, at ReadAt) bool {
	b := m.Previous
	if !b.Known || reg < b.Last || reg-b.Last > maxEnergy(m.Rated, elapsedBetween(b.LastRead, at)) {
		return false
	}
	// The energy that the wrong span counted is part of what the register gained in
	// the meantime, as far as that is enough; only the rest counts in addition.
	excess := max(0, m.Last-m.First-(reg-b.Last))
	carried := m.Carried - b.Counted + excess
	m.endSpan()
	m.Carried, m.Previous.Counted = carried, excess
	m.First, m.FirstAt, m.Last, m.LastRead = b.Last-b.Counted, 0, reg, at
	return true
}

// registerJumped handles a register that rose by more than can have flowed. The
// step is not energy: it raises an alarm and is not counted. A new span begins,
// unless the record is late: it cannot replace what later records reported.
func (f *fold) registerJumped(m *Meter, from, to charge.WattHours, at ReadAt, late bool) {
	why := reason.Reason{Code: reason.RegisterJumped, From: int64(from), To: int64(to)}
	previousLast := m.Previous.Last
	switch {
	case late:
	case f.resumePreviousSpan(m, to, at):
		why.Code, why.Energy = reason.RegisterReturned, int64(previousLast)
	default:
		m.endSpan()
		m.startSpan(to, at)
	}
	f.raiseAlarm(AlarmMeterJumped, fmt.Sprint(m.Connector), m.Connector, why)
}

// registerFell handles a register that is lower than before. from is the last
// register of this boot, or of the one before it. The register rolled over, or
// the previous span continues, or a new span begins.
func (f *fold) registerFell(id charge.ConnectorID, from, reg charge.WattHours) {
	m, at := f.changeMeter(id), f.readAt()
	why := reason.Reason{Code: reason.RegisterFell, From: int64(from), To: int64(reg)}
	previousLast := m.Previous.Last
	if end := f.rolloverAt(m, reg, at); end > 0 {
		why.Code, why.Energy = reason.RegisterRolled, int64(end)
		rest := end - m.Last
		m.endSpan()
		m.startSpan(reg, at)
		m.First = -rest // so that Last − First includes what flowed before the rollover
	} else if f.resumePreviousSpan(m, reg, at) {
		why.Code, why.Energy = reason.RegisterContinues, int64(previousLast)
	} else {
		m.endSpan()
		m.startSpan(reg, at)
	}
	f.raiseAlarm(AlarmMeterBack, fmt.Sprint(id), id, why)
}

// rolloverAt returns the value at which a register rolled over to 0: 2^32, or a
// power of ten for a display full of nines. It returns 0 if no such rollover fits
// the energy that can have flowed.
func (f *fold) rolloverAt(m *Meter, reg charge.WattHours, at ReadAt) charge.WattHours {
	const least, most, binary charge.WattHours = 1_000_000, 1_000_000_000_000, 1 << 32
	can := maxEnergy(m.Rated, elapsedBetween(m.LastRead, at))
	fits := func(end charge.WattHours) bool { return end > m.Last && end-m.Last+reg <= can }
	if fits(binary) {
		return binary
	}
	for end := least; end <= most; end *= 10 {
		if fits(end) {
			return end
		}
	}
	return 0
}

// updateRunning sets Meter.Running to the energy of the open sessions.
func (f *fold) updateRunning(id charge.ConnectorID) {
	var sum charge.WattHours
	for _, s := range f.cp.Sessions {
		if s.Connector == id && s.State == SessionOpen {
			sum += s.Energy()
		}
	}
	if m := f.cp.Meters[id]; m == nil && sum == 0 || m != nil && m.Running == sum {
		return
	}
	f.changeMeter(id).Running = sum
}

// raiseMeterAlarms raises or clears the alarms about energy that is on no ticket,
// or on two, for the meters whose unaccounted energy changed in this call.
func (f *fold) raiseMeterAlarms() {
	for _, t := range f.meters {
		u := t.meter.Unaccounted()
		if u == t.unaccountedBefore {
			continue
		}
		id := fmt.Sprint(t.meter.Connector)
		switch {
		case u > 0:
			f.raiseAlarm(AlarmUnaccounted, id, t.meter.Connector, reason.Reason{Code: reason.EnergyUnaccounted, Energy: int64(u)})
		case t.unaccountedBefore > 0:
			f.clearAlarm(AlarmUnaccounted, id, t.meter.Connector)
		}
		switch {
		case u < 0:
			f.raiseAlarm(AlarmOverlap, id, t.meter.Connector, reason.Reason{Code: reason.EnergyTwice, Energy: int64(-u)})
		case t.unaccountedBefore < 0:
			f.clearAlarm(AlarmOverlap, id, t.meter.Connector)
		}
	}
}
