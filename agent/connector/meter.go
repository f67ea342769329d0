package connector

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// meterTolerance is what a meter may gain beyond what the rated power explains: steps
// of its register, and readings that took their time.
const meterTolerance charge.WattHours = 1000

// meterRead takes a reading, or its absence.
func (t *transition) meterRead(e MeterRead) {
	m := &t.s.Meter
	if e.Failed {
		t.meterFailed("the meter does not answer")
		return
	}
	if word, detail := t.implausible(e.Reading); word != "" {
		if !m.Rejected {
			t.record(t.s.Session.ID, &wire.AnomalySeen{Anomaly: word, Detail: detail})
		}
		m.Rejected = true
		if !t.meterChanged(e.Reading) {
			t.meterFailed(detail)
			return
		}
	}
	*m = Meter{Last: e.Reading, Known: true}
	t.clearFault(charge.FaultMeter)
	s := &t.s
	switch x := &s.Session; {
	case s.Pending.ReadBy > 0 && e.Reading.BegunAt >= s.Pending.AskedAt:
		t.authorize(e.Reading.Import)
	case x.Ending.isFinal(e.Reading.BegunAt, s.Closed):
		t.closeSession(e.Reading.Import)
	case x.Flow == FlowOn:
		t.sampleMeter()
	}
}

// isFinal reports whether a reading that began then is the last of the session:
// nothing flows any more.
func (d *Ending) isFinal(taken time.Duration, closed bool) bool {
	switch {
	case d.Reason == "" || closed:
		return false
	case d.Opened:
		return taken >= d.OpenedAt
	}
	return taken >= d.BegunAt+moveWithin // it never closed
}

// meterChanged reports whether readings that were not believed are those of the meter
// there is now: one that was replaced, that showed something else for a while, or
// whose register began anew at its end. Nothing is billed across it: a session
// ends first, at its last good reading.
func (t *transition) meterChanged(r Reading) bool {
	m := &t.s.Meter
	if word, _ := t.implausibleAfter(m.LastRejected, r); m.Consistent == 0 || word != "" {
		m.Consistent = 0
	}
	m.LastRejected = r
	m.Consistent++
	if m.Consistent < consistentReadings || t.s.Session.ID != "" {
		return false
	}
	t.record("", &wire.AnomalySeen{
		Anomaly: "meter_changed", Detail: fmt.Sprintf("%d Wh after %d Wh, and %d readings go on from there", r.Import, m.Last.Import, m.Consistent),
	})
	return true
}

// implausible says why a reading cannot be true; the register then stays as it was.
func (t *transition) implausible(r Reading) (word, detail string) {
	if !t.s.Meter.Known {
		return "", ""
	}
	return t.implausibleAfter(t.s.Meter.Last, r)
}

// implausibleAfter says why one reading cannot follow another.
func (t *transition) implausibleAfter(last, r Reading) (word, detail string) {
	gain := r.Import - last.Import
	switch elapsed := r.BegunAt - last.BegunAt; {
	case gain < 0:
		return "meter_went_back", fmt.Sprintf("%d Wh after %d Wh", r.Import, last.Import)
	case t.s.Policy.Rated > 0 && gain > meterTolerance+2*maxEnergy(t.s.Policy.Rated, elapsed):
		return "meter_jumped", fmt.Sprintf("%d Wh after %d Wh in %s", r.Import, last.Import, elapsed.Round(time.Millisecond))
	}
	return "", ""
}

// maxEnergy is the energy of a power over a time.
func maxEnergy(p charge.Watts, d time.Duration) charge.WattHours {
	return charge.WattHours(int64(p) * max(int64(d/time.Millisecond), 0) / int64(time.Hour/time.Millisecond))
}

// meterFailed counts towards a fault, and asks again where something waits.
func (t *transition) meterFailed(why string) {
	t.s.Meter.Failures++
	if t.s.Meter.Failures == meterFailures {
		t.raiseFault(charge.FaultMeter, why)
	}
}

// sampleMeter writes the register down, every so much energy or time.
func (t *transition) sampleMeter() {
	s, x := &t.s, &t.s.Session
	r := s.Meter.Last
	byEnergy := s.Policy.SampleEnergy > 0 && r.Import-x.SampledRegister >= s.Policy.SampleEnergy
	byTime := s.Policy.SampleInterval > 0 && t.now.At-x.SampledAt >= s.Policy.SampleInterval
	if s.StorageFull || !byEnergy && !byTime {
		return
	}
	x.SampledRegister, x.SampledAt = r.Import, t.now.At
	t.record(x.ID, &wire.MeterRead{Register: r.Import, Power: r.Power, Current: r.Current, Voltage: r.Voltage})
}

// raiseFault makes a fault hold. Opening comes first, said again or not.
func (t *transition) raiseFault(f charge.Fault, detail string) {
	t.openNow = true
	s := &t.s
	if s.Faults.Has(f) {
		return
	}
	s.Faults = s.Faults.With(f)
	if s.Phase < PhaseRunning {
		return // registered tells it
	}
	t.record(s.Session.ID, &wire.FaultRaised{Fault: f, Detail: detail})
	t.endReservation(charge.ReservationFault)
	t.endStart("faulted")
	t.beginEnding(f.StopReason())
}

// clearFault says that a fault is over, if it held.
func (t *transition) clearFault(f charge.Fault) {
	if !t.s.Faults.Has(f) {
		return
	}
	t.s.Faults = t.s.Faults.Without(f)
	t.record(t.s.Session.ID, &wire.FaultCleared{Fault: f})
}
