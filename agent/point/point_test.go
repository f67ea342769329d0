package point_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/class"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestARecordFromTheMeterToTheWire follows the grant of a session.
func TestARecordFromTheMeterToTheWire(t *testing.T) {
	r := start(t, 1, nil)
	r.step(point.Connected{Conn: 1})
	if f, ok := r.effects[0].(point.PublishPresence); !ok || f.Conn != 1 || f.Presence.Last == nil || f.Presence.Last.Seq != 1 {
		t.Fatalf("a connection begins with %+v, want the presence", r.effects[0])
	}
	if f, ok := has[point.Send](r); !ok || f != (point.Send{Conn: 1, First: 1, Last: 1}) {
		t.Errorf("record 1 is not sent behind it: %+v", r.effects)
	}
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotC})
	r.settled()
	r.order(1, &wire.Start{SessionID: "s1", Username: "driver1"})
	if f, ok := has[point.ReadMeter](r); !ok || f.Connector != 1 {
		t.Fatalf("a START gives %+v, want a reading of the meter", r.effects)
	}
	r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
	if r.batch == nil || r.batch.Class != class.Final {
		t.Fatalf("the grant is not appended: %+v", r.effects)
	}
	if _, early := has[point.Permit](r); early {
		t.Fatal("power is permitted before the grant is durable")
	}
	acked := r.records[0]
	r.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(1), Journal: &acked.Journal, Seq: 2}, Live: true})
	r.written()
	if f, ok := has[point.Permit](r); !ok || f != (point.Permit{Connector: 1, Session: "s1"}) {
		t.Errorf("a durable grant gives %+v, want the permission", r.effects)
	}
	if f, ok := has[point.SavePosition](r); !ok || f.Index != 2 {
		t.Errorf("the position waited for the disk, and is not saved then: %+v", r.effects)
	}
	if f, ok := has[point.Send](r); !ok || f.First != 4 {
		t.Errorf("it is not sent: %+v", r.effects)
	}
}

// TestOpeningWaitsForNothing: not for a batch that is under way, and before all
// else in its step.
func TestOpeningWaitsForNothing(t *testing.T) {
	r := start(t, 2, nil)
	r.charging()
	r.step(point.LocalStop{Connector: 2})
	r.step(point.PilotChanged{Connector: 2, Pilot: charge.PilotB})
	if r.batch == nil {
		t.Fatal("the disk has nothing to do")
	}
	r.step(point.FaultSeen{Connector: 1, Fault: charge.FaultGroundFault})
	if r.effects[0] != (point.OpenContactor{Connector: 1}) {
		t.Errorf("a fault gives %+v first, want an open contactor", r.effects[0])
	}
	r.settled()
	r.step(point.ContactChanged{Connector: 1, Closed: false})
	r.order(0, &wire.SetAvailability{Available: false})
	r.settled()
	if s := r.story(); !strings.HasSuffix(s, "command_accepted SET_AVAILABILITY_done") {
		t.Errorf("one acceptance and one result are wanted: %s", s)
	}
}

// TestBatches: one is under way, all that waits goes with the next one, and a
// final record lends its class to those before it.
func TestBatches(t *testing.T) {
	r := start(t, 1, nil)
	r.charging()
	for wh := charge.WattHours(1100); wh <= 1300; wh += 100 {
		r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: wh}})
	}
	if n := len(r.batch.Records); n != 1 || r.batch.Class != class.Sample {
		t.Fatalf("%d records of class %d are under way, want the first sample", n, r.batch.Class)
	}
	r.step(point.FaultSeen{Connector: 1, Fault: charge.FaultOther})
	r.written()
	if n := len(r.batch.Records); n != 4 || r.batch.Class != class.Final {
		t.Errorf("%d records of class %d are next, want two samples, the fault and the status in the class of the fault", n, r.batch.Class)
	}
	r.settled()
	for range 600 {
		r.step(point.PowerWithheld{Connector: 1, Reason: "x"})
		r.order(1, &wire.Unlock{})
	}
	r.written()
	if n := len(r.batch.Records); n != 256 {
		t.Errorf("%d records are in one batch, want 256", n)
	}
}

// TestFullDisk: samples are dropped; others wait for a second, or for one that
// may use more space; without space for the end of a session there is no power.
func TestFullDisk(t *testing.T) {
	r := start(t, 1, nil)
	r.charging()
	r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1100}})
	r.refused(true)
	if v := r.core.View(); v.Dropped != 1 || v.LacksSpace || r.batch != nil {
		t.Fatalf("a sample waits: %+v", v)
	}
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotB}) // suspended: normal
	r.refused(true)
	if v := r.core.View(); !v.LacksSpace || !v.Full || v.Blocked {
		t.Errorf("after a normal record: %+v", v)
	}
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotC})
	if r.batch != nil {
		t.Error("a record of the same class is tried before the second is over")
	}
	r.order(1, &wire.Reserve{ReservationID: "r1", Username: "u", Until: r.now().Wall.Add(time.Minute)})
	if r.batch == nil || r.batch.Class != class.Final {
		t.Fatal("a final record is not tried at once")
	}
	r.refused(true)
	if r.effects[0] != (point.OpenContactor{Connector: 1}) || !r.core.View().Blocked {
		t.Fatalf("power flows while nothing can be recorded: %+v", r.effects)
	}
	if f, ok := has[point.SetTimer](r); !ok || f.At != r.at+time.Second {
		t.Errorf("it is tried again at %v, want in a second", f.At)
	}
	r.at += time.Second
	r.step(point.TimerFired{})
	// What waits may be much, and all of it is encoded for each try.
	if n := len(r.batch.Records); n != 2 {
		t.Errorf("%d records try a full disk, want the 2 of one job", n)
	}
	r.refused(true)
	r.at += time.Second
	r.step(point.TimerFired{})
	r.written()
	if r.batch == nil || len(r.batch.Records) < 2 {
		t.Errorf("there is space, and the next batch is %+v, want all that waits", r.batch)
	}
	r.settled()
	if v := r.core.View(); v.LacksSpace || v.Blocked || !v.Connectors[0].Faults.Empty() {
		t.Errorf("there is space again: %+v", v)
	}
	if s := r.story(); strings.Contains(s, "meter_read") || !strings.Contains(s, "charging_suspended") || !strings.Contains(s, "charging_stopped") && r.connector(1).Session.Ending.Reason == "" {
		t.Error(s)
	}
	if full := r.core.View().Full; !full {
		t.Error("a session may start before the space was checked again")
	}
	r.step(point.DiskChecked{Held: r.held(), Permille: 899})
	if r.core.View().Full {
		t.Error("no session may start although there is space")
	}
	r.step(point.DiskChecked{Held: r.held(), Permille: 900})
	if !r.core.View().Full {
		t.Error("a session may start in the last tenth")
	}
}

// TestAJournalThatFails: every contactor opens, and nothing more is written.
func TestAJournalThatFails(t *testing.T) {
	r := start(t, 2, nil)
	r.charging()
	r.step(point.PilotChanged{Connector: 2, Pilot: charge.PilotB})
	r.refused(false)
	if !slices.Contains(r.effects, point.Effect(point.OpenContactor{Connector: 1})) || !slices.Contains(r.effects, point.Effect(point.OpenContactor{Connector: 2})) {
		t.Errorf("not all open: %+v", r.effects)
	}
	r.step(point.PilotChanged{Connector: 2, Pilot: charge.PilotA})
	if r.batch != nil {
		t.Error("a journal that failed is given more records")
	}
}

// TestWhatTheDiskHoldsOnlyAdvances: an account that comes late changes nothing, and
// what is deleted is not sent.
func TestWhatTheDiskHoldsOnlyAdvances(t *testing.T) {
	r := start(t, 1, nil)
	late := r.held()
	r.charging()
	r.step(point.Connected{Conn: 1})
	r.step(point.DiskChecked{Held: late})
	if v := r.core.View(); v.Held.Last() != delivery.Index(len(r.records)) {
		t.Errorf("the disk holds up to %d by a late account, want %d", v.Held.Last(), len(r.records))
	}
	h := r.held()
	h.Ranges[0].First, h.Ranges[0].Index = 3, 3
	r.step(point.DiskChecked{Held: h})
	if f, ok := has[point.PublishPresence](r); !ok || f.Presence.First.Seq != 3 {
		t.Errorf("records are deleted: %+v, want a presence that states it", r.effects)
	}
	if d := r.core.View().Delivery; d.Acked != 2 {
		t.Errorf("what is deleted is still to be acknowledged: %d", d.Acked)
	}
}

// unknown is an order of a type that this build does not know.
type unknown struct{ wire.Unlock }

// CommandType implements wire.Order.
func (*unknown) CommandType() wire.CommandType { return "UNKNOWN" }

func TestCommands(t *testing.T) {
	const ahead charge.Time = 1_799_000_000_000
	for _, row := range []struct {
		name  string
		n     charge.ConnectorID
		order wire.Order
		want  string
	}{
		{"unsupported", 1, &unknown{}, "UNKNOWN_rejected_unsupported"},
		{"unsupported, whichever connector", 9, &unknown{}, "UNKNOWN_rejected_unsupported"},
		{"reset of one", 2, &wire.Reset{}, "command_accepted RESET_done"},
		{"reset of all", 0, &wire.Reset{}, "command_accepted RESET_done"},
		{"unlock without a lock", 2, &wire.Unlock{}, "UNLOCK_rejected_no_lock"},
		{"unlock of all", 0, &wire.Unlock{}, "UNLOCK_rejected_unknown_connector"},
		{"identify all", 0, &wire.Identify{}, "command_accepted IDENTIFY_done"},
		{"identify nowhere", 3, &wire.Identify{}, "IDENTIFY_rejected_unknown_connector"},
		{"no connector", 0, &wire.Stop{SessionID: "s"}, "STOP_rejected_unknown_connector"},
		{"unknown connector", 3, &wire.Stop{SessionID: "s"}, "STOP_rejected_unknown_connector"},
		{"connector", 2, &wire.Stop{SessionID: "s"}, "STOP_done_already_ended"},
		{"availability of one", 2, &wire.SetAvailability{}, "command_accepted SET_AVAILABILITY_done"},
		{"availability of all", 0, &wire.SetAvailability{}, "command_accepted SET_AVAILABILITY_done"},
		{"limit of one", 2, &wire.SetLimit{Limit: 8_000, Until: ahead}, "command_accepted SET_LIMIT_done"},
		{"limit of all", 0, &wire.SetLimit{Limit: 8_000, Until: ahead}, "command_accepted SET_LIMIT_done"},
		{"limit of none", 3, &wire.SetLimit{Limit: 8_000, Until: ahead}, "SET_LIMIT_rejected_unknown_connector"},
		{"limit that is over", 1, &wire.SetLimit{Limit: 8_000, Until: 1}, "SET_LIMIT_expired_expired"},
		{"simulate nowhere", 0, &wire.Simulate{Action: wire.SimulatePlug}, "SIMULATE_rejected_unknown_connector"},
		{"tap without a card", 2, &wire.Simulate{Action: wire.SimulateTap}, "SIMULATE_rejected_malformed"},
		{"simulate", 2, &wire.Simulate{Action: wire.SimulatePlug}, "command_accepted SIMULATE_failed_broken"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := start(t, 2, nil)
			r.order(row.n, row.order)
			if f, ok := has[point.Operate](r); ok {
				r.step(point.Operated{Operation: f.Operation, Failure: "broken"})
			}
			r.settled()
			if got := strings.TrimPrefix(r.story(), "cp_registered "); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
	t.Run("no lights", func(t *testing.T) {
		for _, row := range []struct {
			lights []bool
			n      charge.ConnectorID
			done   bool
		}{
			{nil, 0, false},
			{nil, 1, false},
			{[]bool{false, true}, 0, true},
			{[]bool{false, true}, 1, false},
			{[]bool{false, true}, 2, true},
		} {
			r := start(t, 2, func(c *point.Config, _ *point.Recovered) { c.Lights = row.lights })
			r.order(row.n, &wire.Identify{})
			r.settled()
			want := "IDENTIFY_rejected_no_lights"
			if row.done {
				want = "IDENTIFY_done"
			}
			if s := r.story(); !strings.HasSuffix(s, want) {
				t.Errorf("lights %v, connector %d: got %s, want %s", row.lights, row.n, s, want)
			}
		}
	})
	t.Run("real hardware", func(t *testing.T) {
		r := start(t, 1, func(c *point.Config, _ *point.Recovered) { c.Simulated = false })
		r.order(1, &wire.Simulate{Action: wire.SimulatePlug})
		r.settled()
		if s := r.story(); !strings.HasSuffix(s, "SIMULATE_rejected_not_simulated") {
			t.Error(s)
		}
	})
	t.Run("once, for this boot, and not for what has ended", func(t *testing.T) {
		r := start(t, 1, nil)
		r.charging()
		r.step(point.LocalStop{Connector: 1})
		r.step(point.ContactChanged{Connector: 1})
		r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
		r.settled()
		before := len(r.records)
		r.command(1, &wire.Unlock{}, "c1", theBoot)
		r.command(1, &wire.Unlock{}, "other", "boot0")
		if r.settled(); len(r.records) != before {
			t.Errorf("a known command and one of another boot are recorded: %s", r.story())
		}
		r.order(1, &wire.Start{SessionID: "s1", Username: "driver1"})
		r.settled()
		if s := r.story(); !strings.HasSuffix(s, "charging_stopped START_rejected_ended") {
			t.Error(s)
		}
	})
}

// TestTheEnd: Ended when all is open and durable, Drained when Central has it.
func TestTheEnd(t *testing.T) {
	r := start(t, 1, nil)
	r.charging()
	r.step(point.Shutdown{})
	if r.effects[0] != (point.OpenContactor{Connector: 1}) {
		t.Fatalf("a shutdown gives %+v", r.effects)
	}
	r.settled()
	r.step(point.ContactChanged{Connector: 1})
	r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
	if _, early := has[point.Ended](r); early {
		t.Error("it has ended before the last record is durable")
	}
	r.written()
	_, ended := has[point.Ended](r)
	_, drained := has[point.Drained](r)
	if !ended || drained {
		t.Fatalf("ended %t, drained %t: %+v", ended, drained, r.effects)
	}
	boot := theBoot
	r.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(1), Journal: &boot, Seq: charge.Seq(len(r.records))}, Live: true})
	if _, drained = has[point.Drained](r); !drained {
		t.Errorf("all is acknowledged: %+v", r.effects)
	}
	r.step(point.TimerFired{})
	if _, again := has[point.Drained](r); again {
		t.Error("it is drained twice")
	}
}

// TestTelemetry: in its interval, which a session shortens, and only while there
// is a connection.
func TestTelemetry(t *testing.T) {
	r := start(t, 1, nil)
	count := func(d time.Duration) (n int) {
		for end := r.at + d; r.at < end; {
			r.at += 100 * time.Millisecond
			r.step(point.TimerFired{})
			if _, some := has[point.PublishTelemetry](r); some {
				n++
			}
		}
		return n
	}
	if n := count(2 * time.Minute); n != 0 {
		t.Errorf("%d without a connection", n)
	}
	r.step(point.Connected{Conn: 1})
	if n := count(10 * time.Minute); n != 10 {
		t.Errorf("%d in 10 minutes, want one a minute", n)
	}
	r.charging()
	count(2 * time.Minute) // the interval under way ends first
	if n := count(time.Minute); n < 59 || n > 61 {
		t.Errorf("%d in a minute of a session, want 60", n)
	}
	r.step(point.Disconnected{Conn: 7})
	if n := count(2 * time.Second); n != 2 {
		t.Error("the end of another connection counts")
	}
	r.step(point.Disconnected{Conn: 1})
	if n := count(time.Minute); n != 0 {
		t.Errorf("%d on no connection", n)
	}
}

// TestARolledBackStorageIsRecorded once.
func TestARolledBackStorageIsRecorded(t *testing.T) {
	r := start(t, 1, func(_ *point.Config, f *point.Recovered) {
		f.Position = delivery.Position{Central: epoch(1), Journal: theBoot, Seq: 0}
	})
	older := charge.JournalID("boot0")
	h := delivery.Held{Present: theBoot, Ranges: []delivery.Range{
		{Journal: older, First: 1, Last: 5, Index: 1}, {Journal: theBoot, First: 1, Last: 5, Index: 6},
	}}
	r.step(point.DiskChecked{Held: h})
	for range 2 {
		r.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(2), Journal: &older, Seq: 9}, Live: true})
	}
	r.settled()
	if s := r.story(); strings.Count(s, "anomaly_seen") != 1 {
		t.Error(s)
	}
}
