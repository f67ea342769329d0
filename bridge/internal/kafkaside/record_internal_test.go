package kafkaside

import (
	"testing"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/wire"
)

// TestABridgeWithTheNameOfACP: its own sign of life does not take the place of
// that CP's presence while both wait for Kafka.
func TestABridgeWithTheNameOfACP(t *testing.T) {
	of := func(kind string) string {
		return record(route.Record{Topic: wire.TopicMonitor, Key: "CP_001", Headers: []route.Header{{Key: wire.HeaderKind, Value: kind}}}).Subject
	}
	if a, b := of(wire.KindValuePresence), of(wire.KindValueBridgeAlive); a == b {
		t.Errorf("both are the latest of %q", a)
	}
}
