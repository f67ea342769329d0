package ingest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// silentAlarms counts the open alarms of silent sessions.
func silentAlarms(t *testing.T, l *instance) (n int) {
	t.Helper()
	all, err := l.store.Alarms(t.Context(), view.Query{State: "open"})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Kind == ledger.AlarmSilent {
			n++
		}
	}
	return n
}

// bridgeHeartbeat is a bridge's heartbeat.
func bridgeHeartbeat(t *testing.T) journaltest.Message {
	t.Helper()
	now := charge.At(time.Now())
	up := wire.Dependency{Up: true, Since: now}
	raw, err := (&wire.BridgeAlive{V: 1, Bridge: "b", At: now, StartedAt: now, MQTT: up, Kafka: up}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return journaltest.Message{Key: "bridge", Kind: wire.KindValueBridgeAlive, Value: raw}
}

// A charging point dies in mid-session and never comes back: an alarm is
// raised, STOP is desired and shown, and an operator settles the session, once.
// Then it comes back after all, and what it reports makes one correction.
func TestASessionAtAChargingPointThatNeverComesBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_B")
		report := func(payloads ...wire.Payload) {
			t.Helper()
			for _, p := range payloads {
				l.deliver(wire.TopicEvents, a.Write(1, "s1", p))
			}
			synctest.Wait()
		}
		receive := func(seconds int, point bool) {
			t.Helper()
			for range seconds {
				msgs := []journaltest.Message{bridgeHeartbeat(t)}
				if point {
					msgs = append(msgs, a.Presence(a.Seq+1, charge.Epoch{}))
				}
				l.deliver(wire.TopicMonitor, msgs...)
				time.Sleep(time.Second)
			}
		}
		l.deliver(wire.TopicEvents, a.All...)
		receive(3, true)
		report(&wire.Authorized{By: wire.GrantOrder, Username: "bob", Register: 1000}, &wire.ChargingStarted{Register: 1000, Username: "bob"},
			&wire.MeterRead{Register: 1500})
		settle := func() ingest.Reply {
			t.Helper()
			r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Settle{SessionID: "s1"})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := settle(); r.Refused != "cp_online" {
			t.Fatalf("settled while it is online: %+v", r)
		}
		receive(60, false) // dead
		if n := silentAlarms(t, l); n != 0 {
			t.Errorf("alarms after a minute of silence: got %d, want none yet", n)
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorStop{SessionID: "s1"}}); err != nil {
			t.Fatal(err)
		}
		receive(300, false)
		if n := silentAlarms(t, l); n != 1 {
			t.Errorf("alarms after six minutes of silence: got %d, want one", n)
		}
		if k := l.live.Network().CPs[0].Connectors[0]; k.WaitsFor != orders.WaitsForStop || k.SessionID != "s1" {
			t.Errorf("connector: got %+v, want that it waits for the stop of s1", k)
		}
		if r := settle(); r.Refused != "" {
			t.Fatalf("not settled: %+v", r)
		}
		if r := settle(); r.Refused == "" {
			t.Fatal("settled twice")
		}
		if n := silentAlarms(t, l); n != 0 {
			t.Errorf("alarms after the settlement: got %d, want none", n)
		}
		if k := l.live.Network().CPs[0].Connectors[0]; k.WaitsFor != "" || k.WaitsSince != 0 || k.SessionID != "" {
			t.Errorf("connector: got %+v, want nothing that is wanted and no session", k)
		}
		bill := func() (n int, sum charge.WattHours) {
			tickets, err := l.store.Tickets(t.Context(), view.Query{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for i := range tickets {
				sum += tickets[i].Energy
			}
			return len(tickets), sum
		}
		if n, sum := bill(); n != 1 || sum != 500 {
			t.Fatalf("tickets: got %d of %d Wh, want one of 500", n, sum)
		}
		receive(3, true) // it comes back
		report(&wire.MeterRead{Register: 2200}, &wire.ChargingStopped{Start: 1000, Register: 2300, Reason: charge.StopRemote, Username: "bob"})
		if n, sum := bill(); n != 2 || sum != 1300 {
			t.Errorf("tickets after it came back: got %d of %d Wh, want two of 1300 in all", n, sum)
		}
	})
}
