package connector

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// This file enumerates every state of a connector that can be reached with a small
// alphabet of events: one vehicle, one driver, one reservation, one session, one
// fault, and a meter and a journal that work. TestInvariants draws the rest at random.
// States that differ only in what no decision depends on are one (see canonical).

// base is the time of every state; canonical moves the states to it.
const base = time.Hour

// stimulus is an event of the alphabet, in the words of the documents. wait is how
// much time passes before it; due: until the timer.
type stimulus struct {
	words string
	wait  time.Duration
	due   bool
	event func(State, Now) Event
}

// alphabet returns all stimuli.
func alphabet() []stimulus {
	order := func(words string, o wire.Order) stimulus {
		return stimulus{words: words, event: func(_ State, n Now) Event {
			return CommandReceived{Now: n, ID: "c1", Raw: "{}", Order: o, SentAt: n.Wall}
		}}
	}
	at := func(words string, f func(n Now) Event) stimulus {
		return stimulus{words: words, event: func(_ State, n Now) Event { return f(n) }}
	}
	pilot := func(p charge.PilotState) func(Now) Event {
		return func(n Now) Event { return PilotChanged{Now: n, Pilot: p, NewSession: "s1"} }
	}
	return []stimulus{
		at("pilot A", pilot(charge.PilotA)), at("pilot B", pilot(charge.PilotB)), at("pilot C", pilot(charge.PilotC)),
		at("pilot D", pilot(charge.PilotD)), at("pilot E", pilot(charge.PilotE)),
		at("contactor closed", func(n Now) Event { return ContactChanged{Now: n, Closed: true} }),
		at("contactor open", func(n Now) Event { return ContactChanged{Now: n} }),
		at("power withheld", func(n Now) Event { return PowerWithheld{Now: n, Reason: "settling"} }),
		at("limit too low", func(n Now) Event { return PowerWithheld{Now: n, Reason: charge.Limited} }),
		at("no longer withheld", func(n Now) Event { return PowerWithheld{Now: n} }),
		{words: "meter read", event: func(s State, n Now) Event {
			return MeterRead{Now: n, Reading: Reading{BegunAt: n.At, Import: s.Meter.Last.Import}}
		}},
		{words: "limit reached", event: func(s State, n Now) Event {
			if s.Session.ID == "" || s.Session.Ending.Reason != "" {
				return TimerFired{n}
			}
			return MeterRead{Now: n, Reading: Reading{BegunAt: n.At, Import: s.Meter.Last.Import + 1}}
		}},
		order("`RESERVE`", &wire.Reserve{ReservationID: "r1", Username: "u1", Until: wall.Add(time.Minute)}),
		order("`CANCEL_RESERVATION`", &wire.CancelReservation{ReservationID: "r1"}),
		order("`START`", &wire.Start{SessionID: "s1", Username: "u1", Limit: 1}),
		at("card", func(n Now) Event {
			return CardAllowed{Now: n, Session: "s1", Username: "u1", Card: "k1", By: wire.GrantLocalList}
		}),
		{words: "`AUTHORIZE`", event: func(_ State, n Now) Event {
			return CommandReceived{Now: n, ID: "c1", Raw: "{}", Order: &wire.Authorize{Allowed: true, SessionID: "s1", Username: "u1"}, SentAt: n.Wall, Card: "k1"}
		}},
		at("card again", func(n Now) Event { return CardStop{Now: n, Session: "s1"} }),
		order("`STOP`", &wire.Stop{SessionID: "s1"}),
		order("`SET_AVAILABILITY` true", &wire.SetAvailability{Available: true}),
		order("`SET_AVAILABILITY` false", &wire.SetAvailability{}),
		order("`UNLOCK`", &wire.Unlock{}),
		order("`RESET`", &wire.Reset{}),
		at("fault", func(n Now) Event { return FaultSeen{Now: n, Fault: charge.FaultGroundFault} }),
		at("fault ends", func(n Now) Event { return FaultGone{Now: n, Fault: charge.FaultGroundFault} }),
		{words: "grant durable", event: func(s State, n Now) Event { return Appended{Now: n, Token: s.Session.GrantToken} }},
		at("stop on site", func(n Now) Event { return LocalStop{n} }),
		at("agent stops", func(n Now) Event { return Shutdown{n} }),
		{words: "time passes", wait: moveWithin + time.Millisecond, event: func(_ State, n Now) Event { return TimerFired{n} }},
		{words: "timer", due: true, event: func(_ State, n Now) Event { return TimerFired{n} }},
	}
}

const wall charge.Time = 1_796_000_000_000

// times are all times of a state: those that passed, and those ahead.
func times(s *State) []*time.Duration {
	return []*time.Duration{
		&s.OpenBy, &s.Timer, &s.Meter.Last.BegunAt, &s.Meter.LastRejected.BegunAt, &s.Reservation.EndsAt, &s.Reservation.Left,
		&s.Pending.PlugBy, &s.Pending.ReadBy, &s.Pending.AskedAt, &s.Session.SampledAt, &s.Session.Ending.BegunAt, &s.Session.Ending.ReadBy,
		&s.Session.Ending.OpenedAt, &s.PluggedAt,
	}
}

// canonical is the state that stands for all that decide alike. Times ahead keep
// their order alone; of times that passed only whether a contactor may still be
// moving since then.
func canonical(s State, now time.Duration) State {
	var ahead []time.Duration
	for _, d := range times(&s) {
		if *d > now {
			ahead = append(ahead, *d)
		}
	}
	slices.Sort(ahead)
	ahead = slices.Compact(ahead)
	for _, d := range times(&s) {
		switch rank, _ := slices.BinarySearch(ahead, *d); {
		case *d > now:
			*d = base + time.Duration(rank+1)*time.Second
		case *d == 0:
		case now-*d >= moveWithin:
			*d = base - time.Second
		default:
			*d = base
		}
	}
	// Registers count from the last one, up to the limit of 1 Wh.
	energy := s.Meter.Last.Import - s.Session.StartRegister
	s.Meter.Last.Import = 1000
	if s.Session.ID != "" {
		s.Session.StartRegister, s.Session.SampledRegister = 1000-min(energy, s.Session.Limit.Energy), 1000
	}
	// Each reading is of its moment: these decide nothing.
	s.Meter.Last.BegunAt, s.Session.SampledAt, s.Reservation.Left = 0, 0, 0
	s.PluggedAt = 0 // package cards compares it with that of other connectors
	s.Pending.AskedAt, s.Session.Ending.OpenedAt = min(s.Pending.AskedAt, 1), min(s.Session.Ending.OpenedAt, 1)
	// Only the records depend on these.
	s.Pending.By, s.Pending.Authorize = "", false
	s.Pending.Raw, s.Session.Ending.Command, s.Session.Tariff, s.Pending.Tariff, s.Reservation.Tariff = "", "", "", "", ""
	if s.Session.Ending.Reason != "" {
		s.Session.Ending.Reason = charge.StopRemote
	}
	s.Token = 2
	if s.Session.GrantToken != 0 {
		s.Session.GrantToken = 1
	}
	if s.Session.ID == "" {
		s.Session.GrantToken = 0
	}
	return s
}

// TestCanonicalKnowsAllTimes: a new field of type time.Duration joins times.
func TestCanonicalKnowsAllTimes(t *testing.T) {
	var count func(reflect.Type) int
	count = func(typ reflect.Type) (n int) {
		for field := range typ.Fields() {
			switch f := field.Type; {
			case f == reflect.TypeFor[Policy]():
			case f == reflect.TypeFor[time.Duration]():
				n++
			case f.Kind() == reflect.Struct:
				n += count(f)
			}
		}
		return n
	}
	if got, want := len(times(new(State))), count(reflect.TypeFor[State]()); got != want {
		t.Errorf("times lists %d of the %d times of a State", got, want)
	}
}

// roots are the states after a boot: with nothing, and with a session or a
// reservation of an earlier boot, with and without a vehicle and a reading.
func roots(p Policy) []State {
	now := Now{At: base, Wall: wall, Clock: charge.ClockSet}
	session := SavedSession{ID: "s1", Username: "u1", StartRegister: 1000, Started: true, Limit: 1}
	var all []State
	for _, saved := range []Saved{
		{Connector: 1},
		{Connector: 1, Session: session, Register: 1000},
		{Connector: 1, Reservation: SavedReservation{ID: "r1", Username: "u1", Until: wall.Add(time.Minute), LeftMS: 60_000}},
		{Connector: 1, Unavailable: true},
		{Connector: 1, Latched: []charge.Fault{charge.FaultGroundFault}},
	} {
		for _, pilot := range []charge.PilotState{charge.PilotA, charge.PilotC} {
			for _, read := range []bool{true, false} {
				s, _ := Step(State{}, Booted{
					Now: now, ID: 1, Policy: p, Saved: saved, Pilot: pilot, Reading: Reading{BegunAt: base, Import: 1000}, HasReading: read,
				})
				s, _ = Step(s, Registered{Now: now})
				all = append(all, canonical(s, base))
			}
		}
	}
	return all
}

// edge is one step: a status, what happened, and the status after it.
type edge struct {
	from  charge.Status
	words string
	to    charge.Status
}

// explored is what was found of all reachable states.
type explored struct {
	states int
	steps  int
	edges  map[edge]bool
	powers map[charge.Status][2]bool // whether power is permitted in a status: ever, always
}

// explore visits all states that can be reached and checks each step.
func explore(t *testing.T, p Policy, found *explored) {
	t.Helper()
	stimuli := alphabet()
	queue := roots(p)
	seen := map[State]bool{}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		if found.states++; found.states > 400_000 {
			t.Fatal("too many states: canonical leaves a difference that decides nothing")
		}
		status := Status(s)
		power, known := found.powers[status]
		found.powers[status] = [2]bool{power[0] || s.Commanded, (power[1] || !known) && s.Commanded}
		for _, x := range stimuli {
			if x.due && s.Timer == 0 {
				continue
			}
			at := base + x.wait
			if x.due {
				at = s.Timer
			}
			e := x.event(s, Now{At: at, Wall: wall, Clock: charge.ClockSet})
			next, effects := Step(s, e)
			found.steps++
			if why := broken(s, e, next, effects, at); why != "" {
				t.Fatalf("%s in %s: %s\nbefore  %+v\nafter   %+v\neffects %+v", x.words, status, why, s, next, effects)
			}
			found.edges[edge{status, x.words, Status(next)}] = true
			queue = append(queue, canonical(next, at))
		}
	}
}

// broken is which rule a step breaks; empty: none.
func broken(before State, e Event, s State, effects []Effect, at time.Duration) string {
	has := func(want Effect) bool { return slices.Contains(effects, want) }
	_, fault := e.(FaultSeen)
	_, boot := e.(Booted)
	durable, isDurable := e.(Appended)
	goesOn := s.Session.Ending.Reason == "" && !s.Unavailable
	switch {
	case s.Commanded && (s.Phase != PhaseRunning || !s.Session.Granted):
		return "power without a durable grant"
	case s.Commanded && (!s.Plugged || s.Pilot != charge.PilotC && (s.Pilot != charge.PilotD || !s.Policy.Vent)):
		return "power without a vehicle that requests it"
	case s.Commanded && (!s.Faults.Empty() || s.Withheld != ""):
		return "power in spite of a fault, or withheld"
	case s.Commanded && !goesOn && (!s.Policy.Steered || at >= s.OpenBy):
		return "power after the end of the right"
	case s.Commanded && !before.Commanded && (!has(CloseContactor{}) || !goesOn):
		return "permitted without the effect"
	case !s.Commanded && before.Commanded && !has(OpenContactor{}):
		return "withdrawn without the effect"
	case has(CloseContactor{}) && !s.Commanded, has(OpenContactor{}) && s.Commanded:
		return "an effect that contradicts the state"
	case fault && (len(effects) == 0 || effects[0] != Effect(OpenContactor{})):
		return "a fault does not open first"
	case s.Session.Granted && (!before.Session.Granted || before.Session.ID != s.Session.ID) && !boot &&
		(!isDurable || durable.Token != before.Session.GrantToken || before.Session.GrantToken == 0):
		return "granted before it was durable"
	case s.Pending.Session != "" && s.Session.ID != "":
		return "a start beside a session"
	case s.Pending.Session != "" && s.Timer == 0:
		return "a pending start without an end"
	case s.Session.Ending.Reason != "" && (s.Session.Ending.ReadBy == 0 || s.Timer == 0):
		return "an end without an end"
	case s.Reservation.ID != "" && s.Timer == 0:
		return "a reservation without an end"
	case s.Timer != s.deadline():
		return "a timer that is not the next limit"
	case !Status(s).Valid():
		return "no status"
	}
	return ""
}

// TestEveryReachableState: closed implies all conditions of closing, whatever happens
// in whatever state; what waits has an end; and the document's table is what was
// found.
func TestEveryReachableState(t *testing.T) {
	all := explored{edges: map[edge]bool{}, powers: map[charge.Status][2]bool{}}
	for _, p := range []Policy{
		{}, {Steered: true, Lock: true}, {Resume: true, Vent: true}, {ReservedPlugStarts: true, FreeVend: true, Steered: true, Resume: true},
	} {
		one := explored{edges: all.edges, powers: all.powers}
		explore(t, p, &one)
		t.Logf("%+v: %d states, %d steps", p, one.states, one.steps)
		if one.states < 5000 {
			t.Errorf("only %d states: the alphabet reaches too little", one.states)
		}
	}
	const path, begin, end = "../../docs/PROTOCOL.md", "<!-- begin of the generated table -->\n", "<!-- end of the generated table -->\n"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, some := strings.Cut(string(doc), begin)
	was, tail, too := strings.Cut(rest, end)
	if !some || !too {
		t.Fatalf("%s has no place for the table of statuses", path)
	}
	got := all.table()
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(head+begin+got+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if was != got {
		t.Errorf("%s: the table of statuses is not what the state machine does (make it with: go test ./agent/connector -run Reachable -rewrite); want\n%s",
			path, got)
	}
}

// table is what was found, for the document: to which statuses each one changes, and
// by what.
func (x *explored) table() string {
	var b strings.Builder
	b.WriteString("\n| status | power | next | by |\n|---|---|---|---|\n")
	for _, from := range charge.Statuses() {
		power := "never"
		switch p := x.powers[from]; {
		case p[1]:
			power = "always"
		case p[0]:
			power = "possible"
		}
		first := "`" + string(from) + "` | " + power
		for _, to := range charge.Statuses() {
			var by []string
			for _, s := range alphabet() {
				if from != to && x.edges[edge{from, s.words, to}] {
					by = append(by, s.words)
				}
			}
			for len(by) > 0 {
				n, next := 0, "`"+string(to)+"`"
				line := ""
				for n < len(by) && len(line)+len(by[n]) < 60 {
					line = strings.TrimPrefix(line+", "+by[n], ", ")
					n++
				}
				by = by[n:]
				fmt.Fprintf(&b, "| %s | %s | %s |\n", first, next, line)
				first = " |"
			}
		}
	}
	return strings.ReplaceAll(b.String(), "|  | |", "| | |") + "\n"
}
