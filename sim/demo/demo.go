package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/sim/engines"
	"github.com/carga-ev/carga/sim/fleet"
	"github.com/carga-ev/carga/sim/operator"
)

// Deps are what the demo needs of its program.
type Deps struct {
	Out  io.Writer        // what is told to people
	Log  *slog.Logger     // what the parts say
	Keys <-chan rune      // nil: nobody presses any
	Open func(url string) // shows the page; nil: nobody does
	// Ready is told once, when all charging points are there.
	Ready func(page string)
}

// demo is one run.
type demo struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	start time.Time

	mqtt  *engines.MQTT  // nil: external
	kafka *engines.Kafka // nil: external
	addr  addresses

	mu         sync.Mutex
	centralApp *centralapp.Central // mu guards it and deps.Out; nil before the page is served
	fleet      *fleet.Fleet
	api        *operator.API
	breaker    *breaker

	drivers, points, bridge, central *part
	built                            bool // the parts are made

	failed chan error    // capacity 1: the first failure ends the run
	ready  time.Duration // how long it took until all charging points were there
}

// addresses are the addresses that hold.
type addresses struct {
	mqtt  string   // tcp://HOST:PORT
	kafka []string // HOST:PORT
	http  string   // HOST:PORT
	moved []string // what is not where it was looked for, in words
}

// Run runs the demo until ctx ends, somebody quits, a part fails, or cfg.For is
// over; then it stops everything and sums up. An error says what failed; the
// summary is as far as it could be made.
func Run(ctx context.Context, cfg Config, deps Deps) (Summary, error) {
	d := &demo{cfg: cfg, deps: deps, log: deps.Log, start: time.Now(), failed: make(chan error, 1)}
	if err := cfg.Validate(); err != nil {
		return Summary{}, err
	}
	held, err := fleet.Lock(cfg.Data)
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = held.Close() }() // the system gives the lock back
	if err := d.resolveAddresses(ctx); err != nil {
		return Summary{}, err
	}
	partsCtx, end := context.WithCancel(context.WithoutCancel(ctx)) // the parts are stopped in order, not all by ctx
	defer end()
	if err := d.startEngines(); err != nil {
		return Summary{}, errors.Join(err, d.stop())
	}
	if err := d.buildParts(partsCtx); err != nil {
		return Summary{}, errors.Join(err, d.stop())
	}
	d.central.start(partsCtx)
	d.bridge.start(partsCtx)
	d.points.start(partsCtx)
	d.printAddresses()
	err = d.runUntilStopped(ctx, partsCtx)
	if err == nil && cfg.For > 0 && ctx.Err() == nil {
		d.printf("  settling: sessions are stopped, records acknowledged")
		d.settle(partsCtx)
	}
	s, sumErr := d.summarize(partsCtx)
	return s, errors.Join(err, sumErr, d.stop())
}

// resolveAddresses finds out where everything is.
func (d *demo) resolveAddresses(ctx context.Context) error {
	var errs []error
	find := func(a Address, what, flag string) string {
		addr, moved, err := a.resolve(ctx, what, flag)
		if err != nil {
			errs = append(errs, err)
		}
		if moved != "" {
			d.addr.moved = append(d.addr.moved, moved)
		}
		return addr
	}
	if d.cfg.ExternalMQTT != "" {
		d.addr.mqtt = d.cfg.ExternalMQTT
	} else {
		d.mqtt = engines.NewMQTT(find(d.cfg.MQTT, "the MQTT broker", "mqtt"), nil, d.log)
	}
	if len(d.cfg.ExternalKafka) > 0 {
		d.addr.kafka = d.cfg.ExternalKafka
	} else {
		d.kafka = engines.NewKafka(find(d.cfg.Kafka, "Kafka", "kafka"), filepath.Join(d.cfg.Data, "kafka"), nil)
	}
	d.addr.http = find(d.cfg.HTTP, "the page", "http")
	return errors.Join(errs...)
}

func (d *demo) startEngines() error {
	if d.mqtt != nil {
		if err := d.mqtt.Start(); err != nil {
			return err
		}
	}
	if d.kafka != nil {
		return d.kafka.Start()
	}
	return nil
}

// runUntilStopped waits for everything to be there, lets the drivers ask, and goes on
// until the run is over.
func (d *demo) runUntilStopped(ctx, partsCtx context.Context) error {
	if d.cfg.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.start.Add(d.cfg.For))
		defer cancel()
	}
	appeared := make(chan struct{})
	watch, cancel := context.WithCancel(ctx)
	go func() {
		defer close(appeared)
		d.awaitPoints(watch)
	}()
	defer func() {
		cancel()
		<-appeared
	}()
	waiting := appeared
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.failed:
			return err
		case <-waiting:
			waiting = nil
			if ctx.Err() == nil {
				d.drivers.start(partsCtx)
			}
		case k, ok := <-d.deps.Keys:
			if !ok {
				d.deps.Keys = nil
				continue
			}
			if quit := d.handleKey(k); quit {
				return nil
			}
		}
	}
}

// awaitPoints waits until all charging points take part, and says so.
func (d *demo) awaitPoints(ctx context.Context) {
	for {
		if n, err := d.api.Network(ctx); err == nil && d.present(&n) >= len(d.fleet.Points()) {
			d.ready = time.Since(d.start)
			d.printReady(&n)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// present counts the charging points of this demo that take part.
func (d *demo) present(n *operator.View) int {
	ours := map[string]bool{}
	for _, p := range d.fleet.Points() {
		ours[string(p.ID)] = true
	}
	count := 0
	for _, cp := range n.CPs {
		if ours[string(cp.ID)] && cp.Admitted && cp.Link == "online" {
			count++
		}
	}
	return count
}

// headStart is how long the charging points may take to say their last before
// the others are stopped too.
const headStart = 1500 * time.Millisecond

// stop ends everything, in order, and waits for it.
func (d *demo) stop() error {
	if d.built {
		d.drivers.halt()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			d.points.halt()
		}()
		select {
		case <-gone:
		case <-time.After(headStart):
		}
		d.bridge.halt()
		d.central.halt()
		<-gone
		d.api.Close()
	}
	if d.kafka != nil {
		d.kafka.Stop()
	}
	if d.mqtt != nil {
		d.mqtt.Stop()
	}
	var err error
	if d.fleet != nil {
		err = d.fleet.Close()
	}
	select {
	case late := <-d.failed:
		return errors.Join(err, late)
	default:
		return err
	}
}

// fail notes the first failure.
func (d *demo) fail(err error) {
	d.log.Error("a part failed", slog.Any("err", err))
	select {
	case d.failed <- err:
	default:
	}
}

// printf tells people a line. It may be called from any goroutine.
func (d *demo) printf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = fmt.Fprintf(d.deps.Out, format+"\n", args...)
}

// printAddresses says what listens where.
func (d *demo) printAddresses() {
	d.printf("carga demo: everything in this one process, data in %s (delete it to start over)", d.cfg.Data)
	for _, m := range d.addr.moved {
		d.printf("  ! %s", m)
	}
	kind := func(external bool) string {
		if external {
			return "external"
		}
		return "embedded, demo only"
	}
	d.printf("  ✓ %-13s %-26s %s", "MQTT broker", strings.TrimPrefix(d.mqttURL(), "tcp://"), kind(d.mqtt == nil))
	d.printf("  ✓ %-13s %-26s %s", "Kafka", strings.Join(d.brokers(), ","), kind(d.kafka == nil))
}

func (d *demo) page() string { return "http://" + d.addr.http }

func (d *demo) printReady(n *operator.View) {
	d.printf("  ✓ %-13s %-26s SQLite %s", "Central", d.page(), filepath.Join(d.cfg.Data, centralDB))
	for _, p := range n.Parts {
		if p.Name == "bridge" {
			d.printf("  ✓ %-13s %s", "Bridge", p.State)
		}
	}
	d.printf("  %-42s %.1f s", fmt.Sprintf("%d/%d charging points ready", d.present(n), len(d.fleet.Points())), d.ready.Seconds())
	if d.cfg.Drivers > 0 {
		d.printf("  %d drivers ask by themselves; the first ticket comes within a minute", d.cfg.Drivers)
	}
	if d.deps.Keys != nil {
		d.printf("  keys: %s", keyHelp)
	} else if d.cfg.For == 0 {
		d.printf("  stop it with Ctrl-C")
	}
	if d.deps.Ready != nil {
		d.deps.Ready(d.page())
	}
	if d.deps.Open != nil {
		d.deps.Open(d.page())
	}
}

func (d *demo) mqttURL() string {
	if d.mqtt != nil {
		return d.mqtt.URL()
	}
	return d.addr.mqtt
}

func (d *demo) brokers() []string {
	if d.kafka != nil {
		return []string{d.kafka.Addr()}
	}
	return d.addr.kafka
}
