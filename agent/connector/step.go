package connector

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// turn is one step: the state as it becomes, and what is to be done.
type turn struct {
	s       State
	now     Now
	records []Record
	open    bool // open, whatever was commanded
	read    bool
}

// Step takes one event. It is total: every event is defined in every state.
// Whatever has ended by the time of the event ends first.
func Step(s State, e Event) (State, []Effect) {
	t := &turn{s: s, now: e.when()}
	if b, ok := e.(Booted); ok {
		t.booted(b)
		return t.end()
	}
	if s.Life == LifeNew {
		_, fault := e.(FaultSeen)
		t.open = fault
		return t.end()
	}
	t.due()
	t.handle(e)
	return t.end()
}

func (t *turn) handle(e Event) {
	switch e := e.(type) {
	case Booted: // taken by Step
	case Registered:
		t.registered(e)
	case PilotChanged:
		t.pilot(e)
	case ContactChanged:
		t.contact(e.Closed)
	case HoldChanged:
		t.s.Hold = e.Reason
	case MeterRead:
		t.meter(e)
	case CommandReceived:
		t.command(e)
	case FaultSeen:
		t.raise(e.Fault, e.Detail)
	case FaultGone:
		t.clear(e.Fault)
	case Appended:
		if t.s.Session.ID != "" && e.Token == t.s.Session.Token {
			t.s.Session.Granted = true
		}
	case AppendFailed:
		t.raise(charge.FaultJournal, "the journal takes no more records")
	case StorageChanged:
		t.s.StorageFull = e.Full
	case TimerFired: // due has done it
	case LocalStop:
		t.endSession(charge.StopLocal)
		t.endStart("stopped")
	case Shutdown:
		t.shutdown()
	}
}

// due ends what ends by itself. Before registration nothing could be written
// about it.
func (t *turn) due() {
	if t.s.Life < LifeRunning {
		return
	}
	at := t.now.At
	if r := &t.s.Reservation; r.ID != "" {
		t.learnClock(r)
		late := t.now.Clock == charge.ClockSynced && t.now.Wall.Sub(r.Until) > skew
		switch {
		case at >= r.Ends && r.NoClock:
			t.endReservation(charge.ReservationClockUnset)
		case at >= r.Ends, late:
			t.endReservation(charge.ReservationExpired)
		}
	}
	if p := &t.s.Start; p.Session != "" {
		switch {
		case p.ReadBy > 0 && at >= p.ReadBy:
			t.endStart("meter_failed")
		case p.Ends > 0 && at >= p.Ends:
			t.endStart("not_plugged")
		}
	}
	if d := &t.s.Session.Ending; d.Reason != "" && at >= d.By {
		t.stopped(t.s.Meter.Last.Import)
	}
}

// record adds a record of the connector; before registration there is none.
func (t *turn) record(session charge.SessionID, p wire.Payload) {
	if t.s.Life >= LifeRunning {
		t.records = append(t.records, Record{Session: session, Payload: p})
	}
}

// end derives what follows from the state and puts the effects in their order.
func (t *turn) end() (State, []Effect) {
	s := &t.s
	power := s.mayHavePower()
	if s.Session.Flow == FlowOn && s.Session.Ending.Reason == "" && !power {
		t.suspend()
	}
	if status := Status(*s); s.Life >= LifeRunning && status != s.Reported {
		t.record(s.Session.ID, &wire.StatusChanged{Status: status, Was: s.Reported})
		s.Reported = status
	}
	var out []Effect
	if t.open || s.Commanded && !power {
		out, s.Commanded = append(out, OpenContactor{}), false
	}
	if len(t.records) > 0 {
		s.Token++
		if s.Session.ID != "" && s.Session.Token == 0 && !s.Session.Granted {
			s.Session.Token = s.Token
		}
		out = append(out, Append{Token: s.Token, Records: t.records})
	}
	if offer := s.mayBeOffered(); offer != s.Offered {
		out, s.Offered = append(out, OfferPower{offer}), offer
	}
	if power && !s.Commanded {
		out, s.Commanded = append(out, CloseContactor{}), true
	}
	if t.read {
		out = append(out, ReadMeter{})
	}
	if next := s.deadline(); next != s.Timer {
		out, s.Timer = append(out, SetTimer{next}), next
	}
	return *s, out
}
