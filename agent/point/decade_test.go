package point_test

import (
	"fmt"
	"testing"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
	"github.com/carga-ev/carga/internal/wire"
)

// TestTheCoreDoesNotGrow: a boot with twice as many sessions, all acknowledged,
// holds no more.
func TestTheCoreDoesNotGrow(t *testing.T) {
	t.Parallel()
	r := start(t, 1, nil)
	r.step(point.Connected{Conn: 1})
	boot, n := theBoot, 0
	live := func(sessions int) map[string]int {
		for range sessions {
			n++
			r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotC})
			r.order(1, &wire.Start{SessionID: charge.SessionID(fmt.Sprint("s", n)), Username: "u"})
			r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
			r.settled()
			r.step(point.ContactChanged{Connector: 1, Closed: true})
			r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotA})
			r.step(point.ContactChanged{Connector: 1, Closed: false})
			r.step(point.MeterRead{Connector: 1, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
			r.settled()
			r.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(1), Journal: &boot, Seq: charge.Seq(len(r.records))}, Live: true})
			r.settled()
		}
		if d := r.core.View().Delivery; d.Unacked() > 0 || r.connector(1).Session.ID != "" {
			t.Fatalf("%d records are not acknowledged: %s", d.Unacked(), r.story())
		}
		return growth.Elements(r.core)
	}
	// Commands remember a bounded number of ids: it is reached first.
	first := live(4200)
	for _, line := range growth.More(first, live(4200), 0) {
		t.Errorf("after twice as many sessions the core%s", line)
	}
}
