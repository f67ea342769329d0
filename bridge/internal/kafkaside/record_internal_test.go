package kafkaside

import (
	"testing"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/wire"
)

// TestABridgeWithTheNameOfACP: the heartbeat of such a bridge does not replace
// the presence of that charging point while both wait for Kafka.
func TestABridgeWithTheNameOfACP(t *testing.T) {
	of := func(kind string) string {
		return record(route.Record{Topic: wire.TopicMonitor, Key: "CP_001", Headers: []route.Header{{Key: wire.HeaderKind, Value: kind}}}).Subject
	}
	if a, b := of(wire.KindValuePresence), of(wire.KindValueBridgeAlive); a == b {
		t.Errorf("both have the subject %q", a)
	}
}
