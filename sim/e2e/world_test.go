package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	agentapp "github.com/carga-ev/carga/agent/app"
	bridgeapp "github.com/carga-ev/carga/bridge/app"
	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/engines"
)

const (
	mqttAddr  = "127.0.0.1:1883"
	kafkaAddr = "127.0.0.1:9092"
	pageAddr  = "127.0.0.1:8080"
)

// healTimeout limits the time until a network without faults has everything in
// its books.
const healTimeout = time.Minute

// plan is the configuration of a world.
type plan struct {
	points     int           // charging points, one connector each; 1 unless set
	partitions int           // of each topic; 1 unless set
	idle       time.Duration // interval of an idle charging point's telemetry; 1 s unless set
	vehicle    vehicle       // vehicles that come; see people_test.go
	pause      time.Duration // between two services of a driver; a minute unless set
	central    func(*centralapp.Config)
	bridge     func(*bridgeapp.Config)
	agent      func(*agentapp.Config)
	board      func(*sim.Config)
}

// world is one network in one bubble of fake time.
type world struct {
	t       *testing.T
	plan    plan
	dir     string
	vnet    *kfake.VirtualNetwork
	links   map[string]*faultyLink // by dialler and broker, as "bridge-kafka"
	mqtt    *engines.MQTT
	kafka   *engines.Kafka
	points  []*point
	parts   map[string]*running // running parts by name
	central *centralapp.Central // the last one started
	schemas *schemaChecker      // checks every message
	log     io.Writer           // nil: no logs
}

// inWorld runs f in a bubble of fake time, with a network of which no part runs
// yet, and stops everything afterwards.
func inWorld(t *testing.T, p plan, f func(*world)) {
	t.Helper()
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p, dir)
		defer w.end()
		f(w)
	})
}

func newWorld(t *testing.T, p plan, dir string) *world {
	t.Helper()
	p.points, p.partitions, p.idle = max(p.points, 1), max(p.partitions, 1), max(p.idle, time.Second)
	if p.pause == 0 {
		p.pause = time.Minute
	}
	w := &world{
		t: t, plan: p, dir: dir, vnet: &kfake.VirtualNetwork{}, links: map[string]*faultyLink{}, parts: map[string]*running{}, schemas: newSchemaChecker(t),
	}
	for _, name := range []string{"agent-mqtt", "bridge-mqtt", "bridge-kafka", "central-kafka", "driver-kafka"} {
		w.links[name] = &faultyLink{}
	}
	w.mqtt = engines.NewMQTT(mqttAddr, w.schemas.checkMQTT(w.vnet.Listen), slog.New(slog.DiscardHandler))
	w.kafka = engines.NewKafka(kafkaAddr, filepath.Join(dir, "kafka"), w.vnet.Listen)
	for i := range p.points {
		w.points = append(w.points, newPoint(w, charge.CPID(fmt.Sprintf("CP_%03d", i+1)), uint64(i+1)))
	}
	return w
}

// running is one running part.
type running struct {
	cancel context.CancelCauseFunc
	ended  chan error
}

// run starts a part, which runs until halt or the end of the world.
func (w *world) run(name string, part func(context.Context) error) {
	w.t.Helper()
	if w.parts[name] != nil {
		w.t.Fatalf("%s runs already", name)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(w.t.Context()))
	r := &running{cancel: cancel, ended: make(chan error, 1)}
	w.parts[name] = r
	go func() { r.ended <- part(ctx) }()
}

// halt stops a part and waits for it; it does nothing if the part does not run.
func (w *world) halt(name string, cause error) {
	w.t.Helper()
	r := w.parts[name]
	if r == nil {
		return
	}
	delete(w.parts, name)
	r.cancel(cause)
	if err := <-r.ended; err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
}

// allParts returns the names of the parts in their usual order.
func allParts() []string { return []string{"mqtt", "kafka", "bridge", "central", "agent"} }

// start starts parts by name; "agent" is all charging points.
func (w *world) start(parts ...string) {
	w.t.Helper()
	for _, part := range parts {
		switch part {
		case "mqtt":
			if err := w.mqtt.Start(); err != nil {
				w.t.Fatal(err)
			}
		case "kafka":
			if err := w.kafka.Start(); err != nil {
				w.t.Fatal(err)
			}
			w.schemas.checkKafka(w.kafka.Cluster())
		case "bridge":
			w.startBridge("bridge")
		case "central":
			w.startCentral()
		case "agent":
			for _, p := range w.points {
				p.start()
			}
		default:
			w.t.Fatalf("no part is called %s", part)
		}
	}
}

// stop stops parts by name. An agent is killed: it writes nothing more.
func (w *world) stop(parts ...string) {
	w.t.Helper()
	for _, part := range parts {
		switch part {
		case "mqtt":
			w.mqtt.Stop()
		case "kafka":
			w.kafka.Stop()
		case "agent":
			for _, p := range w.points {
				p.kill()
			}
		default:
			w.halt(part, context.Canceled)
		}
	}
}

func (w *world) logger(part string) *slog.Logger {
	if w.log == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(w.log, nil)).With(slog.String("part", part))
}

func (w *world) startBridge(name string) {
	w.t.Helper()
	cfg := bridgeapp.DefaultConfig()
	cfg.Name, cfg.MQTT.ClientID = name, "carga-"+name
	cfg.MQTT.URL, cfg.Kafka.Brokers = "tcp://"+mqttAddr, []string{kafkaAddr}
	cfg.Kafka.SetPartitions(w.plan.partitions)
	cfg.StopWithin = time.Millisecond // almost as if killed
	cfg.Observe.Listen = ""           // no sockets in fake time
	if w.plan.bridge != nil {
		w.plan.bridge(&cfg)
	}
	w.run(name, func(ctx context.Context) error {
		return bridgeapp.Run(ctx, cfg, bridgeapp.Deps{
			Log: w.logger(name), DialMQTT: w.dialMQTT("bridge-mqtt"), DialKafka: w.dialKafka("bridge-kafka"),
		})
	})
}

// database is the path of Central's database.
func (w *world) database() string { return filepath.Join(w.dir, "central.db") }

// The tariff of all worlds.
const (
	startFee = "1.00"
	perKWh   = "0.45"
)

func (w *world) startCentral() {
	w.t.Helper()
	cfg := centralapp.DefaultConfig()
	cfg.Database.Path, cfg.Kafka.Brokers = w.database(), []string{kafkaAddr}
	cfg.Kafka.SetPartitions(w.plan.partitions)
	cfg.Network.AdmitAutomatically = true
	cfg.Web.Access = centralapp.AccessOpen
	cfg.Tariff = centralapp.Tariff{Version: "t1", StartFee: startFee, PerKWh: perKWh, Currency: "EUR"}
	if w.plan.central != nil {
		w.plan.central(&cfg)
	}
	l, err := w.vnet.Listen("tcp", pageAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	started := make(chan *centralapp.Central, 1)
	w.run("central", func(ctx context.Context) error {
		return centralapp.Run(ctx, cfg, centralapp.Deps{
			Log: w.logger("central"), Dial: w.dialKafka("central-kafka"), Listener: l,
			Started: func(c *centralapp.Central) { started <- c },
		})
	})
	select {
	case w.central = <-started:
	case <-time.After(time.Minute):
		w.t.Fatal("Central does not serve its page")
	}
}

func (w *world) dialMQTT(name string) func(context.Context, *url.URL) (net.Conn, error) {
	c := w.links[name]
	return func(ctx context.Context, u *url.URL) (net.Conn, error) {
		return c.dial(ctx, func() (net.Conn, error) { return w.vnet.DialContext(ctx, "tcp", u.Host) })
	}
}

func (w *world) dialKafka(name string) func(context.Context, string, string) (net.Conn, error) {
	c := w.links[name]
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.dial(ctx, func() (net.Conn, error) { return w.vnet.DialContext(ctx, network, address) })
	}
}

// end stops everything that still runs, also after a failure: a bubble must not
// have goroutines at its end.
func (w *world) end() {
	for _, c := range w.links {
		c.set(linkUp)
	}
	w.stop("agent")
	names := make([]string, 0, len(w.parts))
	for name := range w.parts {
		names = append(names, name)
	}
	slices.Sort(names)
	w.stop(names...)
	w.stop("mqtt", "kafka")
	w.schemas.report()
}

// await waits until a condition holds, and checks it each 100 ms of fake time.
func (w *world) await(within time.Duration, what string, so func() bool) {
	w.t.Helper()
	const step = 100 * time.Millisecond
	for waited := time.Duration(0); !so(); waited += step {
		if waited >= within {
			w.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(step)
	}
}
