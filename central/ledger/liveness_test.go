package ledger_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestPipeline: the silence of a charging point counts only while heartbeats of the
// bridge arrive and report MQTT as connected, and from the moment the pipeline is
// fresh again.
func TestPipeline(t *testing.T) {
	const start = charge.Time(1_800_000_000_000)
	after := func(d time.Duration) charge.Time { return start.Add(d) }
	w := ledger.Pipeline{Started: start, HeartbeatTimeout: 5 * time.Second}
	if got := w.StaleSince(after(time.Second)); got != start {
		t.Errorf("before the first heartbeat the pipeline is stale since %v, want %v", got, start)
	}
	w.BridgeHeartbeat(true, start, after(10*time.Second))
	w.Refresh(after(10 * time.Second))
	if got := w.StaleSince(after(15 * time.Second)); got != 0 || !w.BridgeUp(after(15*time.Second)) {
		t.Errorf("after a heartbeat the pipeline is stale since %v", got)
	}
	if got := w.StaleSince(after(16 * time.Second)); got != after(10*time.Second) {
		t.Errorf("with a silent bridge the pipeline is stale since %v", got)
	}
	w.Refresh(after(16 * time.Second))
	w.BridgeHeartbeat(false, after(17*time.Second), after(18*time.Second))
	if got := w.StaleSince(after(19 * time.Second)); got != after(17*time.Second) {
		t.Errorf("with a bridge without MQTT the pipeline is stale since %v", got)
	}
	w.BridgeHeartbeat(true, after(60*time.Second), after(60*time.Second))
	w.Refresh(after(60 * time.Second))
	contact := ledger.Contact{LastSeenAt: after(9 * time.Second)}
	if l, since := w.Liveness(contact, ledger.Online, after(62*time.Second)); l != ledger.Online || since != after(60*time.Second) {
		t.Errorf("just after the outage a charging point that was online is %s since %v", l, since)
	}
	if l, _ := w.Liveness(contact, ledger.Offline, after(62*time.Second)); l != ledger.Offline {
		t.Errorf("just after the outage a charging point that was offline is %s", l)
	}
}

func TestOrderLiveness(t *testing.T) {
	const since = charge.Time(1_800_000_000_000)
	for _, c := range []struct {
		link  ledger.Liveness
		after time.Duration
		want  ledger.Liveness
	}{
		{ledger.Unknown, wire.MaxCommandLife, ledger.Unknown},
		{ledger.Unknown, wire.MaxCommandLife + time.Millisecond, ledger.Offline},
		{ledger.Online, time.Hour, ledger.Online},
		{ledger.Offline, 0, ledger.Offline},
	} {
		if got := ledger.OrderLiveness(c.link, since, since.Add(c.after)); got != c.want {
			t.Errorf("%s for %s: got %s, want %s", c.link, c.after, got, c.want)
		}
	}
}
