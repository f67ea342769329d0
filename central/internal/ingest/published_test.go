package ingest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// A Central that was restored from a backup reads the ticket of a session that its
// database has as open. The ticket stays through a restart, the session ends with it,
// and only the difference to what the charging point reports is published.
func TestARestoredCentralAdoptsAPublishedTicket(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		a := journaltest.New(t, "CP_B")
		report := func(payloads ...wire.Payload) {
			t.Helper()
			for _, p := range payloads {
				l.deliver(wire.TopicEvents, a.Write(1, "s1", p))
			}
			synctest.Wait()
		}
		l.deliver(wire.TopicEvents, a.All...)
		report(&wire.Authorized{By: wire.GrantOrder, Username: "bob", Register: 1000}, &wire.ChargingStarted{Register: 1000, Username: "bob"})
		published := ledger.Ticket{
			ID: "t.s1", SessionID: "s1", CPID: "CP_B", Connector: 1, Username: "bob", Energy: 500, Cost: money.Amount{Minor: 123, Currency: "EUR"},
			DurationSec: 42, Reason: charge.StopRemote,
		}
		e := orders.TicketEvent(&published, charge.SessionLimit{}, 1)
		raw, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a repeat changes nothing
			l.deliver(wire.TopicCentralEvents, journaltest.Message{Key: "bob", Value: raw})
		}
		synctest.Wait()
		l.end()
		l = central(t, dir)
		defer l.end()
		report(&wire.ChargingStopped{Start: 1000, Register: 1600, Reason: charge.StopPowerLoss, Username: "bob"})
		tickets, err := l.store.Tickets(t.Context(), view.Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]ledger.Ticket{}
		for _, k := range tickets {
			got[k.ID] = k
		}
		if k := got["t.s1"]; len(got) != 2 || k.Energy != 500 || k.Cost.Minor != 123 || k.DurationSec != 42 || k.Reason != charge.StopRemote || !view.TicketOf(&k).Adopted {
			t.Errorf("got %+v, want the published ticket", got)
		}
		if k := got["t.s1.1"]; k.Energy != 100 || k.Corrects != "t.s1" || k.Cost.Minor != 4 || view.TicketOf(&k).Adopted { // 1.27 for 600 Wh in all
			t.Errorf("its correction: got %+v, want 100 Wh", k)
		}
		if _, still, err := l.store.PublishedTicket(t.Context(), "t.s1"); still || err != nil {
			t.Errorf("the published ticket is still kept: %t, %v", still, err)
		}
		var left []string
		for _, e := range l.driverEvents() {
			if e.EventType == wire.CentralTicket {
				left = append(left, e.EventID)
			}
		}
		if len(left) != 1 || left[0] != "t.s1.1" {
			t.Errorf("published: got %v, want the correction alone", left)
		}
	})
}

// A request is open in the backup that Central was restored from, and has been answered
// since. Its deadline has passed at the start; it gets no second answer, and no session
// is settled before it is known what was published.
func TestNoDeadlineIsHandledBeforeWhatWasPublishedIsRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, append(a.All, a.Write(1, "s1", &wire.Authorized{By: wire.GrantFreeVend, Username: "bob", Register: 1000}))...)
		l.online(a)
		l.deliver(wire.TopicDriverEvents, ask(t, "m1", time.Now()))
		synctest.Wait()
		l.end()
		time.Sleep(time.Minute)

		s, err := store.Open(t.Context(), options(dir))
		if err != nil {
			t.Fatal(err)
		}
		l = launch(t, s, db{s}, config())
		defer l.end()
		l.w.Join(charge.Epoch{})
		time.Sleep(time.Minute)
		if got := l.answers(); len(got) != 0 {
			t.Fatalf("answered before the answers of before are read: %+v", got)
		}
		r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Settle{SessionID: "s1"})
		if err != nil || r.Refused != "cp_unknown" {
			t.Errorf("settle: got %+v %v, want cp_unknown", r, err)
		}
		yes := true
		e := wire.CentralEvent{
			EventID: "a.1", EventType: wire.CentralAuthorization, MessageID: "m1", ClientID: "c", Username: "ann", CPID: "CP_1", Connector: 1,
			Authorized: &yes, ReservationID: "r1", Timestamp: 1,
		}
		raw, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.deliver(wire.TopicCentralEvents, journaltest.Message{Key: "ann", Value: raw})
		l.w.CaughtUp()
		time.Sleep(time.Minute)
		q, ok, err := l.store.Request(t.Context(), orders.RequestKey{Username: "ann", MessageID: "m1"})
		if err != nil || !ok || q.Answer == nil || q.Answer.ReservationID != "r1" || len(l.answers()) != 0 {
			t.Errorf("the request: %+v, %d answers; want the answer of before, and none published again", q.Answer, len(l.answers()))
		}
	})
}
