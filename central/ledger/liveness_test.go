package ledger_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestWay: silence of a charging point counts only while the bridge is heard and
// has MQTT, and from the moment the way was fresh again.
func TestWay(t *testing.T) {
	const start = charge.Time(1_800_000_000_000)
	after := func(d time.Duration) charge.Time { return start.Add(d) }
	w := ledger.Pipeline{Started: start, HeartbeatTimeout: 5 * time.Second}
	if got := w.StaleSince(after(time.Second)); got != start {
		t.Errorf("before the bridge was heard the way is stale since %v, want %v", got, start)
	}
	w.BridgeHeartbeat(true, start, after(10*time.Second))
	w.Refresh(after(10 * time.Second))
	if got := w.StaleSince(after(15 * time.Second)); got != 0 || !w.BridgeUp(after(15*time.Second)) {
		t.Errorf("with the bridge heard the way is stale since %v", got)
	}
	if got := w.StaleSince(after(16 * time.Second)); got != after(10*time.Second) {
		t.Errorf("with a silent bridge the way is stale since %v", got)
	}
	w.Refresh(after(16 * time.Second))
	w.BridgeHeartbeat(false, after(17*time.Second), after(18*time.Second))
	if got := w.StaleSince(after(19 * time.Second)); got != after(17*time.Second) {
		t.Errorf("with a bridge without MQTT the way is stale since %v", got)
	}
	w.BridgeHeartbeat(true, after(60*time.Second), after(60*time.Second))
	w.Refresh(after(60 * time.Second))
	heard := ledger.Heartbeat{LastSeenAt: after(9 * time.Second)}
	if l, since := w.Liveness(heard, ledger.Online, after(62*time.Second)); l != ledger.Online || since != after(60*time.Second) {
		t.Errorf("just after the outage who was online is %s since %v", l, since)
	}
	if l, _ := w.Liveness(heard, ledger.Offline, after(62*time.Second)); l != ledger.Offline {
		t.Errorf("just after the outage who was offline is %s", l)
	}
}

func TestReach(t *testing.T) {
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
