package orders_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// From the request to the ticket; each step is published once.
func TestFromRequestToTicket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	a := w.mustAnswer("m-1")
	if a.Authorized == nil || !*a.Authorized || a.CPID != "CP_1" || a.Connector != 1 || a.ClientID != "web" || a.ExpiresAt == nil ||
		a.EventType != wire.CentralAuthorization {
		t.Fatalf("answer: got %+v, want CP_1 authorized", a)
	}
	if got := w.CP("CP_1").Status(1, w.now); got != charge.StatusReserved {
		t.Fatalf("status: got %s, want reserved", got)
	}
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.pass(1000)
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if got := w.events(wire.CentralChargingStarted, "ana"); len(got) != 1 {
		t.Fatalf("charging_started published %d times, want once: %+v", len(got), w.published)
	}
	w.outlet("CP_1", 1).Register += 1830
	w.pass(60_000)
	w.request("m-3", wire.DriverStop, "ana", "CP_1", w.now)
	tickets := w.events(wire.CentralTicket, "ana")
	if len(tickets) != 1 || charge.WattHours(*tickets[0].EnergyKWh) != 1830 || *tickets[0].DurationSec != 60 ||
		*tickets[0].Cost != (wire.Money{Minor: 50 + 73, Decimals: 2}) || tickets[0].Reason != "remote" {
		t.Fatalf("tickets: got %+v, want one of 1.830 kWh for 60 s and 1.23", tickets)
	}
	if a := w.mustAnswer("m-3"); a.EventType != wire.CentralStopResponse || a.Reason != "stopping" {
		t.Fatalf("answer to the stop: %+v", a)
	}
	if n := len(w.events(wire.CentralReservationEnded, "")); n != 0 {
		t.Fatalf("a used reservation was published as ended %d times", n)
	}
	w.pass(3_600_000)
	if d := w.state.NextDeadline(); d != 0 {
		t.Fatalf("something waits for ever: due at %s", d)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	unknown := charge.CPID("CP_9")
	for _, tc := range []struct {
		name   string
		before func(w *world)
		cp     charge.CPID
		age    charge.Time
		want   string // "" authorized, "-" never answered
	}{
		{"a free one", func(*world) {}, "", 0, ""},
		{"a given one", func(*world) {}, "CP_1", 0, ""},
		{"unknown", func(*world) {}, unknown, 0, wire.RefusedUnknownCP},
		{"exactly a minute old", func(*world) {}, "", 60_000, ""},
		{"older than a minute", func(*world) {}, "", 60_001, wire.RefusedStale},
		{"exactly ten minutes old", func(*world) {}, "", 600_000, wire.RefusedStale},
		{"older than ten minutes", func(*world) {}, "", 600_001, "-"},
		{"from a clock ahead", func(*world) {}, "", -60_001, wire.RefusedInvalid},
		{"not admitted", func(w *world) { w.CP("CP_1").Admitted = false }, "CP_1", 0, wire.RefusedUnknownCP},
		{"all offline", func(w *world) { w.live["CP_1"] = ledger.Offline }, "", 0, wire.RefusedNoneFree},
		{"the given one offline", func(w *world) { w.live["CP_1"] = ledger.Offline }, "CP_1", 0, wire.RefusedUnreachable},
		{"reserved by another", func(w *world) { w.asks("m-0", "eve", "") }, "CP_1", 0, wire.RefusedBusy},
		{"none free", func(w *world) { w.asks("m-0", "eve", "") }, "", 0, wire.RefusedNoneFree},
		{"faulted", func(w *world) { w.agents["CP_1"].fault(1, charge.FaultMeter); w.sync() }, "CP_1", 0, wire.RefusedNotAvailable},
		{"out of service", func(w *world) {
			w.operator(orders.OperatorAvailability{Target: orders.Target{CPID: "CP_1"}, Available: false})
		}, "CP_1", 0, wire.RefusedNotAvailable},
		{"another vehicle there, any requested", func(w *world) { w.agents["CP_1"].plug(1, w.now); w.sync() }, "", 0, wire.RefusedNoneFree},
		{"another vehicle there, this one requested", func(w *world) { w.agents["CP_1"].plug(1, w.now); w.sync() }, "CP_1", 0, ""},
		{"identity forked", func(w *world) { w.CP("CP_1").ForkedAt = 1 }, "CP_1", 0, wire.RefusedNotAvailable},
		{"the charging point refuses", func(w *world) { w.agents["CP_1"].refuse = "faulted" }, "CP_1", 0, wire.RefusedUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{MaxTried: 1})
			tc.before(w)
			w.request("m-1", wire.DriverAuthorization, "ana", tc.cp, w.now-tc.age)
			w.pass(5000)
			a, ok := w.answer("m-1")
			switch {
			case tc.want == "-" && ok:
				t.Fatalf("answered %+v, want silence", a)
			case tc.want == "-":
				if !w.requests[orders.RequestKey{Username: "ana", MessageID: "m-1"}].Ignored {
					t.Fatal("not recorded")
				}
			case !ok:
				t.Fatal("not answered")
			case *a.Authorized != (tc.want == "") || a.Reason != tc.want:
				t.Fatalf("got authorized %v, reason %q; want reason %q", *a.Authorized, a.Reason, tc.want)
			}
		})
	}
}

// Each charging point has 1.5 s to confirm, at most three are tried, and the answer
// comes within 5 s; one that accepts late gets a CANCEL_RESERVATION.
func TestSilentPointsAreGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, 1, orders.Config{})
	for id := range w.agents {
		w.noCommands[id] = true
	}
	w.asks("m-1", "ana", "")
	w.pass(4499)
	if _, ok := w.answer("m-1"); ok {
		t.Fatal("answered before three were given 1.5 s each")
	}
	w.pass(1)
	a := w.mustAnswer("m-1")
	if *a.Authorized || a.Reason != wire.RefusedUnreachable {
		t.Fatalf("got %+v, want cp_unreachable", a)
	}
	asked := map[charge.CPID]bool{}
	for _, c := range w.sent {
		if c.Type == wire.CommandReserve {
			asked[c.CPID] = true
		}
	}
	if len(asked) != 3 || !asked["CP_1"] || !asked["CP_2"] || !asked["CP_3"] {
		t.Fatalf("asked %v, want the three that were idle longest", asked)
	}
	if n := len(w.events(wire.CentralReservationEnded, "")); n != 0 {
		t.Fatalf("%d events about reservations that the driver never knew", n)
	}
}

func TestLateAcceptanceIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.slow["CP_1"] = 1700 // its record comes after the next was tried
	w.asks("m-1", "ana", "")
	w.pass(1500)
	if a := w.mustAnswer("m-1"); !*a.Authorized || a.CPID != "CP_2" {
		t.Fatalf("got %+v, want CP_2", a)
	}
	w.pass(10_000)
	if h := w.outlet("CP_1", 1).Held; h != nil {
		t.Fatalf("CP_1 still holds %+v", h)
	}
	if n := len(w.events(wire.CentralAuthorization, "ana")); n != 1 {
		t.Fatalf("answered %d times, want once", n)
	}
	for _, r := range w.reservations {
		if r.CPID == "CP_1" && (r.ConfirmedAt != 0 || !r.Released) {
			t.Fatalf("given up, and then: %+v", r)
		}
	}
	w.asks("m-2", "eve", "CP_1")
	w.pass(2000)
	w.slow["CP_1"] = 0
	w.asks("m-3", "eve", "CP_1")
	if a := w.mustAnswer("m-3"); !*a.Authorized {
		w.pass(10_000)
		w.asks("m-4", "eve", "CP_1")
		if a := w.mustAnswer("m-4"); !*a.Authorized {
			t.Fatalf("CP_1 cannot be reserved any more: %+v", a)
		}
	}
}

func TestRepeatsRepeatTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	first := w.mustAnswer("m-1")
	w.published = nil
	w.asks("m-1", "ana", "")
	if again := w.mustAnswer("m-1"); *again.Authorized != *first.Authorized || again.ReservationID != first.ReservationID ||
		again.EventID != first.EventID || again.Timestamp != first.Timestamp {
		t.Fatalf("got %+v, want %+v", again, first)
	}
	if len(w.reservations) != 1 {
		t.Fatalf("%d reservations, want one", len(w.reservations))
	}
	w.asks("m-2", "ana", "CP_2") // a driver with an open reservation gets the same one
	if a := w.mustAnswer("m-2"); a.ReservationID != first.ReservationID || a.CPID != "CP_1" {
		t.Fatalf("got %+v, want the reservation held", a)
	}
}

// An answer that another run gave is repeated, and the request not served, when a
// restored database reads the log; a request that is pending here is finished.
func TestAnswersOfAnotherRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	yes, cp := true, charge.CPID("CP_2")
	given := wire.CentralEvent{
		EventID: "a.m-1", EventType: wire.CentralAuthorization, MessageID: "m-1", Username: "ana", ClientID: "web", Authorized: &yes, CPID: cp,
		ReservationID: "r-of-before", Timestamp: wire.Seconds(w.now),
	}
	w.step(orders.AnswerReceived{Now: w.moment(), Answer: given})
	w.asks("m-1", "ana", "")
	if a := w.mustAnswer("m-1"); a.ReservationID != "r-of-before" || len(w.reservations) != 0 {
		t.Errorf("got %+v with %d reservations, want the answer of before", a, len(w.reservations))
	}
	w.noCommands["CP_1"], w.noCommands["CP_2"] = true, true
	w.asks("m-2", "ben", "")
	given.EventID, given.MessageID, given.Username = "a.m-2", "m-2", "ben"
	w.step(orders.AnswerReceived{Now: w.moment(), Answer: given})
	w.pass(10_000)
	if a, ok := w.answer("m-2"); ok {
		t.Errorf("answered %+v, although it has been answered", a)
	}
	given.ReservationID = "another"
	w.step(orders.AnswerReceived{Now: w.moment(), Answer: given, Known: true})
	if a := w.requests[orders.RequestKey{Username: "ben", MessageID: "m-2"}].Answer; a == nil || a.ReservationID != "r-of-before" {
		t.Errorf("kept %+v, want the first answer", a)
	}
}

// Each driver chooses its own message_ids: two drivers with the same one get
// separate answers with different event_ids.
func TestOneMessageIDTwoDrivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	for range 2 { // the second time both are repeats
		w.published = nil
		w.asks("1", "ana", "")
		w.asks("1", "ben", "")
		a, b := w.events(wire.CentralAuthorization, "ana"), w.events(wire.CentralAuthorization, "ben")
		if len(a) != 1 || len(b) != 1 || !*a[0].Authorized || !*b[0].Authorized || a[0].CPID == b[0].CPID || a[0].EventID == b[0].EventID {
			t.Fatalf("got %+v and %+v, want one grant for each, at two charging points, with different event_ids", a, b)
		}
	}
	if len(w.reservations) != 2 {
		t.Fatalf("got %d reservations, want 2", len(w.reservations))
	}
}

// A message_id names one request: another request with it is refused with an
// explanation, and the first one keeps its answer.
func TestAMessageIDOfAnotherType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		first func(*world)
	}{
		{"that is answered", func(w *world) { w.asks("1", "ana", "") }},
		{"that waits for an answer", func(w *world) { w.noCommands["CP_1"] = true; w.asks("1", "ana", "") }},
		{"that another life answered", func(w *world) {
			w.step(orders.AnswerReceived{Now: w.moment(), Answer: wire.CentralEvent{
				EventID: "a.1", EventType: wire.CentralAuthorization, MessageID: "1", Username: "ana", Authorized: new(true), CPID: "CP_1",
			}})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			tc.first(w)
			for range 2 {
				w.request("1", wire.DriverStop, "ana", "CP_1", w.now)
			}
			got := w.events(wire.CentralStopResponse, "ana")
			if len(got) != 2 || got[0].Reason != wire.RefusedReused || !strings.Contains(got[0].Message, "AUTHORIZATION_REQUEST") && !strings.Contains(got[0].Message, "AUTHORIZATION_RESPONSE") ||
				got[1].EventID != got[0].EventID {
				t.Fatalf("the stop is answered %+v, want message_id_reused, naming the type", got)
			}
			w.request("1", wire.DriverStop, "ben", "CP_1", w.now)
			if got := w.events(wire.CentralStopResponse, "ben"); len(got) != 1 || got[0].Reason != "no_session" {
				t.Errorf("another driver's stop is answered %+v, want no_session", got)
			}
			// A later run reads both answers on central-events, the refusal first.
			w.step(orders.AnswerReceived{Now: w.moment(), Answer: got[0], Known: false})
			w.noCommands["CP_1"] = false
			w.pass(5000)
			w.asks("1", "ana", "")
			if got := w.events(wire.CentralAuthorization, "ana"); len(got) == 0 || got[len(got)-1].Authorized == nil {
				t.Errorf("the first request is answered %+v, want its own answer", got)
			}
		})
	}
}

// A message that cannot be used is answered with an explanation, unless it is old,
// and counted.
func TestRequestsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const minute = 60_000
	for _, tc := range []struct {
		name            string
		kind            wire.DriverEventType
		invalid         string
		written, logged charge.Time // how long ago by the message and by Kafka; written -1: not decodable
		want, counted   string      // reason; "": no answer
	}{
		{"no timestamp", wire.DriverAuthorization, "field timestamp: is missing", -1, 0, wire.RefusedInvalid, wire.RefusedInvalid},
		{"no timestamp, nine minutes ago", wire.DriverStop, "field timestamp: is missing", -1, 9 * minute, wire.RefusedInvalid, wire.RefusedInvalid},
		{"no timestamp, in a log that is read again", wire.DriverAuthorization, "field timestamp: is missing", -1, 11 * minute, "", orders.Unanswered},
		{"another field", wire.DriverStarted, "field cp_id: is missing", 0, 0, wire.RefusedInvalid, wire.RefusedInvalid},
		{"another field, long ago", wire.DriverStarted, "field cp_id: is missing", 11 * minute, 11 * minute, "", orders.Unanswered},
		{"of 1970", wire.DriverAuthorization, "", morning, 11 * minute, "", orders.Unanswered},
		{"of the year 9000", wire.DriverAuthorization, "", -220_000_000_000_000, 0, wire.RefusedInvalid, wire.RefusedInvalid},
		{"unknown type", "DANCE_REQUEST", "", 0, 0, wire.RefusedInvalid, wire.RefusedInvalid},
		{"unknown type, long ago", "DANCE_REQUEST", "", 11 * minute, 11 * minute, "", orders.Unanswered},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			q := wire.DriverRequest{MessageID: "1", EventType: tc.kind, Username: "ana", ClientID: "web", Timestamp: wire.Seconds(w.now - tc.written)}
			if tc.written == -1 {
				q.Timestamp = 0
			}
			for range 2 {
				e := orders.DriverRequestReceived{Now: w.moment(), Request: q, InvalidReason: tc.invalid, LoggedAt: w.now - tc.logged}
				if was, ok := w.requests[orders.RequestKey{Username: "ana", MessageID: "1"}]; ok {
					e.Previous = &was
				}
				w.step(e)
			}
			a, answered := w.answer("1")
			if answered != (tc.want != "") || a.Reason != tc.want || answered && (a.Username != "ana" || a.ClientID != "web" || a.Message == "") {
				t.Errorf("got %+v, want %q, in words", a, tc.want)
			}
			if w.refused[tc.counted] == 0 || len(w.refused) != 1 || len(w.reservations) != 0 {
				t.Errorf("counted %v, want %q; %d reservations", w.refused, tc.counted, len(w.reservations))
			}
		})
	}
}

// A name that cannot be a driver's is refused, unless a session runs under it
// already, which can be stopped.
func TestABadName(t *testing.T) {
	t.Parallel()
	for name, charging := range map[string]bool{"charging": true, "not charging": false} {
		w := newWorld(t, 1, 1, orders.Config{})
		const user = "ana\u200b"
		if charging {
			w.agents["CP_1"].plug(1, w.now)
			w.operator(orders.OperatorStart{Target: orders.Target{CPID: "CP_1", Connector: 1}, Username: user})
		}
		cp := charge.CPID("CP_1")
		for _, kind := range []wire.DriverEventType{wire.DriverAuthorization, wire.DriverStop} {
			w.step(orders.DriverRequestReceived{Now: w.moment(), NameError: "field username: has U+200B", Request: wire.DriverRequest{
				MessageID: string(kind), EventType: kind, Username: user, CPID: &cp, Timestamp: wire.Seconds(w.now + 1),
			}})
			w.sync()
		}
		if a := w.mustAnswer(string(wire.DriverAuthorization)); a.Reason != wire.RefusedInvalid || a.Message != "field username: has U+200B" || a.Username != user {
			t.Errorf("%s: got %+v, want a refusal that names the fault", name, a)
		}
		want := wire.RefusedInvalid
		if charging {
			want = "stopping"
		}
		if a := w.mustAnswer(string(wire.DriverStop)); a.Reason != want {
			t.Errorf("%s: the stop is answered %+v, want %s", name, a, want)
		}
	}
}

// A client that sends unusable messages as fast as it can gets a few answers, the
// last of which states that no more follow; other drivers still get theirs.
func TestAFloodOfWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	bad := func(user charge.Username, n int) {
		w.step(orders.DriverRequestReceived{
			Now: w.moment(), Request: wire.DriverRequest{MessageID: fmt.Sprint(n), EventType: wire.DriverStop, Username: user}, InvalidReason: "field cp_id: is missing", LoggedAt: w.now,
		})
	}
	for n := range 1000 {
		bad("ana", n)
	}
	published := w.events(wire.CentralStopResponse, "ana")
	if len(published) != 30 || !strings.Contains(published[29].Message, "not answered") || len(w.requests) != 30 || w.refused[wire.RefusedInvalid] != 30 || w.refused[orders.Unanswered] != 970 {
		t.Errorf("answered %d times, kept %d, counted %v; want 30, 30, and 970 unanswered", len(published), len(w.requests), w.refused)
	}
	bad("ben", 1)
	w.asks("good", "ana", "")
	if a := w.mustAnswer("good"); len(w.events(wire.CentralStopResponse, "ben")) != 1 || a.Authorized == nil || !*a.Authorized {
		t.Errorf("another driver is answered %+v, and a usable message %+v", w.events(wire.CentralStopResponse, "ben"), a)
	}
	w.pass(60_000)
	bad("ana", 2000)
	if n := len(w.events(wire.CentralStopResponse, "ana")); n != 31 {
		t.Errorf("after a minute answered %d times, want once more", n)
	}
}

// A request that was too old for an answer is answered when its driver repeats it;
// the same log read again is not.
func TestTooOldThenRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	old := w.now - charge.Time((11 * time.Minute).Milliseconds())
	for range 2 {
		w.request("m-1", wire.DriverAuthorization, "ana", "", old)
		w.pass(5000)
		if a, ok := w.answer("m-1"); ok || len(w.reservations) != 0 {
			t.Fatalf("answered %+v with %d reservations, want silence", a, len(w.reservations))
		}
	}
	w.asks("m-1", "ana", "")
	if a := w.mustAnswer("m-1"); !*a.Authorized {
		t.Fatalf("got %+v, want the reservation", a)
	}
}

// A second request of the same driver, while the first is being decided.
func TestImpatientDriver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	w.asks("m-1", "ana", "")
	w.asks("m-1", "ana", "")
	w.pass(500)
	w.asks("m-2", "ana", "")
	w.pass(4000)
	one, two := w.mustAnswer("m-1"), w.mustAnswer("m-2")
	if !*one.Authorized || !*two.Authorized || one.ReservationID != two.ReservationID || one.CPID != "CP_2" {
		t.Fatalf("got %+v and %+v, want one reservation at CP_2", one, two)
	}
	if n := len(w.events(wire.CentralAuthorization, "ana")); n != 2 {
		t.Fatalf("answered %d times, want once per message", n)
	}
}

// A Central that has just started waits a little for charging points to connect
// before it answers that there are none.
func TestRequestAtTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		after charge.Time
		want  bool
	}{{1000, true}, {3000, true}, {4000, false}} {
		w := newWorld(t, 1, 1, orders.Config{})
		w.restart()
		w.live["CP_1"] = ledger.Offline
		w.asks("m-1", "ana", "")
		w.pass(tc.after)
		w.live["CP_1"] = ledger.Online
		w.pass(5000 - tc.after)
		if a := w.mustAnswer("m-1"); *a.Authorized != tc.want {
			t.Fatalf("connected after %d ms: got %+v", tc.after, a)
		}
	}
	w := newWorld(t, 1, 1, orders.Config{})
	w.pass(10_000)
	w.live["CP_1"] = ledger.Offline
	w.asks("m-1", "ana", "")
	if a := w.mustAnswer("m-1"); *a.Authorized {
		t.Fatalf("later it is refused at once: got %+v", a)
	}
}

// Requests of one driver that wait for charging points to connect get one
// reservation.
func TestImpatientAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 1, orders.Config{})
	w.restart()
	for id := range w.live {
		w.live[id] = ledger.Offline
	}
	for _, m := range []string{"m-1", "m-2", "m-3"} {
		w.asks(m, "ana", "")
	}
	for id := range w.live {
		w.live[id] = ledger.Online
	}
	w.pass(2000)
	if a, b, c := w.mustAnswer("m-1"), w.mustAnswer("m-2"), w.mustAnswer("m-3"); a.ReservationID == "" ||
		a.ReservationID != b.ReservationID || b.ReservationID != c.ReservationID {
		t.Fatalf("got %+v, %+v, %+v; want one reservation", a, b, c)
	}
}

// A Central that dies after it committed the request answers it in its next run.
func TestRequestOutlivesCentral(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		w := newWorld(t, 1, 1, orders.Config{})
		w.noCommands["CP_1"] = lost
		w.noRecords["CP_1"] = true
		w.asks("m-1", "ana", "")
		w.restart()
		w.noRecords["CP_1"] = false
		w.pass(5000)
		a := w.mustAnswer("m-1")
		if *a.Authorized == lost {
			t.Fatalf("lost %v: got %+v", lost, a)
		}
	}
}

// asksAt delivers a request that came into Kafka just now.
func (w *world) asksAt(q wire.DriverRequest, at charge.Time) {
	w.t.Helper()
	q.Timestamp = wire.Seconds(at)
	w.step(orders.DriverRequestReceived{Now: w.moment(), Request: q, LoggedAt: at, LoggedAfter: w.now - 500})
	w.sync()
}

// A driver's clock that is wrong by up to a minute, either way, has no effect on
// which session a stop ends; one that began later than that is another one.
func TestStopIsForSessionsBefore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		user    charge.Username
		late    charge.Time // how long after the start of the session the request was written, by the driver's clock
		stopped bool
	}{
		{"after the start", "ana", 1, true},
		{"by a clock that is a minute ahead", "ana", 62_000, true},
		{"by a clock that is a minute behind", "ana", -60_000, true},
		{"written more than a minute before it began", "ana", -60_001, false},
		{"of another driver", "eve", 1000, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			w.agents["CP_1"].plug(1, w.now)
			w.asks("m-1", "ana", "CP_1")
			began, cp := w.now, charge.CPID("CP_1")
			w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
			w.pass(2000)
			w.asksAt(wire.DriverRequest{MessageID: "m-3", EventType: wire.DriverStop, Username: tc.user, CPID: &cp}, began+tc.late)
			if got := w.outlet("CP_1", 1).Session == ""; got != tc.stopped {
				t.Fatalf("stopped: got %v, want %v; %+v", got, tc.stopped, w.mustAnswer("m-3"))
			}
		})
	}
}

// A driver's clock may be wrong by a minute either way for a request that certainly
// came into Kafka just now; there is no allowance for what may be a log that is
// read again.
func TestADriversClock(t *testing.T) {
	t.Parallel()
	const hour = 3_600_000
	for _, tc := range []struct {
		name  string
		late  charge.Time // by which the request was written, by the driver's clock
		after charge.Time // it came into Kafka less than that ago; -1: not known
		want  string      // "" authorized, "-" never answered
	}{
		{"right", 0, 500, ""},
		{"a minute behind, and a minute under way", 120_000, 60_000, ""},
		{"more than that", 120_001, 60_000, wire.RefusedStale},
		{"a minute ahead", -60_000, 500, ""},
		{"more than a minute ahead", -60_001, 500, wire.RefusedInvalid},
		{"hours behind", 5 * hour, 500, wire.RefusedStale},
		{"hours ahead", -5 * hour, 500, wire.RefusedInvalid},
		{"of 1970", morning, 500, wire.RefusedStale},
		{"a minute old in a log read again", 60_000, -1, ""},
		{"older than a minute in a log read again", 60_001, -1, wire.RefusedStale},
		{"older than a minute after Central was cut off", 60_001, 60_001, wire.RefusedStale},
		{"older than ten minutes in a log read again", 600_001, -1, "-"},
		{"older than ten minutes after Central was cut off", 600_001, hour, "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			e := orders.DriverRequestReceived{Now: w.moment(), LoggedAfter: w.now - tc.after, Request: wire.DriverRequest{
				MessageID: "1", EventType: wire.DriverAuthorization, Username: "ana", Timestamp: wire.Seconds(w.now - tc.late),
			}}
			if tc.after < 0 {
				e.LoggedAfter = 0
			}
			w.step(e)
			w.sync()
			a, answered := w.answer("1")
			switch {
			case answered != (tc.want != "-"):
				t.Errorf("answered: %v, with %+v", answered, a)
			case answered && (a.Reason != tc.want || *a.Authorized != (tc.want == "")):
				t.Errorf("got %+v, want reason %q", a, tc.want)
			}
		})
	}
}

// A request may name the session or the reservation it concerns, with or without
// the charging point.
func TestRequestsThatNameWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	cp, other := charge.CPID("CP_1"), charge.CPID("CP_2")
	set := func(t *testing.T) (w *world, sessions [3]charge.SessionID, reservations [3]charge.ReservationID) {
		t.Helper()
		w = newWorld(t, 2, 2, orders.Config{PerDriver: 2})
		for i := charge.ConnectorID(1); i <= 2; i++ {
			r := w.operator(orders.OperatorReserve{Target: orders.Target{CPID: cp, Connector: i}, Username: "ana"})
			w.agents[cp].plug(i, w.now)
			w.asksAt(wire.DriverRequest{MessageID: fmt.Sprint("s", i), EventType: wire.DriverStarted, Username: "ana", ReservationID: r.ReservationID}, w.now)
			a := w.mustAnswer(fmt.Sprint("s", i))
			if a.CPID != cp || a.Connector != i || a.SessionID == "" {
				t.Fatalf("the start by reservation %d is answered %+v", i, a)
			}
			sessions[i], reservations[i] = a.SessionID, r.ReservationID
		}
		if w.outlet(cp, 1).Session != sessions[1] || w.outlet(cp, 2).Session != sessions[2] {
			t.Fatalf("sessions: %q and %q", w.outlet(cp, 1).Session, w.outlet(cp, 2).Session)
		}
		return w, sessions, reservations
	}
	for name, tc := range map[string]struct {
		user charge.Username
		ask  func(*wire.DriverRequest, [3]charge.SessionID, [3]charge.ReservationID)
		left []charge.ConnectorID
	}{
		"the old form": {"ana", func(q *wire.DriverRequest, _ [3]charge.SessionID, _ [3]charge.ReservationID) { q.CPID = &cp }, nil},
		"a session": {"ana", func(q *wire.DriverRequest, s [3]charge.SessionID, _ [3]charge.ReservationID) {
			q.CPID, q.SessionID = &cp, s[2]
		}, []charge.ConnectorID{1}},
		"a session alone":     {"ana", func(q *wire.DriverRequest, s [3]charge.SessionID, _ [3]charge.ReservationID) { q.SessionID = s[1] }, []charge.ConnectorID{2}},
		"a reservation alone": {"ana", func(q *wire.DriverRequest, _ [3]charge.SessionID, r [3]charge.ReservationID) { q.ReservationID = r[1] }, []charge.ConnectorID{2}},
		"a session and the reservation of another": {"ana", func(q *wire.DriverRequest, s [3]charge.SessionID, r [3]charge.ReservationID) {
			q.SessionID, q.ReservationID = s[1], r[2]
		}, []charge.ConnectorID{1, 2}},
		"a session elsewhere": {"ana", func(q *wire.DriverRequest, s [3]charge.SessionID, _ [3]charge.ReservationID) {
			q.CPID, q.SessionID = &other, s[1]
		}, []charge.ConnectorID{1, 2}},
		"another driver's": {"eve", func(q *wire.DriverRequest, s [3]charge.SessionID, _ [3]charge.ReservationID) { q.SessionID = s[1] }, []charge.ConnectorID{1, 2}},
		"an unknown one":   {"ana", func(q *wire.DriverRequest, _ [3]charge.SessionID, _ [3]charge.ReservationID) { q.SessionID = "none" }, []charge.ConnectorID{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, sessions, reservations := set(t)
			w.pass(1000)
			q := wire.DriverRequest{MessageID: "e", EventType: wire.DriverStop, Username: tc.user}
			tc.ask(&q, sessions, reservations)
			w.asksAt(q, w.now)
			w.pass(1000)
			var left []charge.ConnectorID
			for i := charge.ConnectorID(1); i <= 2; i++ {
				if w.outlet(cp, i).Session != "" {
					left = append(left, i)
				}
			}
			a, want := w.mustAnswer("e"), "stopping"
			if len(tc.left) == 2 {
				want = "no_session"
			}
			if !slices.Equal(left, tc.left) || a.Reason != want || len(left) == 1 && a.SessionID != sessions[3-left[0]] {
				t.Errorf("still charging at %v, want %v; answered %+v", left, tc.left, a)
			}
		})
	}
	w := newWorld(t, 1, 1, orders.Config{})
	r := w.operator(orders.OperatorReserve{Target: orders.Target{CPID: cp, Connector: 1}, Username: "ana"})
	w.asksAt(wire.DriverRequest{MessageID: "x", EventType: wire.DriverStarted, Username: "eve", ReservationID: r.ReservationID}, w.now)
	if a := w.mustAnswer("x"); a.Reason != "not_reserved" {
		t.Errorf("a start by another's reservation is answered %+v", a)
	}
}

// A stop that comes before the plug ends the START that waits for it.
func TestStopBeforeThePlug(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.pass(1000)
	w.request("m-3", wire.DriverStop, "ana", "CP_1", w.now)
	w.pass(1000)
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if s := w.outlet("CP_1", 1).Session; s != "" {
		t.Fatalf("session %s began after it was stopped", s)
	}
}

func TestSimulatedFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	w.request("m-2", wire.DriverSimulateError, "", "CP_1", w.now)
	if got := w.CP("CP_1").Status(1, w.now); got != charge.StatusFaulted {
		t.Fatalf("status: got %s, want faulted", got)
	}
	ended := w.events(wire.CentralReservationEnded, "ana")
	if len(ended) != 1 || ended[0].Reason != "fault" || ended[0].Message == "" {
		t.Fatalf("reservation_ended: got %+v, want one by fault, in words", ended)
	}
	if got := w.events(wire.CentralFault, "ana"); len(got) != 1 || got[0].Message == "" {
		t.Fatalf("fault_raised to ana: got %+v, want one, in words", got)
	}
	w.request("m-3", wire.DriverFixError, "", "CP_1", w.now)
	if got := w.CP("CP_1").Status(1, w.now); got != charge.StatusAvailable {
		t.Fatalf("status: got %s, want available", got)
	}
}

// A fault that there is not is refused, with those that there are, and nothing
// happens. Without one it is the fault other.
func TestAnUnknownFaultIsRefused(t *testing.T) {
	t.Parallel()
	for _, what := range []wire.DriverEventType{wire.DriverSimulateError, wire.DriverFixError} {
		w := newWorld(t, 1, 1, orders.Config{})
		cp := charge.CPID("CP_1")
		w.step(orders.DriverRequestReceived{Now: w.moment(), Request: wire.DriverRequest{
			MessageID: "m-1", EventType: what, ClientID: "web", CPID: &cp, Error: "smoke", Timestamp: wire.Seconds(w.now),
		}})
		w.sync()
		a := w.mustAnswer("m-1")
		if a.Reason != wire.RefusedInvalid || !strings.Contains(a.Message, `error: "smoke"`) || !strings.Contains(a.Message, string(charge.FaultGroundFault)) {
			t.Errorf("%s: answered %+v", what, a)
		}
		if got := w.CP("CP_1").Status(1, w.now); got != charge.StatusAvailable {
			t.Errorf("%s: the status is %s", what, got)
		}
	}
}
