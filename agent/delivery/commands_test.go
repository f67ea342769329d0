package delivery_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	theCP   charge.CPID      = "CP_001"
	theBoot charge.JournalID = "boot"
)

// order is a command for connector 1 of this boot that lives 30 s.
func order(id charge.CommandID, n uint64, o wire.Order) wire.Command {
	data, err := wire.EncodeOrder(o)
	if err != nil {
		panic(err)
	}
	return wire.Command{
		V: 1, ID: id, N: n, Central: epoch(1), Journal: theBoot, CPID: theCP, Connector: 1, Type: o.CommandType(),
		IssuedAt: 1_000_000, SentAt: 1_000_000, ExpiresAt: 1_030_000, Data: data,
	}
}

func raw(t interface {
	Helper()
	Fatal(args ...any)
}, c wire.Command,
) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reserve(id charge.ReservationID) wire.Order {
	return &wire.Reserve{ReservationID: id, Username: "anna", Until: 2_000_000}
}

func start(id charge.SessionID) wire.Order { return &wire.Start{SessionID: id, Username: "anna"} }

func stop(id charge.SessionID) wire.Order { return &wire.Stop{SessionID: id} }

func cancel(id charge.ReservationID) wire.Order { return &wire.CancelReservation{ReservationID: id} }

func TestDecide(t *testing.T) {
	change := func(c wire.Command, f func(*wire.Command)) wire.Command { f(&c); return c }
	base := order("id1", 5, start("s1"))
	type step struct {
		cmd    wire.Command
		after  time.Duration // between receipt and judgement
		wall   charge.Time
		clock  charge.ClockQuality
		want   delivery.VerdictKind
		reason string
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"runs", []step{{cmd: base, want: delivery.Run}}},
		{"again", []step{{cmd: base, want: delivery.Run}, {cmd: base, want: delivery.Known}}},
		{"again with a fresh sent_at", []step{
			{cmd: base, want: delivery.Run},
			{cmd: change(base, func(c *wire.Command) { c.SentAt += 4000 }), want: delivery.Known},
		}},
		{"of another boot", []step{{cmd: change(base, func(c *wire.Command) { c.Journal = "older" }), want: delivery.OtherBoot}}},
		{"of another charging point", []step{{cmd: change(base, func(c *wire.Command) { c.CPID = "CP_002" }), want: delivery.OtherBoot}}},
		{"of another boot does not count as received", []step{
			{cmd: change(base, func(c *wire.Command) { c.Journal, c.Central, c.N = "older", epoch(9), 99 }), want: delivery.OtherBoot},
			{cmd: base, want: delivery.Run},
		}},
		{"older than the last", []step{
			{cmd: base, want: delivery.Run},
			{cmd: order("id2", 4, stop("s9")), want: delivery.Superseded, reason: "superseded"},
			{cmd: order("id3", 5, stop("s9")), want: delivery.Superseded, reason: "superseded"},
			{cmd: order("id3", 5, stop("s9")), want: delivery.Known},
			{cmd: order("id4", 6, stop("s9")), want: delivery.Run},
		}},
		{"connectors count apart", []step{
			{cmd: base, want: delivery.Run},
			{cmd: change(order("id2", 1, start("s2")), func(c *wire.Command) { c.Connector = 2 }), want: delivery.Run},
			{cmd: change(order("id3", 1, start("s3")), func(c *wire.Command) { c.Connector = 0 }), want: delivery.Run},
		}},
		{"a later Central counts from the start", []step{
			{cmd: base, want: delivery.Run},
			{cmd: change(order("id2", 1, stop("s2")), func(c *wire.Command) { c.Central = epoch(2) }), want: delivery.Run},
			{cmd: order("id3", 9, stop("s3")), want: delivery.Superseded, reason: "superseded"},
		}},
		{"a cancel is not overtaken by its reserve", []step{
			{cmd: order("id2", 6, cancel("r1")), want: delivery.Run},
			{cmd: order("id1", 5, reserve("r1")), want: delivery.Superseded, reason: "superseded"},
			{cmd: order("id3", 7, reserve("r1")), want: delivery.Superseded, reason: "ended"},
			{cmd: order("id4", 8, reserve("r2")), want: delivery.Run},
		}},
		{"a stop is not overtaken by its start", []step{
			{cmd: order("id2", 6, stop("s1")), want: delivery.Run},
			{cmd: order("id3", 7, start("s1")), want: delivery.Superseded, reason: "ended"},
		}},
		{"a start for a cancelled reservation", []step{
			{cmd: order("id2", 6, cancel("r1")), want: delivery.Run},
			{cmd: order("id3", 7, &wire.Start{SessionID: "s1", Username: "anna", ReservationID: "r1"}), want: delivery.Superseded, reason: "ended"},
		}},
		{"waited to the last moment", []step{{cmd: base, after: 30*time.Second - 1, want: delivery.Run}}},
		{"waited too long", []step{{cmd: base, after: 30 * time.Second, want: delivery.Expired, reason: "expired"}}},
		{"expired once, not run later", []step{
			{cmd: base, after: 30 * time.Second, want: delivery.Expired, reason: "expired"},
			{cmd: base, want: delivery.Known},
		}},
		{"an expired cancel still comes after its reserve", []step{
			{cmd: order("id2", 6, cancel("r1")), after: time.Minute, want: delivery.Expired, reason: "expired"},
			{cmd: order("id1", 5, reserve("r1")), want: delivery.Superseded, reason: "superseded"},
		}},
		{"a reservation is asked for 5 s at most", []step{{cmd: order("id1", 5, reserve("r1")), after: 5 * time.Second, want: delivery.Expired, reason: "expired"}}},
		{"sent at its end", []step{{cmd: change(base, func(c *wire.Command) { c.SentAt = c.ExpiresAt }), want: delivery.Expired, reason: "expired"}}},
		{"a synced clock 30 s beyond", []step{{cmd: base, wall: base.ExpiresAt + 30_000, clock: charge.ClockSynced, want: delivery.Run}}},
		{"a synced clock further beyond", []step{{cmd: base, wall: base.ExpiresAt + 30_001, clock: charge.ClockSynced, want: delivery.Expired, reason: "expired"}}},
		{"a clock that was only set", []step{{cmd: base, wall: base.ExpiresAt + 999_999, clock: charge.ClockSet, want: delivery.Run}}},
		{"data that cannot be read", []step{
			{cmd: change(base, func(c *wire.Command) { c.Data = json.RawMessage(`{"session_id":7}`) }), want: delivery.Malformed, reason: "malformed"},
			{cmd: base, want: delivery.Known},
		}},
		{"a type of a later version", []step{{cmd: change(base, func(c *wire.Command) { c.Type = "DANCE" }), want: delivery.Run}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := delivery.NewCommands(theCP, theBoot)
			for i, s := range tc.steps {
				received := time.Hour
				v := c.Decide(delivery.Receipt{Raw: raw(t, s.cmd), Received: received, At: received + s.after, Wall: s.wall, Clock: s.clock})
				if v.Kind != s.want || v.Reason != s.reason {
					t.Errorf("command %d is %s %q, want %s %q", i, v.Kind, v.Reason, s.want, s.reason)
				}
				if v.Kind == delivery.Run && v.Deadline != received+min(30*time.Second, map[bool]time.Duration{true: wire.ReserveLife, false: time.Hour}[s.cmd.Type == wire.CommandReserve]) {
					t.Errorf("command %d must take effect until %s", i, v.Deadline)
				}
			}
		})
	}
}

func TestDecideCountsMalformedCommands(t *testing.T) {
	c := delivery.NewCommands(theCP, theBoot)
	for _, bad := range []string{"", "{", "[]", `{"v":1}`, `{"v":1,"v":1}`} {
		if v := c.Decide(delivery.Receipt{Raw: []byte(bad)}); v.Kind != delivery.Malformed || v.Err == nil || v.Command.ID != "" {
			t.Errorf("%q: got %s, err %v, id %q; want malformed with an error and without an id", bad, v.Kind, v.Err, v.Command.ID)
		}
	}
	if c.Counts.Received != 5 || c.Counts.By[delivery.Malformed] != 5 || c.Counts.Refused() != 5 {
		t.Errorf("counted %+v, want 5 malformed", c.Counts)
	}
}

func TestWhatHasEndedDoesNotComeBack(t *testing.T) {
	c := delivery.NewCommands(theCP, theBoot)
	c.EndSession("s1")
	c.EndReservation("r1")
	for i, o := range []wire.Order{start("s1"), reserve("r1")} {
		v := c.Decide(delivery.Receipt{Raw: raw(t, order(charge.CommandID(fmt.Sprint("id", i)), uint64(i+1), o))})
		if v.Kind != delivery.Superseded || v.Reason != "ended" {
			t.Errorf("%T is %s %q, want superseded, ended", o, v.Kind, v.Reason)
		}
	}
}

// TestAForgottenIDStillDoesNotRun floods the memory and then repeats the first
// command: its n refuses it.
func TestAForgottenIDStillDoesNotRun(t *testing.T) {
	c := delivery.NewCommands(theCP, theBoot)
	first := raw(t, order("first", 1, start("s1")))
	c.Decide(delivery.Receipt{Raw: first})
	for i := range 5000 {
		if v := c.Decide(delivery.Receipt{Raw: raw(t, order(charge.CommandID(fmt.Sprint("id", i)), uint64(i+2), stop("x")))}); v.Kind != delivery.Run {
			t.Fatalf("command %d is %s", i, v.Kind)
		}
	}
	if v := c.Decide(delivery.Receipt{Raw: first}); v.Kind != delivery.Superseded {
		t.Errorf("the first command again is %s, want superseded", v.Kind)
	}
}

// TestCommandsRunOnceAndInTime sends the commands of several epochs of
// Central through a transport that repeats, reorders and delays.
func TestCommandsRunOnceAndInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := delivery.NewCommands(theCP, theBoot)
		var sent []wire.Command
		n := map[string]uint64{}
		ran := map[charge.CommandID]bool{}
		latest := map[charge.ConnectorID]wire.Command{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(sent) == 0 || rapid.Bool().Draw(t, "new") {
				cmd := order(charge.CommandID(fmt.Sprint("id", i)), 1, stop("s"))
				cmd.Central = epoch(rapid.SampledFrom([]int{1, 9, 10}).Draw(t, "central"))
				cmd.Connector = charge.ConnectorID(rapid.IntRange(0, 2).Draw(t, "connector"))
				key := fmt.Sprint(cmd.Central, cmd.Connector)
				n[key]++
				cmd.N = n[key]
				sent = append(sent, cmd)
			}
			cmd := rapid.SampledFrom(sent).Draw(t, "arrives")
			waited := time.Duration(rapid.IntRange(0, 40).Draw(t, "waited")) * time.Second
			v := c.Decide(delivery.Receipt{Raw: raw(t, cmd), At: waited})
			if v.Kind != delivery.Run {
				continue
			}
			before := latest[cmd.Connector]
			switch {
			case ran[cmd.ID]:
				t.Fatalf("%s ran twice", cmd.ID)
			case waited >= cmd.Life():
				t.Fatalf("%s ran %s after its receipt", cmd.ID, waited)
			case cmd.Central.Less(before.Central), cmd.Central == before.Central && cmd.N <= before.N:
				t.Fatalf("%s ran after %s", cmd.ID, before.ID)
			}
			ran[cmd.ID], latest[cmd.Connector] = true, cmd
		}
	})
}
