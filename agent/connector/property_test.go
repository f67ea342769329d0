package connector_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// world is one state machine with its journal and hardware, under any sequence of
// events.
type world struct {
	*player
	contact  bool // closed, in truth
	register charge.WattHours
	durable  map[charge.SessionID]bool // the grant is on disk
	authWith map[connector.Token]charge.SessionID
	open     charge.SessionID // by the records
	seen     map[charge.SessionID]bool
	billedTo charge.WattHours // the last register written
	held     charge.ReservationID
	ends     time.Duration
}

func newWorld(p connector.Policy) *world {
	w := &world{
		player: newPlayer(p), register: 1000, durable: map[charge.SessionID]bool{},
		authWith: map[connector.Token]charge.SessionID{}, seen: map[charge.SessionID]bool{},
	}
	w.s.Pilot, w.s.Meter = charge.PilotA, connector.Meter{Known: true, Last: connector.Reading{Import: w.register}}
	w.boot(false)
	return w
}

func (w *world) boot(gap bool) {
	w.contact = false
	w.authWith = map[connector.Token]charge.SessionID{}
	e, _ := w.reboot(gap).(connector.Booted)
	e.Reading.Import = w.register
	w.s, _ = connector.Step(w.s, e)
}

// apply steps and checks everything that must hold after any step.
func (w *world) apply(t *rapid.T, e connector.Event) {
	before := w.s
	at := w.at
	effects := w.step(e)
	again, same := connector.Step(before, e)
	if again != w.s || !reflect.DeepEqual(same, effects) {
		t.Fatalf("%T: a second run of the same step differs", e)
	}
	if a, ok := e.(connector.Appended); ok {
		if id, ok := w.authWith[a.Token]; ok {
			w.durable[id] = true
		}
	}
	if _, fault := e.(connector.FaultSeen); fault && (len(effects) == 0 || effects[0] != connector.Effect(connector.OpenContactor{})) {
		t.Fatalf("a fault: got %v, want OpenContactor first", effects)
	}
	rank := -1
	for _, f := range effects {
		r := rankOf(f)
		if r <= rank {
			t.Fatalf("effects %v are out of order", effects)
		}
		rank = r
		switch f := f.(type) {
		case connector.OpenContactor:
			w.contact = false
		case connector.CloseContactor:
			w.contact = true
		case connector.Append:
			for _, r := range f.Records {
				w.check(t, f.Token, r)
			}
		default:
		}
	}
	s := w.s
	if w.contact != s.Commanded {
		t.Fatalf("permitted %t, by the state %t", w.contact, s.Commanded)
	}
	right := !s.Unavailable && s.Session.Ending.Reason == "" || s.Policy.Steered && at < s.OpenBy
	if w.contact && (!s.Plugged || s.Pilot != charge.PilotC || !s.Faults.Empty() || s.Withheld != "" || !right || !w.durable[s.Session.ID]) {
		t.Fatalf("power without right: %+v", s)
	}
	if s.Session.ID != w.open && s.Phase >= connector.PhaseRunning {
		t.Fatalf("session %q, by the records %q", s.Session.ID, w.open)
	}
	if s.Phase >= connector.PhaseRunning && s.Reservation.ID != "" && at >= s.Reservation.EndsAt {
		t.Fatalf("reservation held at %s beyond its end %s", at, s.Reservation.EndsAt)
	}
	if w.held != "" && s.Reservation.ID == w.held && at >= w.ends {
		t.Fatalf("reservation held at %s, ordered until %s", at, w.ends)
	}
	if s.Phase < connector.PhaseRunning {
		return
	}
	if v := w.saved; v.Session.ID != s.Session.ID || v.Session.StartRegister != s.Session.StartRegister || v.Reservation.ID != s.Reservation.ID ||
		v.Unavailable != s.Unavailable || v.Session.Started != s.Session.Started {
		t.Fatalf("the records give %+v, the state is %+v", v, s)
	}
}

// check checks a record against those before it.
func (w *world) check(t *rapid.T, token connector.Token, r connector.Record) {
	switch p := r.Payload.(type) {
	case *wire.Authorized:
		if w.open != "" || w.seen[r.Session] {
			t.Fatalf("session %q begins while %q is open, or again", r.Session, w.open)
		}
		if p.Register < w.billedTo {
			t.Fatalf("authorized at %d, written before: %d", p.Register, w.billedTo)
		}
		w.open, w.seen[r.Session], w.authWith[token], w.billedTo = r.Session, true, r.Session, p.Register
	case *wire.ChargingStopped:
		if w.open != r.Session || p.Register < p.Start || p.Register < w.billedTo {
			t.Fatalf("%q stops with %d to %d while %q is open, written before: %d", r.Session, p.Start, p.Register, w.open, w.billedTo)
		}
		w.open, w.billedTo = "", p.Register
	case *wire.MeterRead:
		if p.Register < w.billedTo || w.open != r.Session {
			t.Fatalf("register goes from %d to %d", w.billedTo, p.Register)
		}
		w.billedTo = p.Register
	case *wire.ChargingStarted:
		if !w.durable[r.Session] {
			t.Fatalf("session %q has power, its grant is not durable", r.Session)
		}
	default:
	}
}

func rankOf(f connector.Effect) int {
	switch f.(type) {
	case connector.OpenContactor:
		return 0
	case connector.Append:
		return 1
	case connector.OfferPower:
		return 2
	case connector.CloseContactor:
		return 3
	case connector.ReadMeter:
		return 4
	case connector.ResetLatch:
		return 5
	case connector.SetTimer:
		return 6
	}
	return 7
}

// TestInvariants: for any events in any order, power flows only with a grant, there
// is one session at a time, no reservation outlasts its end, and the records alone
// restore the state.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(connector.Policy{
			Resume: rapid.Bool().Draw(t, "resume"), ReservedPlugStarts: rapid.Bool().Draw(t, "plug_starts"),
			FreeVend: rapid.Bool().Draw(t, "free_vend"), Steered: rapid.Bool().Draw(t, "steered"), Rated: 150_000,
		})
		w.apply(t, connector.Registered{Now: w.now()})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.at += rapid.SampledFrom([]time.Duration{0, time.Millisecond, 100 * time.Millisecond, 3 * time.Second, 50 * time.Second}).Draw(t, "wait")
			w.one(t)
		}
	})
}

func (w *world) one(t *rapid.T) {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "of") }
	id := func(prefix string) string { return fmt.Sprintf("%s%d", prefix, rapid.IntRange(1, 3).Draw(t, prefix)) }
	if w.contact && w.s.Closed && rapid.Bool().Draw(t, "flows") {
		w.register += charge.WattHours(rapid.IntRange(0, 300).Draw(t, "wh"))
	}
	fresh := charge.SessionID(fmt.Sprintf("f%d-%d", w.n, w.at))
	switch rapid.IntRange(0, 16).Draw(t, "event") {
	case 0, 1:
		p := charge.PilotState(pick("A", "B", "C", "C", "C", "E")[0])
		w.apply(t, connector.PilotChanged{Now: w.now(), Pilot: p, NewSession: fresh})
	case 2, 3:
		w.apply(t, connector.ContactChanged{Now: w.now(), Closed: w.contact})
	case 4, 5, 6:
		w.apply(t, connector.MeterRead{Now: w.now(), Reading: connector.Reading{BegunAt: w.at, Import: w.register}})
	case 7:
		lie := charge.WattHours(rapid.IntRange(-50, 2000).Draw(t, "lie"))
		w.apply(t, connector.MeterRead{Now: w.now(), Failed: lie > 1000, Reading: connector.Reading{BegunAt: w.at, Import: w.register + min(lie, 0)}})
	case 8, 9:
		w.apply(t, w.player.durable())
	case 10:
		d := time.Duration(rapid.IntRange(-1, 90).Draw(t, "for")) * time.Second
		r := charge.ReservationID(fmt.Sprintf("r%d", w.n)) // those that ended are kept away by package delivery
		if rapid.Bool().Draw(t, "again") && w.s.Reservation.ID != "" && w.at < w.s.Reservation.EndsAt {
			r = w.s.Reservation.ID
		}
		o := &wire.Reserve{ReservationID: r, Username: charge.Username(id("u")), Until: w.now().Wall.Add(d)}
		w.apply(t, w.order(time.Second, o))
		if w.s.Reservation.ID == o.ReservationID && w.held != o.ReservationID {
			w.held, w.ends = o.ReservationID, w.s.Reservation.EndsAt
		}
	case 11:
		s := charge.SessionID(id("s"))
		if w.seen[s] {
			s = fresh // those that ended are kept away by package delivery
		}
		w.apply(t, w.order(time.Second, &wire.Start{
			SessionID: s, Username: charge.Username(id("u")), ReservationID: charge.ReservationID(pick("", "r1", string(w.s.Reservation.ID))),
		}))
	case 12:
		switch pick("stop", "cancel", "available", "unlock", "reset", "local", "card", "authorize", "card_stop") {
		case "card":
			w.apply(t, connector.CardAllowed{Now: w.now(), Session: fresh, Username: charge.Username(id("u")), Card: theCard(), By: wire.GrantLocalList})
		case "authorize":
			e := w.order(time.Second, &wire.Authorize{RequestID: "r", Allowed: true, SessionID: fresh, Username: charge.Username(id("u"))})
			e.Card = theCard()
			w.apply(t, e)
		case "card_stop":
			w.apply(t, connector.CardStop{Now: w.now(), Session: max(w.s.Session.ID, "s0")})
		case "stop":
			w.apply(t, w.order(time.Second, &wire.Stop{SessionID: max(w.s.Session.ID, charge.SessionID(id("s")))}))
		case "cancel":
			w.apply(t, w.order(time.Second, &wire.CancelReservation{ReservationID: max(w.s.Reservation.ID, "r0")}))
		case "available":
			w.apply(t, w.order(time.Second, &wire.SetAvailability{Available: rapid.Bool().Draw(t, "available")}))
		case "unlock":
			w.apply(t, w.order(time.Second, &wire.Unlock{}))
		case "reset":
			w.apply(t, w.order(time.Second, &wire.Reset{}))
		default:
			w.apply(t, connector.LocalStop{Now: w.now()})
		}
	case 13:
		w.apply(t, connector.FaultSeen{Now: w.now(), Fault: charge.Fault(pick("ground_fault", "emergency_stop", "contactor_welded"))})
	case 14:
		w.apply(t, connector.FaultGone{Now: w.now(), Fault: charge.Fault(pick("ground_fault", "emergency_stop", "contactor_welded"))})
	case 15:
		w.apply(t, connector.PowerWithheld{Now: w.now(), Reason: pick("", "", "late")})
	case 16:
		switch pick("timer", "storage", "shutdown", "reboot") {
		case "timer":
			w.apply(t, connector.TimerFired{Now: w.now()})
		case "storage":
			w.apply(t, connector.StorageChanged{Now: w.now(), Full: rapid.Bool().Draw(t, "full")})
		case "shutdown":
			w.apply(t, connector.Shutdown{Now: w.now()})
		default:
			w.held = ""
			w.durable[w.saved.Session.ID] = true // what is replayed is on disk
			w.boot(rapid.Bool().Draw(t, "gap"))
			w.apply(t, connector.Registered{Now: w.now(), Unfinished: w.saved.Unfinished})
		}
	}
}
