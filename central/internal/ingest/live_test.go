package ingest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// bridge is a heartbeat of the bridge.
func (l *instance) bridge(mqttUp bool) {
	l.t.Helper()
	now := charge.At(time.Now())
	b := wire.BridgeAlive{V: 1, Bridge: "b", At: now, StartedAt: now, MQTT: wire.Dependency{Up: mqttUp, Since: now, Reason: "gone"}}
	raw, err := b.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.deliver(wire.TopicMonitor, journaltest.Message{Key: "bridge", Kind: wire.KindValueBridgeAlive, Value: raw})
}

func (l *instance) telemetry(a *journaltest.Point) {
	l.t.Helper()
	l.telemetryOf(a, wire.Health{})
}

func (l *instance) telemetryOf(a *journaltest.Point, h wire.Health) {
	l.t.Helper()
	tele := wire.Telemetry{V: 1, CPID: a.CP, Journal: a.Journal, At: charge.At(time.Now()), IntervalMS: 1000, Connectors: []wire.ConnectorTelemetry{}, Health: h}
	raw, err := tele.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.live.Telemetry(string(a.CP), raw)
}

func (l *instance) links() string {
	var all []string
	for _, p := range l.live.Network().CPs {
		all = append(all, string(p.Link))
	}
	return strings.Join(all, " ")
}

// seconds passes n seconds. In each of them the bridge sends a heartbeat, if
// bridge is set, and the given points send telemetry.
func (l *instance) seconds(n int, bridge, mqtt bool, points ...*journaltest.Point) {
	l.t.Helper()
	for range n {
		if bridge {
			l.bridge(mqtt)
		}
		for _, a := range points {
			l.telemetry(a)
		}
		time.Sleep(time.Second)
	}
}

func TestAnOutageDoesNotGreyTheNetwork(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a, b := journaltest.New(t, "CP_1"), journaltest.New(t, "CP_2")
		l.deliver(wire.TopicEvents, a.All[0], b.All[0])
		want := func(when, links string) {
			t.Helper()
			if got := l.links(); got != links {
				t.Errorf("%s: got %s, want %s", when, got, links)
			}
		}
		want("before the first heartbeat of the bridge", "unknown unknown")
		l.seconds(10, true, true, a, b)
		want("all send telemetry", "online online")
		l.seconds(10, true, true, a)
		want("one is silent", "online offline")
		l.seconds(60, false, true)
		want("nothing is received", "unknown unknown")
		l.bridge(true)
		time.Sleep(time.Second)
		want("the bridge is back", "online offline")
		l.seconds(7, true, true)
		want("but no charging point", "offline offline")
		l.seconds(2, true, true, a, b)
		want("all are back", "online online")
		l.seconds(10, true, false)
		want("the bridge lives without MQTT", "unknown unknown")
		for _, p := range l.live.Network().Parts {
			if p.Name == "mqtt" && (p.State != view.PartDown || p.Reason != "gone") {
				t.Errorf("mqtt: got %+v, want it down as the bridge reports", p)
			}
		}
	})
}

// A link has its state since the state began: that time moves neither with each
// reception nor with each second of silence.
func TestALinkIsSinceItBegan(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All[0])
		began := map[ledger.Liveness]charge.Time{}
		var order []ledger.Liveness
		look := func(seconds int, bridge, mqtt bool, points ...*journaltest.Point) {
			t.Helper()
			for range seconds {
				l.seconds(1, bridge, mqtt, points...)
				cp := l.live.Network().CPs[0]
				if len(order) == 0 || order[len(order)-1] != cp.Link {
					order = append(order, cp.Link)
					began[cp.Link] = cp.LinkSince
					if late := charge.At(time.Now()).Sub(cp.LinkSince); late < 0 || late > 6*time.Second {
						t.Errorf("%s is seen %s after it began", cp.Link, late)
					}
				} else if cp.LinkSince != began[cp.Link] {
					t.Fatalf("%s since %s, and a second later since %s", cp.Link, began[cp.Link], cp.LinkSince)
				}
			}
		}
		look(30, true, true, a)
		look(30, true, true)
		look(30, false, true)
		look(30, true, true, a)
		if want := []ledger.Liveness{ledger.Online, ledger.Offline, ledger.Unknown, ledger.Online}; !slices.Equal(order, want) {
			t.Errorf("links: got %v, want %v", order, want)
		}
	})
}

func TestALastWillCountsUntilSomethingIsReceived(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All[0])
		l.deliver(wire.TopicMonitor, a.Presence(1, charge.Epoch{}))
		l.seconds(2, true, true, a)
		will := wire.Presence{V: 1, Journal: a.Journal, Conn: 1, At: charge.At(time.Now())}
		raw, err := will.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.deliver(wire.TopicMonitor, journaltest.Message{Key: "CP_1", Kind: wire.KindValuePresence, Value: raw})
		synctest.Wait()
		if got := l.links(); got != "offline" {
			t.Errorf("after its will: got %s, want offline", got)
		}
		time.Sleep(time.Second)
		l.telemetry(a)
		if got := l.links(); got != "online" {
			t.Errorf("a record after its will: got %s, want online", got)
		}
	})
}

// TestADeadReaderIsShown: since when is fixed by the first report, so that it changes
// with no later one.
func TestADeadReaderIsShown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		l.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		shown := func(want bool, since charge.Time) {
			t.Helper()
			cp := l.live.Network().CPs[0]
			if (cp.ReaderTrouble == "PN532: not confirmed") != want || cp.ReaderSince != since {
				t.Errorf("got %q since %v, want %v since %v", cp.ReaderTrouble, cp.ReaderSince, want, since)
			}
		}
		l.telemetry(a)
		shown(false, 0)
		began := charge.At(time.Now())
		time.Sleep(4 * time.Second)
		for _, age := range []int64{4_000, 5_007, 5_995} { // some later than others
			changed := l.live.Changed()
			l.telemetryOf(a, wire.Health{Reader: "PN532: not confirmed", ReaderMS: age})
			shown(true, began)
			select {
			case <-changed:
				if age != 4_000 {
					t.Errorf("%d ms: readers are notified again", age)
				}
			default:
				if age == 4_000 {
					t.Error("readers are not notified")
				}
			}
			time.Sleep(time.Second)
		}
		l.telemetry(a)
		shown(false, 0)
	})
}

// A record differs from one that was applied earlier in the same batch.
func TestAForkInsideOneBatchIsSeen(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a := journaltest.New(t, "CP_1")
		a.Charge(1)
		b := *a
		b.All, b.Seq, b.Hash = nil, 1, wire.Hash(a.All[0].Value)
		other := b.Write(1, "", &wire.FaultRaised{Fault: charge.FaultOther})
		l.deliver(wire.TopicEvents, append(append([]journaltest.Message{}, a.All...), other)...)
		synctest.Wait()
		if got := l.counters()["forked"]; got != 1 {
			t.Errorf("forked: got %d, want 1", got)
		}
		if n := l.live.Network(); !strings.Contains(n.CPs[0].Alarm, "quarantined") || n.CPs[0].AlarmWhy.Code != reason.Quarantined || n.CPs[0].AlarmWhy.Cause != reason.OtherBytesFork || n.CPs[0].AlarmWhy.First != 2 || n.CPs[0].AlarmWhy.Journal != string(a.Journal) {
			t.Errorf("shown: got %+v, want it quarantined", n.CPs[0])
		}
		if _, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Release{CPID: "CP_1"}); err != nil {
			t.Error(err)
		}
		if n := l.live.Network(); n.CPs[0].Alarm != "" || !n.CPs[0].AlarmWhy.IsZero() {
			t.Errorf("released: got alarm %q, want none", n.CPs[0].Alarm)
		}
	})
}

func TestBeforeItIsActiveItOrdersNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := central(t, dir)
		a := journaltest.New(t, "CP_1")
		first.deliver(wire.TopicEvents, a.All...)
		synctest.Wait()
		first.end()
		l := newInstance(t, options(dir), config())
		defer l.end()
		r, err := l.w.Execute(t.Context(), ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorAvailability{Target: orders.Target{CPID: "CP_1"}}})
		if err != nil || len(r.Commands) == 0 {
			t.Fatalf("got %+v %v, want the order written down", r, err)
		}
		time.Sleep(10 * time.Second)
		if acks, commands, _ := l.out.count(); acks+commands != 0 {
			t.Errorf("%d acknowledgements and %d commands left", acks, commands)
		}
		l.w.Join(charge.Epoch{})
		l.online(a)
		time.Sleep(10 * time.Second)
		if _, commands, _ := l.out.count(); commands == 0 {
			t.Error("it was not sent when it could be")
		}
		if got := l.live.Network().CPs[0].Link; got == ledger.Offline {
			t.Errorf("link: got %s", got)
		}
	})
}

// heartbeat is one of a bridge of that name, which shares a session if session is
// set, and is active if holds is.
func (l *instance) heartbeat(name, session string, holds, mqttUp bool) {
	l.t.Helper()
	now := charge.At(time.Now())
	b := wire.BridgeAlive{V: 1, Bridge: name, At: now, StartedAt: 1000, MQTT: wire.Dependency{Up: mqttUp, Since: now, Reason: "gone"}}
	if session != "" {
		b.Lease = &wire.BridgeLease{Session: session, Holds: holds}
	}
	raw, err := b.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.deliver(wire.TopicMonitor, journaltest.Message{Key: wire.BridgeKey(name), Kind: wire.KindValueBridgeAlive, Value: raw})
}

// shown is the state of the parts mqtt and bridge and of each bridge.
func (l *instance) shown() string {
	n := l.live.Network()
	all := make([]string, 0, 4)
	for _, p := range n.Parts[:2] {
		all = append(all, p.State)
	}
	for _, b := range n.Bridges {
		all = append(all, b.Name+":"+b.State)
	}
	return strings.Join(all, " ")
}

// TestSeveralBridges: each is named with its own state. What arrives by one proves
// that a charging point is there; silence proves nothing while another one is away.
func TestSeveralBridges(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		l.live.SetKafka(ingest.KafkaView{Up: true})
		here, there := journaltest.New(t, "CP_A"), journaltest.New(t, "CP_B")
		l.deliver(wire.TopicEvents, here.All[0], there.All[0])
		var sends []func()
		look := func(what, parts, links string) {
			t.Helper()
			if got := l.shown(); got != parts {
				t.Errorf("%s: shown %q, want %q", what, got, parts)
			}
			if got := l.links(); got != links {
				t.Errorf("%s: links %q, want %q", what, got, links)
			}
		}
		seconds := func(n int) {
			for range n {
				for _, f := range sends {
					f()
				}
				time.Sleep(time.Second)
			}
		}
		east, west := func() { l.heartbeat("east", "", false, true) }, func() { l.heartbeat("west", "", false, true) }
		a, z := func() { l.telemetry(here) }, func() { l.telemetry(there) }
		sends = []func(){east, west, a, z}
		seconds(3)
		look("both bridges are up", "up up east:up west:up", "online online")
		sends = []func(){east, a}
		seconds(8)
		look("west is silent, with its charging point", "up down east:up west:down", "online unknown")
		sends = []func(){east, a, func() { l.heartbeat("west", "", false, false) }}
		seconds(8)
		look("west has no MQTT", "down up east:up west:down", "online unknown")
		sends = []func(){east, west, a}
		seconds(12)
		look("west is back without its charging point", "up up east:up west:up", "online offline")
		sends = []func(){east, a}
		seconds(3700)
		look("west was taken out of service", "up up east:up", "online offline")
	})
}

// TestBridgesWithOneSession: one that stands by counts as ready, not as down. The
// pipeline is fresh while one of them is active.
func TestBridgesWithOneSession(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		l.live.SetKafka(ingest.KafkaView{Up: true})
		here := journaltest.New(t, "CP_A")
		l.deliver(wire.TopicEvents, here.All[0])
		beat := func(name string, holds bool) func() {
			return func() { l.heartbeat(name, "carga-bridge", holds, holds) }
		}
		seconds := func(n int, sends ...func()) {
			for range n {
				for _, f := range sends {
					f()
				}
				time.Sleep(time.Second)
			}
		}
		look := func(what, want string) {
			t.Helper()
			if got := l.shown() + " " + l.links(); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		a := func() { l.telemetry(here) }
		seconds(3, beat("first", true), beat("second", false), a)
		look("the first is active", "up up first:up second:standby online")
		seconds(8, beat("second", false))
		look("the first is dead, the second does nothing yet", "unknown down first:down second:standby unknown")
		seconds(8, beat("second", true), a)
		look("the second is active", "up up first:down second:up online")
		seconds(8, beat("second", true), beat("first", false), a)
		look("the first stands by", "up up first:standby second:up online")
	})
}
