package connector

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// slack is what a meter may gain beyond what the rated power explains: steps
// of its register, and readings that took their time.
const slack charge.WattHours = 1000

// meter takes a reading, or its absence.
func (t *turn) meter(e MeterRead) {
	m := &t.s.Meter
	if e.Failed {
		t.unreadable("the meter does not answer")
		return
	}
	if word, detail := t.doubt(e.Reading); word != "" {
		if !m.Refused {
			t.record(t.s.Session.ID, &wire.AnomalySeen{Anomaly: word, Detail: detail})
		}
		m.Refused = true
		if !t.changed(e.Reading) {
			t.unreadable(detail)
			return
		}
	}
	*m = Meter{Last: e.Reading, Known: true}
	t.clear(charge.FaultMeter)
	s := &t.s
	switch x := &s.Session; {
	case s.Start.ReadBy > 0 && e.Reading.Taken >= s.Start.Since:
		t.authorize(e.Reading.Import)
	case x.Ending.serves(e.Reading.Taken, s.Closed):
		t.stopped(e.Reading.Import)
	case x.Flow == FlowOn:
		t.sample()
	}
}

// serves reports whether a reading that began then is the last of the session:
// nothing flows any more.
func (d *Ending) serves(taken time.Duration, closed bool) bool {
	switch {
	case d.Reason == "" || closed:
		return false
	case d.Opened:
		return taken >= d.OpenedAt
	}
	return taken >= d.Since+settled // it never closed
}

// changed reports whether readings that were not believed are those of the meter
// there is now: one that was replaced, that showed something else for a while, or
// whose register began anew at its end. Nothing is billed across it: a session
// ends first, at its last good reading.
func (t *turn) changed(r Reading) bool {
	m := &t.s.Meter
	if word, _ := t.apart(m.Other, r); m.Agreed == 0 || word != "" {
		m.Agreed = 0
	}
	m.Other = r
	m.Agreed++
	if m.Agreed < meterAgrees || t.s.Session.ID != "" {
		return false
	}
	t.record("", &wire.AnomalySeen{
		Anomaly: "meter_changed", Detail: fmt.Sprintf("%d Wh after %d Wh, and %d readings go on from there", r.Import, m.Last.Import, m.Agreed),
	})
	return true
}

// doubt says why a reading cannot be true; the register then stays as it was.
func (t *turn) doubt(r Reading) (word, detail string) {
	if !t.s.Meter.Known {
		return "", ""
	}
	return t.apart(t.s.Meter.Last, r)
}

// apart says why one reading cannot follow another.
func (t *turn) apart(last, r Reading) (word, detail string) {
	gain := r.Import - last.Import
	switch elapsed := r.Taken - last.Taken; {
	case gain < 0:
		return "meter_went_back", fmt.Sprintf("%d Wh after %d Wh", r.Import, last.Import)
	case t.s.Policy.Rated > 0 && gain > slack+2*atMost(t.s.Policy.Rated, elapsed):
		return "meter_jumped", fmt.Sprintf("%d Wh after %d Wh in %s", r.Import, last.Import, elapsed.Round(time.Millisecond))
	}
	return "", ""
}

// atMost is the energy of a power over a time.
func atMost(p charge.Watts, d time.Duration) charge.WattHours {
	return charge.WattHours(int64(p) * max(int64(d/time.Millisecond), 0) / int64(time.Hour/time.Millisecond))
}

// unreadable counts towards a fault, and asks again where something waits.
func (t *turn) unreadable(why string) {
	t.s.Meter.Failures++
	if t.s.Meter.Failures == meterFailures {
		t.raise(charge.FaultMeter, why)
	}
}

// sample writes the register down, every so much energy or time.
func (t *turn) sample() {
	s, x := &t.s, &t.s.Session
	r := s.Meter.Last
	byEnergy := s.Policy.SampleEnergy > 0 && r.Import-x.Sampled >= s.Policy.SampleEnergy
	byTime := s.Policy.SampleInterval > 0 && t.now.At-x.SampledAt >= s.Policy.SampleInterval
	if s.StorageFull || !byEnergy && !byTime {
		return
	}
	x.Sampled, x.SampledAt = r.Import, t.now.At
	t.record(x.ID, &wire.MeterRead{Register: r.Import, Power: r.Power, Current: r.Current, Voltage: r.Voltage})
}

// raise makes a fault hold. Opening comes first, said again or not.
func (t *turn) raise(f charge.Fault, detail string) {
	t.open = true
	s := &t.s
	if s.Faults.Has(f) {
		return
	}
	s.Faults = s.Faults.With(f)
	if s.Life < LifeRunning {
		return // registered tells it
	}
	t.record(s.Session.ID, &wire.FaultRaised{Fault: f, Detail: detail})
	t.endReservation(charge.ReservationFault)
	t.endStart("faulted")
	t.endSession(f.StopReason())
}

// clear says that a fault is over, if it held.
func (t *turn) clear(f charge.Fault) {
	if !t.s.Faults.Has(f) {
		return
	}
	t.s.Faults = t.s.Faults.Without(f)
	t.record(t.s.Session.ID, &wire.FaultCleared{Fault: f})
}
