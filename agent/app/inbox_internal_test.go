package app

import (
	"testing"

	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
)

// TestAFloodOfMessagesIsBounded: what does not fit is dropped and counted, and
// Central repeats it. What the hardware reports is never dropped.
func TestAFloodOfMessagesIsBounded(t *testing.T) {
	b := &inbox{wake: make(chan struct{}, 1)}
	for range 3000 {
		b.put(point.CommandReceived{})
	}
	b.put(point.FaultSeen{Connector: 1, Fault: charge.FaultOther})
	b.put(point.Disconnected{Conn: 1})
	events := b.drain()
	if len(events) != inboxBound+2 || b.dropped != 3000-inboxBound {
		t.Errorf("%d wait, %d were dropped", len(events), b.dropped)
	}
	if _, last := events[len(events)-1].(point.Disconnected); !last {
		t.Errorf("the last one is %T", events[len(events)-1])
	}
	select {
	case <-b.wake:
	default:
		t.Error("the core is not woken")
	}
}
