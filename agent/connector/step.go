package connector

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// transition is one step under way: the new state, and what its effects are made
// of.
type transition struct {
	s         State
	now       Now
	records   []Record
	openNow   bool // open the contactor, whatever was commanded
	readMeter bool
	reset     bool // what the safety loop has latched
	release   bool // the cable
}

// Step applies one event. It is total: every event is defined in every state.
// What is overdue at the time of the event ends first.
func Step(s State, e Event) (State, []Effect) {
	t := &transition{s: s, now: e.when()}
	if b, ok := e.(Booted); ok {
		t.booted(b)
		return t.effects()
	}
	if s.Phase == PhaseNew {
		_, fault := e.(FaultSeen)
		t.openNow = fault
		return t.effects()
	}
	t.endOverdue()
	t.handle(e)
	return t.effects()
}

func (t *transition) handle(e Event) {
	switch e := e.(type) {
	case Booted: // applied by Step
	case Registered:
		t.registered(e)
	case PilotChanged:
		t.pilotChanged(e)
	case ContactChanged:
		t.contactChanged(e.Closed)
	case PowerWithheld:
		t.s.Withheld = e.Reason
	case MeterRead:
		t.meterRead(e)
	case CommandReceived:
		t.command(e)
	case FaultSeen:
		t.raiseFault(e.Fault, e.Detail)
	case FaultGone:
		t.clearFault(e.Fault)
	case Appended:
		if t.s.Session.ID != "" && e.Token == t.s.Session.GrantToken {
			t.s.Session.Granted = true
		}
	case AppendFailed:
		t.raiseFault(charge.FaultJournal, "the journal takes no more records")
	case StorageChanged:
		t.s.StorageFull = e.Full
	case TimerFired: // endOverdue did all
	case CardAllowed:
		t.cardAllowed(e)
	case CardStop:
		if t.s.Session.ID == e.Session && e.Session != "" {
			t.beginEnding(charge.StopLocal)
		}
	case LocalStop:
		t.beginEnding(charge.StopLocal)
		t.endStart("stopped")
	case Shutdown:
		t.shutdown()
	}
}

// endOverdue ends a reservation, a pending start or an ending session whose time
// is over. It does nothing before registration, when no record could be written.
func (t *transition) endOverdue() {
	if t.s.Phase < PhaseRunning {
		return
	}
	at := t.now.At
	if r := &t.s.Reservation; r.ID != "" {
		t.learnClock(r)
		late := t.now.Clock == charge.ClockSynced && t.now.Wall.Sub(r.Until) > clockSkew
		switch {
		case at >= r.EndsAt && r.NoClock:
			t.endReservation(charge.ReservationClockUnset)
		case at >= r.EndsAt, late:
			t.endReservation(charge.ReservationExpired)
		}
	}
	if p := &t.s.Pending; p.Session != "" {
		switch {
		case p.ReadBy > 0 && at >= p.ReadBy:
			t.endStart("meter_failed")
		case p.PlugBy > 0 && at >= p.PlugBy:
			t.endStart("not_plugged")
		}
	}
	if d := &t.s.Session.Ending; d.Reason != "" && at >= d.ReadBy {
		t.closeSession(t.s.Meter.Last.Import)
	}
}

// record adds a record; before registration it is dropped.
func (t *transition) record(session charge.SessionID, p wire.Payload) {
	if t.s.Phase >= PhaseRunning {
		t.records = append(t.records, Record{Session: session, Payload: p})
	}
}

// yields lets a vehicle whose right has ended stop by itself, until OpenBy.
func (t *transition) yields() bool {
	s := &t.s
	if !s.mayYield() {
		return false
	}
	if s.OpenBy == 0 {
		s.OpenBy = t.now.At + YieldWithin
	}
	return t.now.At < s.OpenBy
}

// effects compares the new state with what was commanded, offered and reported
// before, and returns the difference as effects in their fixed order.
func (t *transition) effects() (State, []Effect) {
	s := &t.s
	power := s.mayHavePower()
	if s.Session.Flow == FlowOn && s.Session.Ending.Reason == "" && !power {
		t.suspendSession()
	}
	if status := Status(*s); s.Phase >= PhaseRunning && status != s.Reported {
		t.record(s.Session.ID, &wire.StatusChanged{Status: status, Was: s.Reported})
		s.Reported = status
	}
	var out []Effect
	if t.openNow || s.Commanded && !power && !t.yields() {
		out, s.Commanded, s.OpenBy = append(out, OpenContactor{}), false, 0
	}
	if len(t.records) > 0 {
		s.Token++
		if s.Session.ID != "" && s.Session.GrantToken == 0 && !s.Session.Granted {
			s.Session.GrantToken = s.Token
		}
		out = append(out, Append{Token: s.Token, Records: t.records})
	}
	if offer := s.mayBeOffered(); offer != s.Offered {
		out, s.Offered = append(out, OfferPower{offer}), offer
	}
	if power && !s.Commanded {
		out, s.Commanded = append(out, CloseContactor{}), true
	}
	if t.readMeter {
		out = append(out, ReadMeter{})
	}
	if t.reset {
		out = append(out, ResetLatch{})
	}
	if t.release {
		out = append(out, ReleaseCable{})
	}
	if next := s.deadline(); next != s.Timer {
		out, s.Timer = append(out, SetTimer{next}), next
	}
	return *s, out
}
