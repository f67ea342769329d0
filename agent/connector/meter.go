package connector

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// meterTolerance is how much a register may gain beyond what the rated power
// explains: coarse steps of the register, and readings that were slow.
const meterTolerance charge.WattHours = 1000

// meterRead applies a reading, or a failure to read. An implausible reading is
// recorded once as an anomaly and counts as a failure, until enough of them in a
// row agree with each other (see meterChanged).
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
	case x.Ending.Reason == "" && x.limitReached(e.Reading.Import):
		t.beginEnding(charge.StopLimitReached)
	case x.Flow == FlowOn:
		t.sampleMeter()
	}
}

// isFinal reports whether a reading that began at begun may close the session:
// no power flowed any more. The contactor was measured open before, or, if it
// never closed, has had the time to move.
func (d *Ending) isFinal(begun time.Duration, closed bool) bool {
	switch {
	case d.Reason == "" || closed:
		return false
	case d.Opened:
		return begun >= d.OpenedAt
	}
	return begun >= d.BegunAt+moveWithin // it never closed
}

// meterChanged reports whether the rejected readings are now the meter's: it was
// replaced, it showed wrong values for a while, or its register overflowed. It
// takes consistentReadings in a row. Nothing is billed across such a change: an
// open session must end first, at its last good reading.
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

// implausible is why a reading cannot follow the last good one, as the word and
// detail of an anomaly; empty if it can. The register then stays as it was.
func (t *transition) implausible(r Reading) (word, detail string) {
	if !t.s.Meter.Known {
		return "", ""
	}
	return t.implausibleAfter(t.s.Meter.Last, r)
}

// implausibleAfter is why one reading cannot follow another: the register went
// back, or gained more than twice what the rated power allows.
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

// maxEnergy is the energy of a power over a time, in whole watt-hours. The time counts
// up to ten years, so that the product cannot overflow.
func maxEnergy(p charge.Watts, d time.Duration) charge.WattHours {
	const longest = 10 * 365 * 24 * time.Hour
	return charge.WattHours(int64(p) * int64(min(max(d, 0), longest)/time.Millisecond) / int64(time.Hour/time.Millisecond))
}

// meterFailed counts a failed reading; meterFailures in a row are a fault.
func (t *transition) meterFailed(why string) {
	t.s.Meter.Failures++
	if t.s.Meter.Failures == meterFailures {
		t.raiseFault(charge.FaultMeter, why)
	}
}

// sampleMeter records meter_read when the policy's energy or time has passed
// since the last sample. With full storage there are no samples.
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

// raiseFault makes a fault hold: it ends reservation, pending start and session.
// The contactor opens each time, also when the fault holds already.
func (t *transition) raiseFault(f charge.Fault, detail string) {
	t.openNow = true
	s := &t.s
	if s.Faults.Has(f) {
		return
	}
	s.Faults = s.Faults.With(f)
	if s.Phase < PhaseRunning {
		return // registered records it
	}
	t.record(s.Session.ID, &wire.FaultRaised{Fault: f, Detail: detail})
	t.endReservation(charge.ReservationFault)
	t.endStart("faulted")
	t.beginEnding(f.StopReason())
}

// clearFault ends a fault, if it held.
func (t *transition) clearFault(f charge.Fault) {
	if !t.s.Faults.Has(f) {
		return
	}
	t.s.Faults = t.s.Faults.Without(f)
	t.record(t.s.Session.ID, &wire.FaultCleared{Fault: f})
}
