package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const theCP charge.CPID = "CP_001"

var errDisk = errors.New("input/output error")

// disk is a journal in memory that outlives its agents.
type disk struct {
	mu       sync.Mutex
	lines    []line
	position delivery.Position
	full     int64         // permille
	broken   error         // why nothing can be written
	spared   journal.Class // and from which class on it can
}

type line struct {
	journal charge.JournalID
	seq     charge.Seq
	raw     []byte
}

// boot is the disk as one boot sees it.
type boot struct {
	*disk
	app.JournalOptions
}

func (d *disk) open(o app.JournalOptions) (app.Journal, app.Recovered, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var f app.Recovered
	for _, l := range d.lines {
		f.Records = append(f.Records, l.raw)
		f.After = &wire.Position{Journal: l.journal, Seq: l.seq}
	}
	return &boot{disk: d, JournalOptions: o}, f, nil
}

func (b *boot) Append(class journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil && class < b.spared {
		return b.broken
	}
	for _, e := range encode {
		seq, prev := charge.Seq(1), ""
		if n := len(b.lines); n > 0 {
			last := b.lines[n-1]
			prev = wire.Hash(last.raw)
			if last.journal == b.Journal {
				seq = last.seq + 1
			}
		}
		raw, err := e(seq, prev)
		if err != nil {
			return err
		}
		b.lines = append(b.lines, line{b.Journal, seq, raw})
	}
	return nil
}

func (b *boot) Held() delivery.Held {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := delivery.Held{Present: b.Journal}
	for i, l := range b.lines {
		if n := len(h.Ranges); n > 0 && h.Ranges[n-1].Journal == l.journal {
			h.Ranges[n-1].Last = l.seq
			continue
		}
		h.Ranges = append(h.Ranges, delivery.Range{Journal: l.journal, First: l.seq, Last: l.seq, Index: delivery.Index(i + 1)})
	}
	return h
}

func (b *boot) Read(i delivery.Index) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines[i-1].raw, nil
}

func (b *boot) Position() delivery.Position { return b.position }
func (b *boot) Close() error                { return nil }

func (b *boot) SavePosition(p delivery.Position, _ delivery.Index) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.position = p
	return nil
}

func (b *boot) QuotaPermille() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

// breaks makes writing fail; nil makes it succeed again.
func (d *disk) breaks(err error) { d.breaksBelow(journal.Final+1, err) }

// breaksBelow makes writing of the lower classes fail.
func (d *disk) breaksBelow(class journal.Class, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken, d.spared = err, class
}

// records are all that was written, decoded.
func (d *disk) records(t *testing.T) []wire.Record {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []wire.Record
	prev := ""
	for _, l := range d.lines {
		r, err := wire.DecodeRecord(l.raw)
		if err != nil {
			t.Fatal(err)
		}
		if r.Prev != prev || r.Seq != l.seq {
			t.Fatalf("record %s/%d does not follow the one before", r.Journal, r.Seq)
		}
		prev = wire.Hash(l.raw)
		out = append(out, r)
	}
	return out
}

// payloads are the data of all records of one type.
func payloads[P wire.Payload](t *testing.T, d *disk) []P {
	t.Helper()
	var out []P
	for _, r := range d.records(t) {
		p, err := r.Payload()
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := p.(P); ok {
			out = append(out, p)
		}
	}
	return out
}

// story is what was written of some connector, one word a record, without
// samples and changes of status.
func story(t *testing.T, d *disk) string {
	t.Helper()
	var words []string
	for _, r := range d.records(t) {
		switch p, err := r.Payload(); p := p.(type) {
		case *wire.MeterRead, *wire.StatusChanged, *wire.CommandAccepted:
		case *wire.CommandFinished:
			words = append(words, fmt.Sprintf("%s_%s", p.Command, p.Result))
		case *wire.ChargingStopped:
			words = append(words, string(r.Type)+"_"+string(p.Reason))
		default:
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, string(r.Type))
		}
	}
	return strings.Join(words, " ")
}

// point is one charging point with its disk, its hardware, a broker and a
// Central, in a bubble of fake time.
type point struct {
	t      *testing.T
	cfg    app.Config
	disk   *disk
	board  *sim.Board
	wired  hal.Board // what the agent is given; nil: board
	wires  *kfake.VirtualNetwork
	broker *engines.MQTT
	line   *mqttlink.Link // Central's
	agent  *app.Agent
	keys   io.Reader
	// machineUptime replaces that of this computer; nil: it is used.
	machineUptime func() time.Duration
	// strictGPIOD replaces the settings of this kernel; nil: they are used.
	strictGPIOD func() (bool, error)
	cancel      context.CancelCauseFunc
	onRecords   func(connector.State, []connector.Record)
	recorder    func() (journal.FS, error) // nil: there is no flight recorder
	notify      observe.Manager            // nil: there is none
	ended       chan error
	clock       func() (time.Time, charge.ClockQuality)

	mu sync.Mutex
	// mu guards everything that follows.
	journal charge.JournalID
	known   map[charge.JournalID]charge.Seq
	n       uint64
	results map[charge.CommandID]wire.CommandFinished
}

func newPoint(t *testing.T, change func(*app.Config, *sim.Config)) *point {
	t.Helper()
	p := &point{
		t: t, disk: &disk{}, wires: &kfake.VirtualNetwork{}, known: map[charge.JournalID]charge.Seq{},
		results: map[charge.CommandID]wire.CommandFinished{},
		clock:   func() (time.Time, charge.ClockQuality) { return time.Now(), charge.ClockSynced },
	}
	p.cfg = app.DefaultConfig()
	p.cfg.CPID = theCP
	hw := sim.DefaultConfig()
	hw.Registers = []charge.WattHours{100_000}
	hw.Vehicles.Least = sim.Vehicle{Capacity: 50_000, Charge: 100, MaxPower: 60_000}
	hw.Vehicles.Most = hw.Vehicles.Least
	if change != nil {
		change(&p.cfg, &hw)
	}
	var err error
	if p.board, err = sim.New(hw); err != nil {
		t.Fatal(err)
	}
	p.broker = engines.NewMQTT("localhost:1883", p.wires.Listen, slog.New(slog.DiscardHandler))
	p.line, err = mqttlink.New(mqttlink.Config{
		Brokers: []string{"tcp://localhost:1883"}, ClientID: "central", CleanSession: true, Open: p.dial,
		Subscriptions: []mqttlink.Subscription{{Filter: "cp/+/up/+", QoS: 1}}, Handler: p.receive,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *point) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	return p.wires.DialContext(ctx, "tcp", u.Host)
}

// play runs Central and a broker for the length of f, and then ends the agent.
func (p *point) play(f func()) {
	p.t.Helper()
	if err := p.broker.Start(); err != nil {
		p.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(p.t.Context())
	var central sync.WaitGroup
	central.Go(func() {
		if err := p.line.Run(ctx); err != nil {
			p.t.Errorf("central: %v", err)
		}
	})
	f()
	if p.cancel != nil {
		if err := p.stop(nil); err != nil {
			p.t.Errorf("stopped: %v", err)
		}
	}
	stop()
	central.Wait()
	p.broker.Stop()
	synctest.Wait()
}

// start boots the agent with the journal in memory.
func (p *point) start() { p.startOn(p.disk.open) }

// startOn boots the agent with another journal; nil is that in its folder.
func (p *point) startOn(open func(app.JournalOptions) (app.Journal, app.Recovered, error)) {
	ctx, cancel := context.WithCancelCause(p.t.Context())
	p.cancel, p.ended = cancel, make(chan error, 1)
	p.agent = app.New(p.cfg, app.Deps{
		Board: p.hardware(), Open: open, Dial: p.dial, Clock: p.clock, Keys: p.keys, OnRecords: p.onRecords,
		MachineUptime: p.machineUptime, Recorder: p.recorder,
	})
	go func() { p.ended <- p.agent.Run(ctx) }()
}

// stop ends the agent for a reason, and returns its error.
func (p *point) stop(cause error) error {
	p.cancel(cause)
	p.cancel = nil
	return <-p.ended
}

func (p *point) kill() {
	p.t.Helper()
	if err := p.stop(app.ErrKilled); err != nil {
		p.t.Errorf("killed: %v", err)
	}
}

// receive is a Central that acknowledges records in order.
func (p *point) receive(m mqttlink.Message) {
	_, kind, err := (wire.Topics{}).Parse(m.Topic)
	if err != nil || kind != wire.KindEvent {
		return
	}
	r, err := wire.DecodeRecord(m.Payload)
	if err != nil {
		p.t.Errorf("event: %v", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Seq == p.known[r.Journal]+1 {
		p.known[r.Journal]++
		if r.Type == wire.TypeRegistered {
			p.journal = r.Journal
		}
		if v, err := r.Payload(); err == nil {
			if f, ok := v.(*wire.CommandFinished); ok {
				p.results[f.CommandID] = *f
			}
		}
	}
	a := wire.Ack{V: 1, Central: epoch(1), Journal: new(r.Journal), Seq: p.known[r.Journal], At: charge.At(time.Now())}
	raw, err := a.Encode()
	if err != nil {
		p.t.Errorf("ack: %v", err)
		return
	}
	go func() { _ = p.line.Publish(p.t.Context(), wire.Topics{}.Of(theCP, wire.KindAck), 1, true, raw) }()
}

// order sends one command and returns its result.
func (p *point) order(n charge.ConnectorID, o wire.Order) wire.CommandFinished {
	p.t.Helper()
	id := p.send(n, o)
	var r wire.CommandFinished
	p.within(3*time.Minute, fmt.Sprintf("%s finished", o.CommandType()), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		var ok bool
		r, ok = p.results[id]
		return ok
	})
	return r
}

func (p *point) send(n charge.ConnectorID, o wire.Order) charge.CommandID {
	p.t.Helper()
	data, err := wire.EncodeOrder(o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.n++
	now := charge.At(time.Now())
	c := wire.Command{
		V: 1, ID: charge.CommandID(fmt.Sprintf("c%d", p.n)), N: p.n, Central: epoch(1), Journal: p.journal, CPID: theCP, Connector: n,
		Type: o.CommandType(), IssuedAt: now, SentAt: now, ExpiresAt: now.Add(5 * time.Second), Data: data,
	}
	p.mu.Unlock()
	raw, err := c.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.line.Publish(p.t.Context(), wire.Topics{}.Of(theCP, wire.KindCommand), 1, false, raw); err != nil {
		p.t.Fatal(err)
	}
	return c.ID
}

// within waits in fake time until ok.
func (p *point) within(d time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("not within %s: %s; %+v; story: %s", d, what, p.agent.Status(), story(p.t, p.disk))
		}
	}
}

// ready waits until Central knows of the boot.
func (p *point) ready() {
	p.t.Helper()
	p.within(time.Minute, "registered at Central", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		s := p.agent.Status()
		return s.Journal != "" && p.journal == s.Journal && s.Unacked == 0
	})
}

// status waits until connector 1 reports a status.
func (p *point) status(d time.Duration, want charge.Status) {
	p.t.Helper()
	p.within(d, string(want), func() bool { return p.reports() == want })
}

func (p *point) reports() charge.Status {
	for _, c := range p.agent.Status().Connectors {
		if c.Connector == 1 {
			return c.Status
		}
	}
	return ""
}

func (p *point) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *point) hardware() hal.Board {
	if p.wired != nil {
		return p.wired
	}
	return p.board
}

// outlet is the true state of connector 1.
func (p *point) outlet() sim.Outlet { return p.board.Snapshot().Connectors[0] }

// closeByHand closes the contactor, like an agent that was killed just now.
func (p *point) closeByHand() {
	p.t.Helper()
	c, err := p.board.Connector(1)
	p.do(err)
	k, err := p.board.Keeper()
	p.do(err)
	p.do(k.Kick())
	p.do(c.Contactor().Set(true))
	time.Sleep(300 * time.Millisecond)
	if !p.outlet().Closed {
		p.t.Fatal("not closed")
	}
}

// epoch is the epoch of the nth start of Central.
func epoch(n int) charge.Epoch { return charge.Epoch{Number: uint64(n), Run: "00000000000000ab"} }
