package connector

import (
	"encoding/json"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// begin makes a start under way: at once if a vehicle is plugged in, else it
// waits for one.
func (t *turn) begin(p Start) {
	t.s.Start = p
	if t.s.Plugged {
		t.ask()
		return
	}
	t.acceptStart()
	if p.Reservation == "" {
		t.s.Start.Ends = t.now.At + PlugWithin
	}
}

// ask asks the meter for the register from which the session is accounted.
func (t *turn) ask() {
	p := &t.s.Start
	p.Since, p.ReadBy, p.Ends = t.now.At, t.now.At+ReadWithin, 0
	t.read = true
}

// acceptStart writes the acceptance of the order, once.
func (t *turn) acceptStart() {
	if p := &t.s.Start; p.Raw != "" {
		t.record("", &wire.CommandAccepted{Command: json.RawMessage(p.Raw)})
		p.Raw = ""
	}
}

// endStart ends a start that has not become a session, if there is one. An
// order not yet accepted is rejected.
func (t *turn) endStart(reason string) {
	p := t.s.Start
	if p.Session == "" {
		return
	}
	t.s.Start = Start{}
	if p.Command == "" {
		return
	}
	r := wire.ResultFailed
	if p.Raw != "" {
		r = wire.ResultRejected
	}
	t.record("", &wire.CommandFinished{CommandID: p.Command, Command: wire.CommandStart, Result: r, Reason: reason})
}

// authorize opens the session with the register just read.
func (t *turn) authorize(register charge.WattHours) {
	p := t.s.Start
	t.acceptStart()
	t.s.Start = Start{}
	by := wire.GrantOrder
	switch {
	case p.Reservation != "":
		by = wire.GrantReservation
	case p.Command == "":
		by = wire.GrantFreeVend
	}
	if p.Reservation != "" {
		if p.Tariff == "" {
			p.Tariff = t.s.Reservation.Tariff
		}
		t.s.Reservation = Reservation{} // used up by this session
	}
	t.s.Finishing = false
	t.s.Session = Session{
		ID: p.Session, Username: p.Username, Reservation: p.Reservation, Tariff: p.Tariff, Start: register,
		Sampled: register, SampledAt: t.now.At,
	}
	t.record(p.Session, &wire.Authorized{
		By: by, Username: p.Username, ReservationID: p.Reservation, CommandID: p.Command, Register: register, Tariff: p.Tariff,
	})
	if p.Command != "" {
		t.record("", &wire.CommandFinished{CommandID: p.Command, Command: wire.CommandStart, Result: wire.ResultDone})
	}
}

// pilot takes a new state of the pilot. E, F and nothing say nothing about the
// plug.
func (t *turn) pilot(e PilotChanged) {
	was := t.s.Plugged
	t.s.Pilot = e.Pilot
	switch {
	case e.Pilot == charge.PilotA:
		t.s.Plugged = false
	case e.Pilot.Plugged():
		t.s.Plugged = true
	}
	switch {
	case was && !t.s.Plugged:
		t.unplugged()
	case !was && t.s.Plugged:
		t.plugged(e.Fresh)
	}
}

func (t *turn) plugged(fresh charge.SessionID) {
	t.record(t.s.Session.ID, &wire.PluggedIn{})
	s := &t.s
	switch {
	case s.Life != LifeRunning:
	case s.Start.Session != "":
		t.ask()
	case fresh == "" || t.barred(false) != "":
	case s.Reservation.ID != "" && s.Policy.ReservedPlugStarts:
		r := s.Reservation
		t.begin(Start{Session: fresh, Username: r.Username, Reservation: r.ID, Tariff: r.Tariff})
	case s.Reservation.ID == "" && s.Policy.FreeVend:
		t.begin(Start{Session: fresh})
	}
}

// unplugged ends the session. A start that was asking the meter waits for the
// plug again, if an order stands behind it.
func (t *turn) unplugged() {
	s := &t.s
	t.record(s.Session.ID, &wire.Unplugged{})
	s.Finishing = false
	t.endSession(charge.StopUnplugged)
	if p := s.Start; p.Session == "" {
		return
	} else if p.Command == "" {
		s.Start = Start{}
		return
	}
	s.Start.ReadBy = 0
	t.acceptStart()
	if s.Start.Reservation == "" {
		s.Start.Ends = t.now.At + PlugWithin
	}
}

// contact takes a new measured state of the contactor.
func (t *turn) contact(closed bool) {
	t.s.Closed = closed
	x := &t.s.Session
	switch {
	case x.ID == "":
	case x.Ending.Reason != "":
		if !closed && !x.Ending.Opened {
			t.opened()
		}
	case closed && t.s.Commanded && x.Flow != FlowOn:
		t.flows()
	case !closed && x.Flow == FlowOn:
		t.suspend()
	}
}

// flows says that power flows, for the first time or again.
func (t *turn) flows() {
	x := &t.s.Session
	x.Flow = FlowOn
	register := max(t.s.Meter.Last.Import, x.Start)
	if x.Started {
		t.record(x.ID, &wire.Resumed{Register: register})
		return
	}
	x.Started = true
	t.record(x.ID, &wire.ChargingStarted{Register: register, ReservationID: x.Reservation, Username: x.Username})
}

// suspend says that power stops for now, and who wants it so.
func (t *turn) suspend() {
	s := &t.s
	x := &s.Session
	x.Flow, x.ByEV = FlowSuspended, s.Pilot == charge.PilotB
	p := &wire.Suspended{By: "evse", Register: max(s.Meter.Last.Import, x.Start)}
	switch {
	case x.ByEV:
		p.By = "ev"
	case s.Life == LifeStopping:
		p.Reason = "shutdown"
	case s.Hold != "":
		p.Reason = s.Hold
	case s.Pilot == charge.PilotD:
		p.Reason = "no_ventilation"
	default:
		p.Reason = "contactor_open"
	}
	t.record(x.ID, p)
}

// endSession begins to end the open session, if there is one: the contactor
// opens now, the account is closed with a register read after it.
func (t *turn) endSession(why charge.StopReason) {
	x := &t.s.Session
	if x.ID == "" || x.Ending.Reason != "" {
		return
	}
	x.Ending.Reason, x.Ending.Since, x.Ending.By = why, t.now.At, t.now.At+ReadWithin
	if !t.s.Closed && !t.s.Commanded {
		t.opened()
	}
}

// opened asks for the last register of a session that ends.
func (t *turn) opened() {
	d := &t.s.Session.Ending
	d.Opened, d.OpenedAt = true, t.now.At
	t.read = true
}

// stopped closes the session's account.
func (t *turn) stopped(register charge.WattHours) {
	x := t.s.Session
	t.s.Session = Session{}
	t.s.Finishing = t.s.Plugged
	t.record(x.ID, &wire.ChargingStopped{
		Reason: x.Ending.Reason, Start: x.Start, Register: max(register, x.Start), OtherMeter: x.Torn != "",
		Username: x.Username, ReservationID: x.Reservation, Tariff: x.Tariff,
	})
	if x.Ending.Command != "" {
		t.record("", &wire.CommandFinished{CommandID: x.Ending.Command, Command: wire.CommandStop, Result: wire.ResultDone})
	}
}

// shutdown takes no more work. A session goes on after the restart or ends
// here, by policy.
func (t *turn) shutdown() {
	if t.s.Life != LifeRunning {
		return
	}
	t.endStart("reboot")
	t.s.Life = LifeStopping
	if !t.s.Policy.Resume {
		t.endSession(charge.StopReboot)
	}
}
