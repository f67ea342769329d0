package connector

import (
	"cmp"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// booted restores the connector. The plug is read from the hardware, never
// from the journal; the register too, if the meter answers.
func (t *transition) booted(e Booted) {
	if t.s.Phase != PhaseNew {
		return
	}
	v := e.Saved
	s := State{
		ID: e.ID, Policy: e.Policy, Phase: PhaseBooted, Pilot: e.Pilot, Plugged: e.Pilot.Plugged(),
		Unavailable: v.Unavailable, Faults: t.s.Faults,
	}
	s.Finishing = v.Finishing && s.Plugged
	s.Meter = Meter{Last: e.Reading, Known: e.HasReading}
	if !e.HasReading {
		s.Meter.Last.Import = max(v.Register, v.Session.StartRegister)
	}
	if v.Session.ID != "" {
		s.Session = Session{
			ID: v.Session.ID, Username: v.Session.Username, Reservation: v.Session.Reservation, Tariff: v.Session.Tariff,
			StartRegister: v.Session.StartRegister, Granted: true, Started: v.Session.Started,
			SampledRegister: s.Meter.Last.Import, SampledAt: e.At, Ending: Ending{Reason: v.Session.Ending},
		}
		if s.Session.Started {
			s.Session.Flow = FlowSuspended
		}
		if why := t.meterMismatch(e); why != "" {
			s.Session.OtherMeter, s.Session.LastRegister = why, v.Register
		}
	}
	if v.Reservation.ID != "" {
		s.Reservation = t.restoreReservation(v.Reservation)
	}
	s.Reported = Status(s)
	t.s = s
}

// meterMismatch says why the reading at the boot cannot go on from the register that
// was written down last: the meter was replaced, or this storage came from
// another box. "": it can, or nobody knows how long the agent was away.
func (t *transition) meterMismatch(e Booted) string {
	gain, away := e.Reading.Import-e.Saved.Register, e.Wall.Sub(e.Saved.RegisterAt)
	switch {
	case !e.HasReading:
	case gain < 0:
		return fmt.Sprintf("%d Wh after %d Wh before the start", e.Reading.Import, e.Saved.Register)
	case e.Saved.RegisterAt == 0 || e.Clock == charge.ClockUnset || e.Clock == "" || e.Policy.Rated <= 0:
	case gain > meterTolerance+2*maxEnergy(e.Policy.Rated, away):
		return fmt.Sprintf("%d Wh after %d Wh before the start, %s ago", e.Reading.Import, e.Saved.Register, away.Round(time.Second))
	}
	return ""
}

// restoreReservation is a reservation of an earlier boot: it lasts as long as both clocks
// let it, or a little if there is no clock to ask.
func (t *transition) restoreReservation(v SavedReservation) Reservation {
	r := Reservation{ID: v.ID, Username: v.Username, Until: v.Until, Tariff: v.Tariff, NoClock: true}
	r.left = t.now.At + time.Duration(v.LeftMS)*time.Millisecond
	r.EndsAt = min(r.left, t.now.At+ClockWithin)
	t.learnClock(&r)
	return r
}

// learnClock judges a reservation found at boot by the wall clock as soon as
// there is one.
func (t *transition) learnClock(r *Reservation) {
	if r.NoClock && t.now.Clock != charge.ClockUnset && t.now.Clock != "" {
		r.NoClock = false
		r.EndsAt = min(r.left, t.now.At+r.Until.Sub(t.now.Wall))
		r.EndsAt = max(r.EndsAt, 1) // over, but never "none"
	}
}

// registered decides what becomes of what an earlier boot left.
func (t *transition) registered(e Registered) {
	if t.s.Phase != PhaseBooted {
		return
	}
	s := &t.s
	s.Phase = PhaseRunning
	for _, f := range s.Faults.List() {
		s.Faults = s.Faults.Without(f)
		t.raiseFault(f, "found at the start")
	}
	for _, u := range e.Unfinished {
		r, reason := wire.ResultDone, ""
		if u.Type == wire.CommandStart && u.Session != s.Session.ID || u.Type == wire.CommandSimulate {
			r, reason = wire.ResultFailed, "reboot"
		}
		t.record("", &wire.CommandFinished{CommandID: u.ID, Command: u.Type, Result: r, Reason: reason})
	}
	t.resumeOrEnd()
	t.endOverdue()
}

// resumeOrEnd ends a session of an earlier boot, unless the policy wants it to go on
// and nothing had begun to end it.
func (t *transition) resumeOrEnd() {
	s := &t.s
	x := &s.Session
	resumes := s.Policy.Resume && s.Plugged && s.Faults.Empty() && !s.Unavailable && x.Ending.Reason == "" && x.OtherMeter == ""
	if x.ID == "" || resumes {
		return
	}
	why := cmp.Or(x.Ending.Reason, charge.StopPowerLoss)
	x.Ending = Ending{}
	if x.OtherMeter != "" { // what this meter says is not of this session
		t.record(x.ID, &wire.AnomalySeen{Anomaly: "meter_changed", Detail: x.OtherMeter})
		x.Ending.Reason = why
		t.closeSession(x.LastRegister)
		return
	}
	if s.Meter.Known {
		x.Ending.Reason = why
		t.closeSession(s.Meter.Last.Import)
		return
	}
	t.beginEnding(why)
	x.Ending.ReadBy = t.now.At + BootReadWithin
}

// Describe is the connector as cp_registered tells it.
func Describe(s State) wire.ConnectorState {
	c := wire.ConnectorState{
		Connector: s.ID, Status: Status(s), SessionID: s.Session.ID, Plugged: s.Plugged, Available: !s.Unavailable, Rated: s.Policy.Rated,
	}
	if s.Meter.Known {
		c.Register = new(s.Meter.Last.Import)
	}
	return c
}

// HeldReservation is the reservation as cp_registered tells it; false: there is none.
func HeldReservation(s State) (wire.ReservationState, bool) {
	r := s.Reservation
	return wire.ReservationState{
		ReservationID: r.ID, Connector: s.ID, Username: r.Username, Until: r.Until, Tariff: r.Tariff,
	}, r.ID != ""
}
