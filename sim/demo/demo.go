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
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/sim/fleet"
	"github.com/carga-ev/carga/sim/operator"
)

// Deps are what the demo needs of its program.
type Deps struct {
	Out  io.Writer        // text for people
	Log  *slog.Logger     // logs of all parts
	Keys <-chan rune      // keys pressed; nil: no keyboard
	Open func(url string) // opens the page in a browser; nil: not wanted
	// Ready is called once, with the address that signs in to the page, when all
	// charging points are online; nil: not wanted.
	Ready func(link string)
}

// demo is one run. The goroutine of Run owns the fields without a comment about
// mu; they are set before the parts start, and not changed later.
type demo struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	start time.Time

	mqtt  *engines.MQTT  // nil: external
	kafka *engines.Kafka // nil: external
	addr  addresses
	key   string // signs in to the page as an admin

	mu         sync.Mutex
	centralApp *centralapp.Central // mu guards it and writes to deps.Out; nil before the page is served
	fleet      *fleet.Fleet
	api        *operator.API
	breaker    *breaker

	drivers, points, bridge, central *part
	built                            bool // the parts below and above exist

	failed chan error    // capacity 1: the first failure ends the run
	ready  time.Duration // from the start until all charging points were online
}

// addresses are the addresses in use.
type addresses struct {
	mqtt  string   // tcp://HOST:PORT
	kafka []string // HOST:PORT
	http  string   // HOST:PORT
	moved []string // for people: what uses another port than the default
}

// Run runs the demo until ctx ends, the user quits, a part fails, or cfg.For is
// over. Then it stops everything and returns a summary of all runs on the data
// folder. After an error the summary is incomplete.
func Run(ctx context.Context, cfg Config, deps Deps) (Summary, error) {
	d := &demo{cfg: cfg, deps: deps, log: deps.Log, start: time.Now(), failed: make(chan error, 1)}
	if err := cfg.Validate(); err != nil {
		return Summary{}, err
	}
	// The lock is taken first: a second demo on the folder must not even open a
	// port.
	held, err := fleet.Lock(cfg.Data)
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = held.Close() }() // the lock ends with the file
	if err := d.resolveAddresses(ctx); err != nil {
		return Summary{}, err
	}
	// From here on every way out goes through stop, which ends what was
	// started.
	partsCtx, end := context.WithCancel(context.WithoutCancel(ctx)) // stop ends the parts in order, which one context could not
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
	// Settling needs the parts; it is skipped when one failed or the user
	// interrupted.
	err = d.runUntilStopped(ctx, partsCtx)
	if err == nil && cfg.For > 0 && ctx.Err() == nil {
		d.printf("  settling: stopping sessions, waiting for acknowledgements")
		d.settle(partsCtx)
	}
	s, sumErr := d.summarize(partsCtx)
	return s, errors.Join(err, sumErr, d.stop())
}

// resolveAddresses decides the address of everything, and prepares the embedded
// brokers.
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

// startEngines starts the embedded brokers.
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

// runUntilStopped starts the drivers once all charging points are online, and
// handles keys until the run is over. Its error is that of a failed part.
func (d *demo) runUntilStopped(ctx, partsCtx context.Context) error {
	if d.cfg.For > 0 {
		var cancel context.CancelFunc
		// cfg.For counts from the start of the program, so that it bounds the
		// whole run.
		ctx, cancel = context.WithDeadline(ctx, d.start.Add(d.cfg.For))
		defer cancel()
	}
	// awaitPoints runs beside the keys: they work while charging points
	// connect.
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
	// waiting becomes nil once it has fired, which disables its case.
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
			if !ok { // the terminal is gone
				d.deps.Keys = nil
				continue
			}
			if quit := d.handleKey(k); quit {
				return nil
			}
		}
	}
}

// awaitPoints waits until all charging points are online, and prints that they
// are ready.
func (d *demo) awaitPoints(ctx context.Context) {
	for {
		// An error only means that Central does not serve its page yet.
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

// present counts the charging points of this demo that are admitted and online.
func (d *demo) present(n *operator.View) int {
	// An external Kafka may have charging points of other demos.
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

// headStart is how long the charging points may take to send their last records
// before the bridge is stopped, too.
const headStart = 1500 * time.Millisecond

// stop stops everything in order, and waits for it: drivers, charging points,
// bridge, Central, brokers. The order lets the last records of the charging
// points reach Central.
func (d *demo) stop() error {
	if d.built {
		d.drivers.halt()
		// The charging points have a head start; those that need longer lose
		// nothing, since their journals keep what was not sent.
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
	// A part may fail while it stops.
	select {
	case late := <-d.failed:
		return errors.Join(err, late)
	default:
		return err
	}
}

// fail logs a failure and ends the run with the first one.
func (d *demo) fail(err error) {
	d.log.Error("a part failed", slog.Any("err", err))
	select {
	case d.failed <- err:
	default:
	}
}

// printf prints a line for people. It may be called from any goroutine.
func (d *demo) printf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = fmt.Fprintf(d.deps.Out, format+"\n", args...)
}

// printAddresses prints the addresses of the brokers.
func (d *demo) printAddresses() {
	d.printf("carga demo: everything in this one process, data in %s (delete it to start over)", d.cfg.Data)
	for _, m := range d.addr.moved {
		d.printf("  ! %s", m)
	}
	// Embedded brokers are marked, since they are not meant for production.
	kind := func(external bool) string {
		if external {
			return "external"
		}
		return "embedded, demo only"
	}
	d.printf("  ✓ %-13s %-26s %s", "MQTT broker", strings.TrimPrefix(d.mqttURL(), "tcp://"), kind(d.mqtt == nil))
	d.printf("  ✓ %-13s %-26s %s", "Kafka", strings.Join(d.brokers(), ","), kind(d.kafka == nil))
}

// page is the URL of Central's page.
func (d *demo) page() string { return "http://" + d.addr.http }

// link is the address that signs a browser in and leads to the page.
func (d *demo) link() string { return d.page() + "/signin?key=" + d.key }

// printReady prints what is reachable where, and how to stop, and calls the
// hooks of Deps.
func (d *demo) printReady(n *operator.View) {
	d.printf("  ✓ %-13s %-26s SQLite %s", "Central", d.page(), filepath.Join(d.cfg.Data, centralDB))
	d.printf("    open %s", d.link())
	for _, p := range n.Parts {
		if p.Name == "bridge" {
			d.printf("  ✓ %-13s %s", "Bridge", p.State)
		}
	}
	d.printf("  %-42s %.1f s", fmt.Sprintf("%d/%d charging points ready", d.present(n), len(d.fleet.Points())), d.ready.Seconds())
	if d.cfg.Drivers > 0 {
		d.printf("  %d drivers send requests; the first ticket comes within a minute", d.cfg.Drivers)
	}
	if d.deps.Keys != nil {
		d.printf("  keys: %s", keyHelp)
	} else if d.cfg.For == 0 {
		d.printf("  stop it with Ctrl-C")
	}
	if d.deps.Ready != nil {
		d.deps.Ready(d.link())
	}
	if d.deps.Open != nil {
		d.deps.Open(d.link())
	}
}

// mqttURL is the URL of the MQTT broker; the port of an embedded one is known
// after its start.
func (d *demo) mqttURL() string {
	if d.mqtt != nil {
		return d.mqtt.URL()
	}
	return d.addr.mqtt
}

// brokers are the HOST:PORTs of Kafka.
func (d *demo) brokers() []string {
	if d.kafka != nil {
		return []string{d.kafka.Addr()}
	}
	return d.addr.kafka
}
