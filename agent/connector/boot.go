package connector

import (
	"cmp"
	"fmt"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// booted restores the connector. The plug comes from the hardware, never from
// the journal; so does the register, if the meter answers.
func (t *transition) booted(e Booted) {
	if t.s.Phase != PhaseNew {
		return
	}
	v := e.Saved
	s := State{
		ID: e.ID, Policy: e.Policy, Phase: PhaseBooted, Pilot: e.Pilot, Plugged: e.Pilot.Plugged(),
		Unavailable: v.Unavailable, Faults: t.s.Faults | v.LatchedFaults(),
	}
	s.Finishing = v.Finishing && s.Plugged
	s.Meter = Meter{Last: e.Reading, Known: e.HasReading}
	if !e.HasReading {
		s.Meter.Last.Import = max(v.Register, v.Session.StartRegister)
	}
	if v.Session.ID != "" {
		s.Session = Session{
			ID: v.Session.ID, Username: v.Session.Username, Reservation: v.Session.Reservation, Tariff: v.Session.Tariff,
			Card: v.Session.Card, StartRegister: v.Session.StartRegister, Granted: true, Started: v.Session.Started,
			SampledRegister: s.Meter.Last.Import, SampledAt: e.At, Ending: Ending{Reason: v.Session.Ending},
			Limit: charge.SessionLimit{Energy: v.Session.Limit, Amount: v.Session.LimitAmount},
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

// meterMismatch is why the reading at boot cannot continue from the last
// register recorded: the meter was replaced, or the storage is that of another
// charging point. It is empty when the reading fits, and when that cannot be
// decided because the time since the last record is not known.
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

// restoreReservation restores a reservation of an earlier boot. It ends when the
// first of its two clocks ends it: the monotonic time that was left, and the wall
// clock. Without a wall clock it ends after ClockWithin, unless one comes up.
func (t *transition) restoreReservation(v SavedReservation) Reservation {
	r := Reservation{ID: v.ID, Username: v.Username, Until: v.Until, Tariff: v.Tariff, NoClock: true}
	r.Left = t.now.At + min(charge.Milliseconds(v.LeftMS), ReserveAtMost)
	r.EndsAt = min(r.Left, t.now.At+ClockWithin)
	t.learnClock(&r)
	return r
}

// learnClock applies the wall clock to a reservation restored at boot as soon as
// there is one.
func (t *transition) learnClock(r *Reservation) {
	if r.NoClock && t.now.Clock != charge.ClockUnset && t.now.Clock != "" {
		r.NoClock = false
		r.EndsAt = min(r.Left, t.now.At+min(r.Until.Sub(t.now.Wall), ReserveAtMost))
		r.EndsAt = max(r.EndsAt, 1) // in the past; 0 would mean that it never ends
	}
}

// registered continues what an earlier boot left: its faults are raised, its
// unfinished commands finished, its session resumed or ended. A START or SIMULATE
// whose effect did not survive has failed; every other command has had its effect
// with its acceptance, and is done.
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
		if u.Session != "" && u.Session != s.Session.ID || u.Type == wire.CommandSimulate {
			r, reason = wire.ResultFailed, "reboot"
		}
		t.record("", &wire.CommandFinished{CommandID: u.ID, Command: u.Type, Result: r, Reason: reason})
	}
	t.resumeOrEnd()
	t.endOverdue()
}

// resumeOrEnd resumes a session of an earlier boot if the policy allows it and
// nothing had begun to end it. Otherwise it ends it: at once if the register is
// known, or when the meter answers, or after BootReadWithin.
func (t *transition) resumeOrEnd() {
	s := &t.s
	x := &s.Session
	if x.Ending.Reason == "" && x.OtherMeter == "" && x.limitReached(s.Meter.Last.Import) {
		x.Ending.Reason = charge.StopLimitReached
	}
	resumes := s.Policy.Resume && s.Plugged && s.Faults.Empty() && !s.Unavailable && x.Ending.Reason == "" && x.OtherMeter == ""
	if x.ID == "" || resumes {
		return
	}
	why := cmp.Or(x.Ending.Reason, charge.StopPowerLoss)
	x.Ending = Ending{}
	if x.OtherMeter != "" { // this meter's register is not of this session
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

// Describe is the connector as cp_registered reports it.
func Describe(s State) wire.ConnectorState {
	c := wire.ConnectorState{
		Connector: s.ID, Status: Status(s), SessionID: s.Session.ID, Plugged: s.Plugged, Available: !s.Unavailable, Rated: s.Policy.Rated,
	}
	if s.Meter.Known {
		c.Register = new(s.Meter.Last.Import)
	}
	return c
}

// HeldReservation is the reservation as cp_registered reports it; false if there
// is none.
func HeldReservation(s State) (wire.ReservationState, bool) {
	r := s.Reservation
	return wire.ReservationState{
		ReservationID: r.ID, Connector: s.ID, Username: r.Username, Until: r.Until, Tariff: r.Tariff,
	}, r.ID != ""
}
