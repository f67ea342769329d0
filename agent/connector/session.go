package connector

import (
	"encoding/json"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// beginStart makes a start pending. With a vehicle plugged in the meter is read
// at once; otherwise the start is accepted and waits for the plug, as long as
// its reservation, or for PlugWithin.
func (t *transition) beginStart(p PendingStart) {
	t.s.Pending = p
	if t.s.Plugged {
		t.requestStartReading()
		return
	}
	t.acceptStart()
	if p.Reservation == "" {
		t.s.Pending.PlugBy = t.now.At + PlugWithin
	}
}

// requestStartReading asks for the register from which the session is accounted.
// Only a reading that begins after this counts, within ReadWithin.
func (t *transition) requestStartReading() {
	p := &t.s.Pending
	p.AskedAt, p.ReadBy, p.PlugBy = t.now.At, t.now.At+ReadWithin, 0
	t.readMeter = true
}

// acceptStart records the acceptance of the pending start's command, once.
func (t *transition) acceptStart() {
	if p := &t.s.Pending; p.Raw != "" {
		t.record("", &wire.CommandAccepted{Command: json.RawMessage(p.Raw)})
		p.Raw = ""
	}
}

// endStart ends the pending start, if there is one. Its command fails, or is
// rejected if it was not yet accepted.
func (t *transition) endStart(reason string) {
	p := t.s.Pending
	if p.Session == "" {
		return
	}
	t.s.Pending = PendingStart{}
	if p.Command == "" {
		return
	}
	r := wire.ResultFailed
	if p.Raw != "" {
		r = wire.ResultRejected
	}
	t.record("", &wire.CommandFinished{CommandID: p.Command, Command: p.commandType(), Result: r, Reason: reason})
}

// authorize opens the session with the register just read. The record is the
// grant: power is permitted once it is durable.
func (t *transition) authorize(register charge.WattHours) {
	p := t.s.Pending
	t.acceptStart()
	t.s.Pending = PendingStart{}
	by := wire.GrantOrder
	switch {
	case p.Reservation != "":
		by = wire.GrantReservation
	case p.By != "":
		by = p.By
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
		ID: p.Session, Username: p.Username, Reservation: p.Reservation, Tariff: p.Tariff, Card: p.Card, StartRegister: register,
		SampledRegister: register, SampledAt: t.now.At, Limit: p.Limit,
	}
	t.record(p.Session, &wire.Authorized{
		By: by, Username: p.Username, ReservationID: p.Reservation, CommandID: p.Command, Register: register, Tariff: p.Tariff,
		TokenHash: p.Card, Limit: p.Limit.Energy, LimitAmount: p.Limit.Amount,
	})
	if p.Command != "" {
		t.record("", &wire.CommandFinished{CommandID: p.Command, Command: p.commandType(), Result: wire.ResultDone})
	}
}

// pilotChanged applies a new state of the pilot. E, F and unknown do not reveal
// whether a vehicle is plugged in: the last known answer stays.
func (t *transition) pilotChanged(e PilotChanged) {
	was := t.s.Plugged
	t.s.Pilot = e.Pilot
	switch {
	case e.Pilot == charge.PilotA:
		t.s.Plugged = false
	case e.Pilot.Plugged() && !was:
		t.s.Plugged, t.s.PluggedAt = true, t.now.At
	}
	switch {
	case was && !t.s.Plugged:
		t.unplugged()
	case !was && t.s.Plugged:
		t.plugged(e.NewSession)
	}
}

// plugged continues a pending start, or starts a session where a policy lets the
// plug suffice.
func (t *transition) plugged(fresh charge.SessionID) {
	t.record(t.s.Session.ID, &wire.PluggedIn{})
	s := &t.s
	switch {
	case s.Phase != PhaseRunning:
	case s.Pending.Session != "":
		t.requestStartReading()
	case fresh == "" || t.refusal(false) != "":
	case s.Reservation.ID != "" && s.Policy.ReservedPlugStarts:
		r := s.Reservation
		t.beginStart(PendingStart{Session: fresh, Username: r.Username, Reservation: r.ID, Tariff: r.Tariff})
	case s.Reservation.ID == "" && s.Policy.FreeVend:
		t.beginStart(PendingStart{Session: fresh})
	}
}

// unplugged ends the session. A pending start that was reading the meter waits
// for the plug again if a command or a card began it; one by policy ends.
func (t *transition) unplugged() {
	s := &t.s
	t.record(s.Session.ID, &wire.Unplugged{})
	s.Finishing = false
	t.beginEnding(charge.StopUnplugged)
	if p := s.Pending; p.Session == "" {
		return
	} else if p.Command == "" && p.Card == "" {
		s.Pending = PendingStart{}
		return
	}
	s.Pending.ReadBy = 0
	t.acceptStart()
	if s.Pending.Reservation == "" {
		s.Pending.PlugBy = t.now.At + PlugWithin
	}
}

// contactChanged applies a new measured state of the contactor: power flows, is
// suspended, or a session that ends may read its last register.
func (t *transition) contactChanged(closed bool) {
	t.s.Closed = closed
	x := &t.s.Session
	switch {
	case x.ID == "":
	case x.Ending.Reason != "":
		if !closed && !x.Ending.Opened {
			t.requestFinalReading()
		}
	case closed && t.s.Commanded && x.Flow != FlowOn:
		t.powerOn()
	case !closed && x.Flow == FlowOn:
		t.suspendSession()
	}
}

// powerOn records that power flows, for the first time or again.
func (t *transition) powerOn() {
	x := &t.s.Session
	x.Flow = FlowOn
	register := max(t.s.Meter.Last.Import, x.StartRegister)
	if x.Started {
		t.record(x.ID, &wire.Resumed{Register: register})
		return
	}
	x.Started = true
	t.record(x.ID, &wire.ChargingStarted{Register: register, ReservationID: x.Reservation, Username: x.Username})
}

// suspendSession records that power stops for now, and whether the vehicle (ev)
// or the charging point (evse) stopped it.
func (t *transition) suspendSession() {
	s := &t.s
	x := &s.Session
	x.Flow, x.ByEV = FlowSuspended, s.Pilot == charge.PilotB
	p := &wire.Suspended{By: "evse", Register: max(s.Meter.Last.Import, x.StartRegister)}
	switch {
	case x.ByEV:
		p.By = "ev"
	case s.Phase == PhaseStopping:
		p.Reason = "shutdown"
	case s.Withheld != "":
		p.Reason = s.Withheld
	case s.Pilot == charge.PilotD:
		p.Reason = "no_ventilation"
	default:
		p.Reason = "contactor_open"
	}
	t.record(x.ID, p)
}

// beginEnding begins to end the open session, if there is one. The contactor
// opens now, or once a vehicle that follows the pilot has stopped; a register read
// after that closes the account. The first reason stays.
func (t *transition) beginEnding(why charge.StopReason) {
	x := &t.s.Session
	if x.ID == "" || x.Ending.Reason != "" {
		return
	}
	x.Ending.Reason, x.Ending.BegunAt, x.Ending.ReadBy = why, t.now.At, t.now.At+ReadWithin
	if t.s.mayYield() {
		x.Ending.ReadBy += YieldWithin
	}
	if !t.s.Closed && !t.s.Commanded {
		t.requestFinalReading()
	}
}

// requestFinalReading asks for the last register of a session that ends, now
// that the contactor is open.
func (t *transition) requestFinalReading() {
	d := &t.s.Session.Ending
	d.Opened, d.OpenedAt = true, t.now.At
	t.readMeter = true
}

// closeSession closes the account of the session with its last register. The
// register is never below the first one.
func (t *transition) closeSession(register charge.WattHours) {
	x := t.s.Session
	t.s.Session = Session{}
	t.s.Finishing = t.s.Plugged
	t.record(x.ID, &wire.ChargingStopped{
		Reason: x.Ending.Reason, Start: x.StartRegister, Register: max(register, x.StartRegister), OtherMeter: x.OtherMeter != "",
		Username: x.Username, ReservationID: x.Reservation, Tariff: x.Tariff,
	})
	if x.Ending.Command != "" {
		t.record("", &wire.CommandFinished{CommandID: x.Ending.Command, Command: wire.CommandStop, Result: wire.ResultDone})
	}
}

// shutdown accepts no more commands. By policy the session resumes after the
// restart, or ends now.
func (t *transition) shutdown() {
	if t.s.Phase != PhaseRunning {
		return
	}
	t.endStart("reboot")
	t.s.Phase = PhaseStopping
	if !t.s.Policy.Resume {
		t.beginEnding(charge.StopReboot)
	}
}
