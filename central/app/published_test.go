package app_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// A Central whose database knows nothing reads what earlier ones published before it
// reads records, however much that is: the session ends with its published ticket.
func TestTicketsAreReadBeforeRecords(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.publish(wire.TopicEvents, p.All...)
		for n := range 500 {
			e := wire.CentralEvent{EventID: fmt.Sprint("n.", n), EventType: wire.CentralNotice, Username: "ann", Message: "hello", Timestamp: 1}
			raw, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			o.publish(wire.TopicCentralEvents, journaltest.Message{Key: "ann", Value: raw})
		}
		e := orders.TicketEvent(&ledger.Ticket{
			ID: "t.CP_1-1", SessionID: "CP_1-1", CPID: "CP_1", Connector: 1, Username: "ann", Energy: 2000,
			Cost: money.Amount{Minor: 77, Currency: "EUR"}, DurationSec: 4, Reason: charge.StopLocal,
		}, charge.SessionLimit{}, 1)
		raw, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := o.producer.Enqueue(kafkalink.Record{
			Topic: wire.TopicCentralEvents, Key: []byte("ann"), Value: raw, Headers: []kafkalink.Header{{Key: wire.HeaderTrace, Value: []byte("CP_1-1")}},
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		c := w.central(cfg)
		time.Sleep(20 * time.Second)
		sums, err := c.central.Totals(t.Context())
		if err != nil || sums.Tickets != 2 || sums.Billed != 2100 {
			t.Errorf("totals: got %+v %v, want the ticket of 2000 Wh and a correction of 100", sums, err)
		}
		if all := o.tickets()["CP_1-1"]; len(all) != 2 || all["t.CP_1-1"] != 1 || all["t.CP_1-1.1"] != 1 {
			t.Errorf("published: got %v, want the ticket once, as it was, and its correction", all)
		}
		c.stop()
		o.stop()
	})
}
