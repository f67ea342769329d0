package orders_test

import (
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

var one = orders.Target{CPID: "CP_1", Connector: 1}

func (w *world) ofType(t wire.CommandType) []wire.Command {
	return slices.DeleteFunc(slices.Clone(w.sent), func(c wire.Command) bool { return c.Type != t })
}

func (w *world) states(t wire.CommandType) []orders.CommandState {
	var list []orders.CommandState
	for _, c := range w.commands {
		if c.Type == t {
			list = append(list, c.State)
		}
	}
	slices.Sort(list)
	return list
}

// A command is sent after 0, 1, 2, 4, 8 … s with a new sent_at until its expiry,
// then a new one with another id is issued, for as long as its effect is desired.
func TestSendTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	start := w.now
	w.operator(orders.OperatorAvailability{Target: one, Available: false})
	w.pass(60_000)
	var at []charge.Time
	first := w.sent[0]
	for _, c := range w.sent {
		if c.ID == first.ID {
			at = append(at, c.SentAt-start)
		}
	}
	if want := []charge.Time{0, 1000, 2000, 4000, 8000, 16_000, 32_000}; !slices.Equal(at, want) {
		t.Fatalf("sent at %d, want %d", at, want)
	}
	if got := w.commands[first.ID].State; got != orders.Expired {
		t.Fatalf("the first order is %s, want expired", got)
	}
	if last := w.sent[len(w.sent)-1]; last.ID == first.ID || last.N <= first.N {
		t.Fatalf("not issued again: %+v", last)
	}
	w.noCommands["CP_1"] = false
	w.pass(60_000)
	if w.outlet("CP_1", 1).Available {
		t.Fatal("still available")
	}
	if got := w.states(wire.CommandSetAvailability); !slices.Equal(got, []orders.CommandState{orders.Done, orders.Expired}) {
		t.Fatalf("states: %v", got)
	}
}

// A charging point whose clock is ahead answers each command with expired. What stays
// desired is not sent to it each second, and is reached soon after its clock is right.
func TestAClockAheadIsNotSentACommandEachSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	a := w.withList("CP_1")
	a.ahead = time.Hour
	w.operator(orders.OperatorAvailability{Target: one, Available: false})
	w.issueCard(1, "anna")
	w.pass(120_000)
	for _, kind := range []wire.CommandType{wire.CommandSetAvailability, wire.CommandSetLocalList} {
		if n := len(w.ofType(kind)); n < 2 || n > 13 {
			t.Errorf("%d of %s in 2 min, want one each 10 s", n, kind)
		}
	}
	a.ahead = 0
	w.pass(11_000)
	if w.outlet("CP_1", 1).Available || len(a.list) != 1 {
		t.Errorf("available %v with %d cards, once its clock is right", w.outlet("CP_1", 1).Available, len(a.list))
	}
}

// What answers a person or a card is not repeated by Central, so one that expired
// refuses none after it.
func TestAnExpiredAnswerDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.agents["CP_1"].ahead = time.Hour
	w.issueCard(1, "anna")
	for range 2 {
		if got := w.tap(1); got == nil || !got.Allowed {
			t.Fatalf("a card is answered with %+v", got)
		}
		if r := w.operator(orders.OperatorSimulate{Target: one, Order: wire.Simulate{Action: wire.SimulatePlug}}); r.Refused != "" {
			t.Fatalf("refused: %s", r.Refused)
		}
		w.pass(100)
	}
}

// A clock that is set back must not lengthen the life of a command beyond the
// limit: such a command cannot even be encoded.
func TestClockSetBackBetweenSends(t *testing.T) {
	t.Parallel()
	c := orders.Command{
		ID: "c1", N: 1, Central: epoch(1), Journal: "j1", CPID: "CP_1", Connector: 1, Type: wire.CommandStop,
		Data: []byte(`{"session_id":"s1"}`), IssuedAt: 10_000_000, ExpiresAt: 10_060_000,
	}
	m := c.Message(c.IssuedAt - 300_000)
	if _, err := m.Encode(); err != nil {
		t.Fatal(err)
	}
	if m.Life() != wire.MaxCommandLife {
		t.Fatalf("lives %s, want %s", m.Life(), wire.MaxCommandLife)
	}
}

// A command is written until Kafka acknowledged it, however often it was tried, and
// sent from then on.
func TestACommandIsWrittenUntilKafkaHasIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	w.operator(orders.OperatorAvailability{Target: one, Available: false})
	id := w.sent[0].ID
	w.pass(5000)
	if c := w.commands[id]; c.State != orders.Written || c.SendCount < 4 {
		t.Fatalf("got %s after %d attempts, want written: Kafka does not have it", c.State, c.SendCount)
	}
	w.step(orders.CommandSent{Now: w.moment(), CPID: "CP_1", CommandID: id})
	since := w.now
	w.pass(5000)
	if c := w.commands[id]; c.State != orders.Sent || c.ChangedAt != since {
		t.Fatalf("got %s since %s, want sent since %s", c.State, c.ChangedAt, since)
	}
}

func TestLifeOfACommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noRecords["CP_1"] = true
	r := w.operator(orders.OperatorReserve{Target: one, Username: "ana"})
	id := w.sent[0].ID
	if got := w.commands[id].State; got != orders.Written {
		t.Fatalf("got %s, want written", got)
	}
	w.step(orders.CommandSent{Now: w.moment(), CPID: "CP_1", CommandID: id})
	if got := w.commands[id].State; got != orders.Sent {
		t.Fatalf("got %s, want sent", got)
	}
	if rr := w.reservations[r.ReservationID]; rr.ConfirmedAt != 0 {
		t.Fatal("confirmed without a record of the charging point")
	}
	w.noRecords["CP_1"] = false
	w.sync()
	if got := w.commands[id].State; got != orders.Done {
		t.Fatalf("got %s, want done", got)
	}
	if n := len(w.ofType(wire.CommandReserve)); n != 1 {
		t.Fatalf("sent %d times, want once", n)
	}
}

// Plug-in against expiry: the journal's order decides, and there is one outcome.
func TestExpiryAgainstPlugIn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		offset  charge.Time
		offline bool
		begins  bool
	}{
		{"1 ms before", -1, false, true},
		{"at the moment", 0, false, false},
		{"1 ms after", 1, false, false},
		{"1 ms before, received later", -1, true, true},
		{"at the moment, received later", 0, true, false},
		{"1 ms after, received later", 1, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, orders.Config{})
			w.asks("m-1", "ana", "")
			until := w.mustAnswer("m-1").ExpiresAt.Time()
			w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
			w.noRecords["CP_1"], w.noCommands["CP_1"] = tc.offline, tc.offline
			if tc.offline {
				w.live["CP_1"] = ledger.Offline
			}
			w.pass(until + tc.offset - w.now)
			w.agents["CP_1"].plug(1, w.now)
			w.pass(10_000)
			if got := w.CP("CP_1").Status(1, w.now); got == charge.StatusReserved {
				t.Fatal("still reserved past its end")
			}
			w.noRecords["CP_1"], w.noCommands["CP_1"] = false, false
			w.back("CP_1")
			w.pass(60_000)
			r := w.reservations[w.mustAnswer("m-1").ReservationID]
			session := w.outlet("CP_1", 1).Session
			switch {
			case tc.begins && (session == "" || r.Reason != orders.EndUsed || r.SessionID != session):
				t.Fatalf("session %q, reservation %+v; want it used", session, r)
			case !tc.begins && (session != "" || r.Reason != "expired"):
				t.Fatalf("session %q, reservation %+v; want it expired", session, r)
			case !r.Released:
				t.Fatalf("reservation is not gone: %+v", r)
			}
		})
	}
}

func TestStartWithoutPlugEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	r := w.operator(orders.OperatorStart{Target: one, Username: "ana"})
	if r.SessionID == "" {
		t.Fatalf("refused: %+v", r)
	}
	w.pass(121_000)
	if got := w.events(wire.CentralNotice, "ana"); len(got) != 1 || got[0].SessionID != r.SessionID {
		t.Fatalf("notices: got %+v, want one of the session that did not start", got)
	}
	w.agents["CP_1"].plug(1, w.now)
	w.pass(5000)
	if s := w.outlet("CP_1", 1).Session; s != "" {
		t.Fatalf("session %s began after its time", s)
	}
	if left := w.state.Desired("CP_1"); len(left) != 0 {
		t.Fatalf("still wanted: %+v", left)
	}
}

func TestRefusedStartIsNoLongerDesired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	w.agents["CP_1"].refuse = "faulted"
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.pass(30_000)
	if n := len(w.ofType(wire.CommandStart)); n != 1 {
		t.Fatalf("START sent %d times after it was rejected, want once", n)
	}
	if got := w.events(wire.CentralNotice, "ana"); len(got) < 2 || got[len(got)-1].Reason != "faulted" {
		t.Fatalf("notices: got %+v, want the refusal", got)
	}
}

// Stop of all, with one that is away and one that joins later; then resume.
func TestStopAllAndResumeAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 2, orders.Config{})
	w.agents["CP_1"].plug(1, w.now)
	w.operator(orders.OperatorStart{Target: one, Username: "ana"})
	w.asks("m-1", "eve", "CP_2")
	w.live["CP_3"], w.noCommands["CP_3"] = ledger.Offline, true
	w.operator(orders.OperatorAvailability{Available: false})
	if s := w.outlet("CP_1", 1).Session; s != "" {
		t.Fatal("the session still runs")
	}
	if got := w.events(wire.CentralReservationEnded, "eve"); len(got) != 1 || got[0].Reason != "unavailable" {
		t.Fatalf("reservation_ended: %+v", got)
	}
	if !w.outlet("CP_3", 1).Available {
		t.Fatal("the one that is away cannot know yet")
	}
	w.pass(600_000)
	w.noCommands["CP_3"] = false
	w.back("CP_3")
	if w.outlet("CP_3", 1).Available || w.outlet("CP_3", 2).Available {
		t.Fatal("the one that came back does not obey")
	}
	w.outlet("CP_2", 1).Available = true // its storage was replaced
	w.reboot("CP_2")
	if w.outlet("CP_2", 1).Available {
		t.Fatal("the one that restarted does not obey")
	}
	w.operator(orders.OperatorAvailability{Target: orders.Target{CPID: "CP_2"}, Available: true})
	if !w.outlet("CP_2", 1).Available || w.outlet("CP_1", 1).Available {
		t.Fatal("resuming one must resume that one")
	}
	w.restart()
	w.operator(orders.OperatorAvailability{Available: true})
	w.pass(5000)
	for id := range w.agents {
		if !w.outlet(id, 1).Available || !w.outlet(id, 2).Available {
			t.Fatalf("%s is not resumed", id)
		}
	}
}

// The opposite command is issued while the first one is still under way, although
// the reported availability is already as desired: the first one then has no
// effect when it arrives.
func TestStopAndResumeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.agents["CP_1"].plug(1, w.now)
	r := w.operator(orders.OperatorStart{Target: one, Username: "ana"})
	w.slow["CP_1"] = 3000
	w.operator(orders.OperatorAvailability{Target: one, Available: false})
	w.slow["CP_1"] = 0
	w.operator(orders.OperatorAvailability{Target: one, Available: true})
	w.pass(20_000)
	if o := w.outlet("CP_1", 1); !o.Available || o.Session != r.SessionID {
		t.Fatalf("got %+v, want session %s to go on", o, r.SessionID)
	}
}

// A command that is superseded again and again is not repeated without a pause.
func TestSupersededOrdersArePaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.agents["CP_1"].central = epoch(9998) // it obeys a higher one
	w.operator(orders.OperatorAvailability{Target: one, Available: false})
	w.pass(10_000)
	if n := len(w.ofType(wire.CommandSetAvailability)); n < 5 || n > 12 {
		t.Fatalf("ordered %d times in 10 s, want about one a second", n)
	}
}

// A State that is loaded again within one run continues with greater numbers,
// although all commands have ended, and the clock was ahead and is right again.
func TestNumbersGrowOverALoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	const ahead = charge.Time(3 * 24 * 3600 * 1000)
	w.now += ahead
	for range 3 {
		w.operator(orders.OperatorAvailability{Target: one, Available: false})
		w.operator(orders.OperatorAvailability{Target: one, Available: true})
		w.now++
	}
	w.now -= ahead
	w.load()
	w.asks("m-1", "ana", "")
	if a := w.mustAnswer("m-1"); !*a.Authorized {
		t.Fatalf("got %+v, want it authorized at once", a)
	}
	if slices.Contains(w.states(wire.CommandReserve), orders.Superseded) {
		t.Fatal("the order was superseded by one before")
	}
}

// A START waits until the RESERVE it names is confirmed, however that was lost.
func TestStartAfterALostReserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	w.operator(orders.OperatorReserve{Target: one, Username: "ana"})
	r := w.operator(orders.OperatorStart{Target: one, Username: "ana"})
	w.pass(6500)
	w.noCommands["CP_1"] = false
	w.pass(20_000)
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if s := w.outlet("CP_1", 1).Session; s != r.SessionID {
		t.Fatalf("session: got %q, want %s", s, r.SessionID)
	}
}

// A new boot ends all open commands, and new ones are issued for what is desired.
func TestNewBoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	w.noCommands["CP_1"] = true
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	before := w.ofType(wire.CommandStart)[0]
	w.noCommands["CP_1"] = false
	w.flying = nil
	w.reboot("CP_1")
	if got := w.commands[before.ID].State; got != orders.Superseded {
		t.Fatalf("the order for the boot before is %s, want superseded", got)
	}
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if w.outlet("CP_1", 1).Session == "" {
		t.Fatal("no new START was issued")
	}
}

// A boot on empty storage does not hold the reservation, which is still desired.
func TestReservationIsMadeAgainAfterABoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	w.outlet("CP_1", 1).Held = nil
	w.reboot("CP_1")
	if h := w.outlet("CP_1", 1).Held; h == nil || h.Username != "ana" {
		t.Fatalf("held: %+v, want ana's", h)
	}
}

// A Central restored from a backup adopts reservations that it does not know.
func TestAdoption(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	id := w.mustAnswer("m-1").ReservationID
	clear(w.reservations)
	clear(w.commands)
	clear(w.requests)
	w.restart()
	w.back("CP_1")
	r, ok := w.state.Reserved(one, w.now)
	if !ok || r.ID != id || !r.Adopted || r.Username != "ana" {
		t.Fatalf("got %+v, want %s adopted", r, id)
	}
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if w.reservations[id].Reason != orders.EndUsed {
		t.Fatalf("reservation: %+v, want used", w.reservations[id])
	}
}

func TestAdoptedStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noRecords["CP_1"] = true
	r := w.operator(orders.OperatorStart{Target: one, Username: "ana"})
	clear(w.desired)
	clear(w.commands)
	w.restart()
	w.noRecords["CP_1"] = false
	w.sync()
	got := w.state.Desired("CP_1")
	if len(got) != 1 || got[0].SessionID != r.SessionID || got[0].Kind != orders.DesiredStart {
		t.Fatalf("desired: got %+v, want the START adopted", got)
	}
	w.reboot("CP_1")
	w.agents["CP_1"].plug(1, w.now)
	w.sync()
	if s := w.outlet("CP_1", 1).Session; s != r.SessionID {
		t.Fatalf("session: got %q, want %s issued again", s, r.SessionID)
	}
}

func TestCancelByOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	id := w.mustAnswer("m-1").ReservationID
	w.request("m-2", wire.DriverStarted, "ana", "CP_1", w.now)
	w.operator(orders.OperatorCancel{ReservationID: id})
	if w.outlet("CP_1", 1).Held != nil || len(w.events(wire.CentralReservationEnded, "ana")) != 1 {
		t.Fatalf("not released, or not published once: %+v", w.published)
	}
	w.agents["CP_1"].plug(1, w.now)
	w.pass(5000)
	if s := w.outlet("CP_1", 1).Session; s != "" {
		t.Fatalf("session %s began after the cancel", s)
	}
	if got := w.operator(orders.OperatorCancel{ReservationID: id}); got.Refused != orders.RefusedReservationEnded {
		t.Fatalf("second cancel: %+v", got)
	}
}

func TestFencing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.step(orders.OtherCentralSeen{Now: w.moment(), Central: epoch(0)})
	if !w.state.FencedBy().IsZero() {
		t.Fatal("fenced by an earlier life")
	}
	w.step(orders.OtherCentralSeen{Now: w.moment(), Central: epoch(9999)})
	if w.state.FencedBy() != epoch(9999) || w.fence != epoch(9999) {
		t.Fatal("not fenced by a later life")
	}
	w.restart()
	if w.state.FencedBy() != epoch(9999) {
		t.Fatal("a new life that is smaller is not fenced")
	}
	w.asks("m-1", "ana", "")
	w.pass(10_000)
	if len(w.sent) != 0 || len(w.published) != 0 || w.state.NextDeadline() != 0 {
		t.Fatalf("a fenced Central sent %+v and published %+v", w.sent, w.published)
	}
	if got := w.operator(orders.OperatorReserve{Target: one, Username: "ana"}); got.Refused != orders.RefusedFenced {
		t.Fatalf("operator: %+v", got)
	}
	w.operator(orders.OperatorLiftFence{})
	w.asks("m-1", "ana", "") // the other Central may have served it
	if a := w.mustAnswer("m-1"); *a.Authorized || a.Reason != wire.RefusedStale || len(w.reservations) != 0 {
		t.Fatalf("a request of the time of the fence, repeated after the lift: %+v with %d reservations", a, len(w.reservations))
	}
	w.asks("m-2", "ana", "")
	if a := w.mustAnswer("m-2"); !*a.Authorized {
		t.Fatalf("after the lift: %+v", a)
	}
	w.fence = epoch(w.life) // of a run that ended
	w.restart()
	if w.state.FencedBy() != w.fence {
		t.Fatal("a restart lifted the fence")
	}
}

func TestOperatorRefusals(t *testing.T) {
	t.Parallel()
	nowhere := orders.Target{CPID: "CP_1", Connector: 7}
	for _, tc := range []struct {
		name   string
		before func(w *world)
		ask    orders.OperatorRequest
		want   string
	}{
		{"limit", func(w *world) { w.asks("m", "ana", "CP_2") }, orders.OperatorReserve{Target: one, Username: "ana"}, wire.RefusedLimit},
		{"busy", func(w *world) { w.asks("m", "eve", "CP_1") }, orders.OperatorReserve{Target: one, Username: "ana"}, wire.RefusedBusy},
		{"start on another's", func(w *world) { w.asks("m", "eve", "CP_1") }, orders.OperatorStart{Target: one, Username: "ana"}, wire.RefusedBusy},
		{"offline", func(w *world) { w.live["CP_1"] = ledger.Offline }, orders.OperatorStart{Target: one, Username: "ana"}, orders.RefusedOffline},
		{"unknown", func(*world) {}, orders.OperatorReserve{Target: orders.Target{CPID: "CP_9"}, Username: "ana"}, wire.RefusedUnknownCP},
		{"no session", func(*world) {}, orders.OperatorStop{SessionID: "s"}, orders.RefusedUnknownSession},
		{"no reservation", func(*world) {}, orders.OperatorCancel{ReservationID: "r"}, orders.RefusedUnknownReservation},
		{"availability of no connector", func(*world) {}, orders.OperatorAvailability{Target: nowhere}, orders.RefusedUnknownConnector},
		{"reserve no connector", func(*world) {}, orders.OperatorReserve{Target: nowhere, Username: "ana"}, orders.RefusedUnknownConnector},
		{"start at no connector", func(*world) {}, orders.OperatorStart{Target: nowhere, Username: "ana"}, orders.RefusedUnknownConnector},
		{"charge, limit", func(w *world) { w.asks("m", "ana", "CP_2") }, orders.OperatorCharge{Target: one, Username: "ana"}, wire.RefusedLimit},
		{"charge, busy", func(w *world) { w.asks("m", "eve", "CP_1") }, orders.OperatorCharge{Target: one, Username: "ana"}, wire.RefusedBusy},
		{"charge at no connector", func(*world) {}, orders.OperatorCharge{Target: nowhere, Username: "ana"}, orders.RefusedUnknownConnector},
		{"simulate no connector", func(*world) {}, orders.OperatorSimulate{Target: nowhere, Order: wire.Simulate{Action: wire.SimulatePlug}}, orders.RefusedUnknownConnector},
		{"real hardware", func(w *world) { w.CP("CP_1").Simulated = false }, orders.OperatorSimulate{Target: one, Order: wire.Simulate{Action: wire.SimulatePlug}}, orders.RefusedNotSimulated},
		{"any", func(*world) {}, orders.OperatorReserve{Username: "ana"}, ""},
		{"plug", func(*world) {}, orders.OperatorSimulate{Target: one, Order: wire.Simulate{Action: wire.SimulatePlug}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, 1, orders.Config{})
			tc.before(w)
			if got := w.operator(tc.ask); got.Refused != tc.want {
				t.Fatalf("got %+v, want %q", got, tc.want)
			}
		})
	}
}

// Withdrawing the admission ends the reservation at once.
func TestAdmissionWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.asks("m-1", "ana", "")
	ledger.Admit(w.CP("CP_1"), false)
	w.operator(orders.OperatorAdmitted{CPID: "CP_1", Admitted: false})
	if got := w.events(wire.CentralReservationEnded, "ana"); len(got) != 1 || got[0].Reason != "cancelled" {
		t.Fatalf("reservation_ended: %+v", got)
	}
	if w.outlet("CP_1", 1).Held != nil {
		t.Fatal("still held")
	}
}

// A charging point that never responds again leaves nothing that waits for ever.
func TestDeadPointLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1, orders.Config{})
	w.noCommands["CP_1"] = true
	w.asks("m-1", "ana", "")
	w.operator(orders.OperatorStart{Target: one, Username: "eve"})
	w.operator(orders.OperatorSimulate{Target: one, Order: wire.Simulate{Action: wire.SimulatePlug}})
	w.pass(3_600_000)
	if d := w.state.NextDeadline(); d != 0 {
		t.Fatalf("something waits for ever: due at %s: %+v %+v", d, w.state.Desired("CP_1"), w.state.Commands("CP_1"))
	}
}

// A charging point that does not end a reservation by itself gets a
// CANCEL_RESERVATION, whether Central knows the reservation or not.
func TestHeldBeyondItsEnd(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		w := newWorld(t, 1, 1, orders.Config{})
		w.asks("m-1", "ana", "")
		if !known {
			clear(w.reservations)
			clear(w.requests)
			w.restart()
		}
		w.agents["CP_1"].until[1] = charge.MaxTime // its timer is broken
		w.pass(15*60_000 + 29_000)
		if !known {
			w.back("CP_1")
		}
		if w.outlet("CP_1", 1).Held == nil {
			t.Fatalf("known %v: cancelled before its own record could arrive", known)
		}
		w.pass(2000)
		if h := w.outlet("CP_1", 1).Held; h != nil {
			t.Fatalf("known %v: still held: %+v", known, h)
		}
		w.pass(3_600_000)
		if d := w.state.NextDeadline(); d != 0 {
			t.Fatalf("known %v: something waits for ever: due at %s", known, d)
		}
	}
}

func TestActiveEndsAtItsMoment(t *testing.T) {
	t.Parallel()
	r := orders.Reservation{Until: morning}
	for at, want := range map[charge.Time]bool{morning - 1: true, morning: false, morning + 1: false} {
		if got := r.Active(at); got != want {
			t.Errorf("at %d ms: active %v, want %v", at-morning, got, want)
		}
	}
}
