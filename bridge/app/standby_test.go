package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/bridge/app"
	"github.com/carga-ev/carga/internal/wire"
)

// shared lets a bridge share its MQTT session.
func shared(name string) func(*app.Config) {
	return func(c *app.Config) { c.Name, c.MQTT.Shared = name, true }
}

// of returns the last heartbeat of a bridge.
func (w *world) of(name string) (last wire.BridgeAlive) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.alive {
		if a.Bridge == name {
			last = a
		}
	}
	return last
}

// connects is how often any bridge came to be connected.
func (w *world) connects() int { return strings.Count(w.log.String(), `msg="connected to MQTT"`) }

// TestStandby: of two bridges with one client id one is connected. When it ends the
// other takes over within seconds, and keeps the session when the first is back.
func TestStandby(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		stopA := w.startBridge(shared("a"))
		w.within(10*time.Second, "a is active", func() bool { return w.of("a").MQTT.Up })
		stopB := w.startBridge(shared("b"))
		time.Sleep(time.Minute)
		if b := w.of("b"); b.MQTT.Up || b.MQTT.Reason != "stands by: bridge a is active" || w.connects() != 1 {
			t.Errorf("b reports %+v, after %d connections; want it to stand by", b.MQTT, w.connects())
		}
		w.events(1, 50, "CP_A", "CP_B")
		stopA()
		w.events(51, 100, "CP_A", "CP_B")
		w.within(6*time.Second, "b takes over", func() bool { return w.of("b").MQTT.Up })
		stopA = w.startBridge(shared("a"))
		time.Sleep(time.Minute)
		if a := w.of("a"); a.MQTT.Up || a.MQTT.Reason != "stands by: bridge b is active" || w.connects() != 2 {
			t.Errorf("a reports %+v, after %d connections; want it to stand by", a.MQTT, w.connects())
		}
		w.events(101, 150, "CP_A", "CP_B")
		w.within(10*time.Second, "all records are written", func() bool { return w.complete(150, "CP_A", "CP_B") })
		w.all(150, "CP_A", "CP_B")
		stopA()
		stopB()
	})
}

// TestStandbyAndItsBrokers: while Mosquitto or Kafka is away no bridge is connected;
// then one is, and stays so.
func TestStandbyAndItsBrokers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startBridge(shared("a"))
		w.startBridge(shared("b"))
		time.Sleep(time.Minute)
		w.startMQTT()
		w.startKafka()
		one := func() bool { return w.of("a").MQTT.Up != w.of("b").MQTT.Up }
		w.within(30*time.Second, "one is connected", one)
		for _, away := range []time.Duration{time.Second, 5 * time.Second, time.Minute} {
			w.stopMQTT()
			time.Sleep(away)
			w.startMQTT()
			w.within(20*time.Second, "one is connected after Mosquitto was away", one)
			w.stopKafka()
			time.Sleep(away)
			w.startKafka()
			w.within(20*time.Second, "one is connected after Kafka was away", one)
			time.Sleep(15 * time.Second) // a late claim would be seen by now
			before := w.connects()
			time.Sleep(time.Minute)
			if !one() || w.connects() != before {
				t.Errorf("%d connections became %d", before, w.connects())
			}
		}
	})
}

// TestTheActiveOnePublishesCommands, and only that one: also those that came after
// the other had died, and none of an earlier time again.
func TestTheActiveOnePublishesCommands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.startMQTT()
		w.startKafka()
		stopA := w.startBridge(shared("a"))
		w.within(10*time.Second, "a is active", func() bool { return w.of("a").MQTT.Up })
		w.startBridge(shared("b"))
		time.Sleep(10 * time.Second)
		w.order(command("CP_A", "first", time.Minute))
		w.within(5*time.Second, "the command arrives", func() bool { return len(w.commands()) > 0 })
		time.Sleep(10 * time.Minute)
		stopA()
		w.order(command("CP_A", "second", time.Minute))
		w.within(8*time.Second, "the next one arrives by b", func() bool { return slices.Contains(w.commands(), "second") })
		time.Sleep(time.Minute)
		if got := w.commands(); !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("the commands %v arrived, want first and second", got)
		}
	})
}
