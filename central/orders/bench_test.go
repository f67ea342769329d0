package orders_test

import (
	"fmt"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A sample of a running session, while a stop of the network is desired.
func BenchmarkRecordReceived(b *testing.B) {
	w := newWorld(b, 20, 2, orders.Config{})
	w.operator(orders.OperatorAvailability{Available: true})
	e := orders.RecordReceived{
		Now: w.moment(), CPID: "CP_1", Record: wire.Record{Type: wire.TypeMeterRead, Connector: 1},
		Outcome: ledger.Outcome{Verdict: ledger.Applied, Current: true, Payload: &wire.MeterRead{}},
	}
	b.ReportAllocs()
	for b.Loop() {
		orders.Step(w.state, w, e)
	}
}

// A driver's request for any of 1000 points, until its RESERVE is on the way.
func BenchmarkDriverRequest(b *testing.B) {
	w := newWorld(b, 1000, 1, orders.Config{})
	e := orders.DriverRequestReceived{Now: w.moment(), Request: wire.DriverRequest{
		MessageID: "m", EventType: wire.DriverAuthorization, Username: "ana", Timestamp: wire.Seconds(w.now),
	}}
	b.ReportAllocs()
	for b.Loop() {
		orders.Step(orders.New(orders.Config{}, epoch(1), orders.Numbers{}), w, e)
	}
}

func BenchmarkNextDeadline(b *testing.B) {
	w := newWorld(b, 1000, 1, orders.Config{})
	for i := range 500 {
		w.asks(fmt.Sprintf("m-%d", i), charge.Username(fmt.Sprintf("u-%d", i)), "")
	}
	for b.Loop() {
		w.state.NextDeadline()
	}
}
