// Package e2e_test runs the whole network, part by part and in production
// wiring, against embedded brokers in fake time.
package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	agentapp "github.com/carga-ev/carga/agent/app"
	bridgeapp "github.com/carga-ev/carga/bridge/app"
	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/sim/driver"
	"github.com/carga-ev/carga/sim/engines"
)

const (
	mqttAddr  = "127.0.0.1:1883"
	kafkaAddr = "127.0.0.1:9092"
)

// world is one network in one bubble of fake time: one charging point, one
// driver.
type world struct {
	t       *testing.T
	dir     string
	net     *kfake.VirtualNetwork
	mqtt    *engines.MQTT
	kafka   *engines.Kafka
	agent   *agentapp.Agent
	central *centralapp.Central
	stops   []func()
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, net: &kfake.VirtualNetwork{}}
	w.mqtt = engines.NewMQTT(mqttAddr, w.net.Listen, slog.New(slog.DiscardHandler))
	w.kafka = engines.NewKafka(kafkaAddr, filepath.Join(dir, "kafka"), w.net.Listen)
	return w
}

func (w *world) dialMQTT(ctx context.Context, u *url.URL) (net.Conn, error) {
	return w.net.DialContext(ctx, "tcp", u.Host)
}

// start starts one part; it runs until stop.
func (w *world) start(part string) {
	w.t.Helper()
	switch part {
	case "mqtt":
		if err := w.mqtt.Start(); err != nil {
			w.t.Fatal(err)
		}
	case "kafka":
		if err := w.kafka.Start(); err != nil {
			w.t.Fatal(err)
		}
	case "agent":
		cfg := agentapp.DefaultConfig()
		cfg.MQTT.URL, cfg.DataDir = "tcp://"+mqttAddr, filepath.Join(w.dir, "agent")
		cfg.Hardware.Drivers.Enabled = true
		cfg.Intervals.Control = 50 * time.Millisecond // fewer ticks of fake time
		w.agent = agentapp.New(cfg, agentapp.Deps{Dial: w.dialMQTT})
		w.run(w.agent.Run)
	case "bridge":
		cfg := bridgeapp.DefaultConfig()
		cfg.MQTT.URL, cfg.Kafka.Brokers = "tcp://"+mqttAddr, []string{kafkaAddr}
		cfg.Kafka.SetPartitions(1)
		w.run(func(ctx context.Context) error {
			return bridgeapp.Run(ctx, cfg, bridgeapp.Deps{DialMQTT: w.dialMQTT, DialKafka: w.net.DialContext})
		})
	case "central":
		cfg := centralapp.DefaultConfig()
		cfg.Database.Path, cfg.Kafka.Brokers = filepath.Join(w.dir, "central.db"), []string{kafkaAddr}
		cfg.Kafka.SetPartitions(1)
		cfg.Network.AdmitAutomatically = true
		l, err := w.net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		w.run(func(ctx context.Context) error {
			return centralapp.Run(ctx, cfg, centralapp.Deps{
				Dial: w.net.DialContext, Listener: l, Started: func(c *centralapp.Central) { w.central = c },
			})
		})
	}
}

// run starts a part and remembers how to stop it.
func (w *world) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	w.stops = append(w.stops, func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			w.t.Error(err)
		}
	})
}

func (w *world) stop() {
	for _, stop := range slices.Backward(w.stops) {
		stop()
	}
	w.mqtt.Stop()
	w.kafka.Stop()
}

// drive lets one driver ask for any charging point and returns what came of it.
func (w *world) drive(deadline time.Duration) <-chan driver.Outcome {
	w.t.Helper()
	line, err := driver.NewLine(driver.LineConfig{Brokers: []string{kafkaAddr}, Dial: w.net.DialContext, Partitions: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(line.Run)
	cfg := driver.DefaultConfig()
	cfg.Deadline = deadline
	out := make(chan driver.Outcome, 1)
	go func() {
		for { // one who is refused because nobody is there yet asks again
			o, err := driver.Run(w.t.Context(), cfg, line, func(driver.Step) {})
			if err != nil || o.Result != driver.Refused {
				out <- o
				return
			}
			time.Sleep(4 * time.Second)
		}
	}()
	return out
}

func usual() []string { return []string{"mqtt", "kafka", "bridge", "central", "agent"} }

// ends are the orders in which each part comes first once and last once, the
// others in their usual order, and the usual order turned round.
func ends() [][]string {
	turned := usual()
	slices.Reverse(turned)
	list := [][]string{turned}
	for i, part := range usual() {
		others := slices.Delete(usual(), i, i+1)
		if i > 0 {
			list = append(list, append([]string{part}, others...))
		}
		list = append(list, append(slices.Clone(others), part))
	}
	return list
}

// permutations are all orders of the parts.
func permutations(parts []string) [][]string {
	if len(parts) == 0 {
		return [][]string{nil}
	}
	var list [][]string
	for i, first := range parts {
		for _, rest := range permutations(slices.Delete(slices.Clone(parts), i, i+1)) {
			list = append(list, append([]string{first}, rest...))
		}
	}
	return list
}

// TestAnyStartOrder: whichever part comes last, the session of a driver who
// asked from the first moment ends on one ticket, nothing is lost, nothing is
// counted twice, and nobody has to restart anything.
func TestAnyStartOrder(t *testing.T) {
	for _, gap := range []time.Duration{0, 30 * time.Second, 5 * time.Minute} {
		orders := permutations(usual())
		if gap == 5*time.Minute {
			orders = ends()
		}
		for _, order := range orders {
			t.Run(fmt.Sprintf("%s/%s", gap, strings.Join(order, "-")), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) { startOrder(t, dir, order, gap) })
			})
		}
	}
}

func startOrder(t *testing.T, dir string, order []string, gap time.Duration) {
	t.Helper()
	w := newWorld(t, dir)
	defer w.stop()
	outcome := w.drive(time.Hour)
	for _, part := range order {
		w.start(part)
		time.Sleep(gap)
	}
	var got driver.Outcome
	select {
	case got = <-outcome:
	case <-time.After(5 * time.Minute):
		t.Fatal("no ticket five minutes after the last start")
	}
	if got.Result != driver.Ticket || got.Energy <= 0 {
		t.Fatalf("the driver's request ended in %+v, want a ticket", got)
	}
	w.settled(1)
}

// settled waits until Central holds every record, and checks the books.
func (w *world) settled(tickets int64) {
	w.t.Helper()
	for range 600 {
		if w.agent.Status().Unacked == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	sums, err := w.central.Totals(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	held := w.agent.Status().Held
	if sums.Tickets != tickets || sums.Lost != 0 || sums.DeadLetters != 0 || sums.Metered != sums.Billed+sums.Unaccounted || sums.Unaccounted != 0 {
		w.t.Errorf("books: %+v", sums)
	}
	if sums.Applied < held-1 { // a record may be written between the two readings
		w.t.Errorf("applied %d of %d records", sums.Applied, held)
	}
}

// TestBrokerAwayInMidSession: the session goes on, its records wait, and all of it
// is billed once when the broker is back.
func TestBrokerAwayInMidSession(t *testing.T) {
	for _, part := range []string{"kafka", "mqtt"} {
		t.Run(part, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir)
				defer w.stop()
				for _, p := range []string{"mqtt", "kafka", "bridge", "central", "agent"} {
					w.start(p)
				}
				outcome := w.drive(10 * time.Minute)
				for range 1200 {
					if c := w.agent.Status().Connectors; len(c) > 0 && c[0].SessionID != "" && c[0].Power > 0 {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if part == "kafka" {
					w.kafka.Stop()
				} else {
					w.mqtt.Stop()
				}
				time.Sleep(5 * time.Minute)
				w.start(part)
				if got := <-outcome; got.Result != driver.Ticket || got.Energy <= 0 {
					t.Fatalf("the driver's request ended in %+v, want a ticket", got)
				}
				w.settled(1)
			})
		})
	}
}
