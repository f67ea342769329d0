package autonomy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const (
	theCP charge.CPID = "CP_0123456789ab" // as long as an id with a serial number
	// began is the wall clock at the beginning of each test.
	began charge.Time = 1_790_000_000_000
	// syncTakes is how long the disk needs for a sync: the slow end of SD cards.
	syncTakes = 100 * time.Millisecond
	rated     = charge.Watts(22_000)
	// firstRegister is what each meter shows at the beginning, in Wh.
	firstRegister = 123_456
)

// site is a charging point with its hardware and disk, which outlive its boots.
// Central is there after connect.
type site struct {
	t       *testing.T
	at      time.Duration // since the beginning of the test
	disk    *journaltest.Disk
	outlets []*outlet
	ids     int
	run     *boot // nil: no power

	policy  connector.Policy
	clock   charge.ClockQuality
	central *ledgertest.Book
	known   map[charge.JournalID]charge.Seq // by Central, without a gap
}

// outlet is the hardware of a connector: contactor, vehicle and a meter that is
// always right, but may not answer.
type outlet struct {
	pilot  charge.PilotState
	closed bool
	power  charge.Watts // of the vehicle
	joules int64        // through the meter, in thousandths
	since  time.Duration
	silent bool
}

// boot is one run of the agent: the core and the journal of the product.
type boot struct {
	bootedAt time.Duration
	cfg      point.Config
	core     *point.State
	log      *journal.Log
	batch    *point.Batch
	events   []point.Event // that wait for a step
	stepping bool
	timerAt  time.Duration // uptime; 0: none
}

// defaultPolicy is that of the agent's default configuration, on hardware of 22 kW.
func defaultPolicy() connector.Policy {
	i := app.DefaultConfig().Intervals
	return connector.Policy{FreeVend: true, Rated: rated, SampleEnergy: i.MeterReadWh, SampleInterval: i.MeterRead}
}

func newSite(t *testing.T, connectors int) *site {
	t.Helper()
	s := &site{t: t, disk: journaltest.New(), policy: defaultPolicy(), clock: charge.ClockSynced, known: map[charge.JournalID]charge.Seq{}}
	for range connectors {
		s.outlets = append(s.outlets, &outlet{pilot: charge.PilotA, power: rated, joules: firstRegister * 3_600_000})
	}
	s.disk.Fault = func(o journaltest.Op) error {
		if o.Kind == journaltest.Sync || o.Kind == journaltest.SyncDir {
			s.at += syncTakes
		}
		return nil
	}
	s.central = ledgertest.NewBook(theCP, began)
	return s
}

// register is what the meter of an outlet shows, in Wh.
func (s *site) register(o *outlet) charge.WattHours { return charge.WattHours(s.energy(o) / 3_600_000) }

// energy is what went through the meter, in thousandths of a joule.
func (s *site) energy(o *outlet) int64 {
	if o.closed && o.pilot == charge.PilotC {
		return o.joules + int64(o.power)*(s.at-o.since).Milliseconds()
	}
	return o.joules
}

// set changes the hardware of an outlet.
func (s *site) set(o *outlet, pilot charge.PilotState, closed bool) {
	o.joules, o.since, o.pilot, o.closed = s.energy(o), s.at, pilot, closed
}

func (s *site) wall() charge.Time { return began.Add(s.at) }

// newID is as long as the ids of the product.
func (s *site) newID() string {
	s.ids++
	return fmt.Sprintf("0199aaaa-0000-7000-8000-%012d", s.ids)
}

// now is the time of a step.
func (s *site) now() point.Now {
	return point.Now{Now: connector.Now{At: s.at - s.run.bootedAt, Wall: s.wall(), Clock: s.clock}, Rand: uint64(s.ids)}
}

// start switches the power on: the agent reads its journal and boots. It reports
// whether record 1 became durable.
func (s *site) start() bool {
	s.disk.Restart()
	b := &boot{bootedAt: s.at}
	s.run = b
	b.cfg = point.Config{
		CP: theCP, Journal: charge.JournalID(s.newID()), Agent: "v0.0.0-test", Policy: s.policy,
		Telemetry: time.Hour, IdleTelemetry: time.Hour,
	}
	l, rec, err := journal.Open(s.disk, journal.Options{
		CP: theCP, Journal: b.cfg.Journal, Now: func() time.Time { return s.wall().Std() },
		Checkpoint: func() ([]byte, error) { return b.batch.Checkpoint() },
	})
	switch {
	case s.run != b:
		return false
	case err != nil:
		s.t.Fatal(err)
	}
	b.log = l
	found := point.Recovered{Position: delivery.Position(l.Position())}
	if found.Saved, err = connector.Restore(rec.Checkpoint, rec.Since, len(s.outlets)); err != nil {
		s.t.Fatal(err)
	}
	if rec.Last != nil {
		found.After = &wire.Position{Journal: rec.Last.Journal, Seq: rec.Last.Seq}
	}
	if len(rec.Damaged) > 0 {
		s.t.Fatalf("records are lost: %+v", rec.Damaged)
	}
	for _, o := range s.outlets {
		s.set(o, o.pilot, false)
		r, ok := s.read(o)
		found.Outlets = append(found.Outlets, point.Outlet{Pilot: o.pilot, Reading: r, HasReading: ok})
	}
	b.stepping = true
	var effects []point.Effect
	b.core, effects = point.Boot(b.cfg, s.now(), found)
	s.perform(effects)
	s.drain()
	return s.run == b
}

// cutAfter cuts the power at the nth operation of the disk from now.
func (s *site) cutAfter(n int) { s.disk.CrashAfter(n, s.lose) }

// settleCut decides what the disk keeps of what was not synced at the cut: nothing
// or all. A cut that has not happened yet happens now.
func (s *site) settleCut(keep bool) {
	s.disk.CrashAfter(0, nil)
	s.disk.Crash()
	s.lose()
	s.disk.Cut(func(n int) int {
		if keep {
			return n - 1
		}
		return 0
	})
}

// lose ends the process: the contactors open.
func (s *site) lose() {
	s.run = nil
	for _, o := range s.outlets {
		s.set(o, o.pilot, false)
	}
}

// read reads a meter.
func (s *site) read(o *outlet) (connector.Reading, bool) {
	r := connector.Reading{BegunAt: s.at - s.run.bootedAt, Import: s.register(o), Voltage: 230_000}
	if o.closed && o.pilot == charge.PilotC {
		r.Power, r.Current = o.power, charge.MilliAmps(int64(o.power)*1000/690)
	}
	return r, !o.silent
}

// step applies an event, and all that its effects cause at once.
func (s *site) step(e point.Event) {
	if s.run == nil {
		return
	}
	s.run.events = append(s.run.events, e)
	if !s.run.stepping {
		s.run.stepping = true
		s.drain()
	}
}

func (s *site) drain() {
	b := s.run
	for s.run == b && b != nil && len(b.events) > 0 {
		e := b.events[0]
		b.events = b.events[1:]
		s.perform(b.core.Step(s.now(), e))
	}
	if b != nil {
		b.stepping = false
	}
}

// perform performs the effects of a step, in their order.
func (s *site) perform(effects []point.Effect) {
	b := s.run
	for _, f := range effects {
		if s.run != b || b == nil {
			return
		}
		switch f := f.(type) {
		case point.OpenContactor:
			s.move(f.Connector, false)
		case point.Permit:
			s.move(f.Connector, true)
		case point.ReadMeter:
			r, ok := s.read(s.outlets[f.Connector-1])
			s.step(point.MeterRead{Connector: f.Connector, Reading: r, Failed: !ok})
		case point.Append:
			s.append(f.Batch)
		case point.SavePosition:
			err := b.log.SetPosition(journal.Position(f.Position))
			if s.run != b {
				return
			}
			if err != nil {
				s.t.Fatal(err)
			}
			s.step(point.PositionSaved{Held: s.held()})
		case point.SetTimer:
			b.timerAt = f.At
		case point.Send:
			s.deliver(f)
		default: // informs only, or needs a connection
		}
	}
}

// move moves a contactor at once.
func (s *site) move(n charge.ConnectorID, closed bool) {
	o := s.outlets[n-1]
	if o.closed == closed {
		return
	}
	s.set(o, o.pilot, closed)
	s.step(point.ContactChanged{Connector: n, Closed: closed})
}

func (s *site) append(batch *point.Batch) {
	b := s.run
	b.batch = batch
	switch err := b.log.Append(batch.Class, batch.Encoders()...); {
	case s.run != b: // the power was cut
	case errors.Is(err, journal.ErrFull):
		s.step(point.AppendFailed{NoSpace: true})
	case err != nil:
		s.t.Fatal(err)
	default:
		s.step(point.Appended{Saved: batch.Saved(), Held: s.held()})
	}
}

func (s *site) held() delivery.Held {
	h := delivery.Held{Present: s.run.cfg.Journal}
	for _, r := range s.run.log.Held() {
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.Journal, First: r.First, Last: r.Last, Index: delivery.Index(r.Index)})
	}
	return h
}

// pass lets time pass. The meters are read in the interval given.
func (s *site) pass(d, every time.Duration) {
	for end := s.at + d; s.at < end && s.run != nil; {
		s.at = min(s.at+every, end)
		s.tick()
	}
}

// tick reads the meters and fires the timer if it is due.
func (s *site) tick() {
	for i, o := range s.outlets {
		if s.run == nil {
			return
		}
		r, ok := s.read(o)
		s.step(point.MeterRead{Connector: charge.ConnectorID(i + 1), Reading: r, Failed: !ok})
	}
	if b := s.run; b != nil && b.timerAt != 0 && b.timerAt <= s.at-b.bootedAt {
		s.step(point.TimerFired{})
	}
}

// plug plugs a vehicle in that asks for power; policies.free_vend then starts a
// session.
func (s *site) plug(n charge.ConnectorID) {
	s.set(s.outlets[n-1], charge.PilotC, s.outlets[n-1].closed)
	s.step(point.PilotChanged{Connector: n, Pilot: charge.PilotC, NewSession: charge.SessionID(s.newID())})
}

// unplug ends the session.
func (s *site) unplug(n charge.ConnectorID) {
	s.set(s.outlets[n-1], charge.PilotA, s.outlets[n-1].closed)
	s.step(point.PilotChanged{Connector: n, Pilot: charge.PilotA})
}

// command passes a command of Central to the core.
func (s *site) command(n charge.ConnectorID, o wire.Order) {
	s.t.Helper()
	data, err := wire.EncodeOrder(o)
	if err != nil {
		s.t.Fatal(err)
	}
	c := wire.Command{
		V: 1, ID: charge.CommandID(s.newID()), N: uint64(s.ids), Central: epoch(), Journal: s.run.cfg.Journal, CPID: theCP, Connector: n,
		Type: o.CommandType(), IssuedAt: s.wall(), SentAt: s.wall(), ExpiresAt: s.wall().Add(30 * time.Second), Data: data,
	}
	raw, err := c.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.step(point.CommandReceived{Raw: raw, ReceivedAt: s.at - s.run.bootedAt})
}

// deliver lets Central apply the records that the core sends, and acknowledges
// them.
func (s *site) deliver(f point.Send) {
	b := s.run
	var j charge.JournalID
	for i := f.First; i <= f.Last; i++ {
		if j = s.apply(uint64(i)); s.run != b {
			return
		}
	}
	s.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(), Journal: &j, Seq: s.known[j], At: s.wall()}, Live: true})
}

// apply lets Central apply one record, and returns its journal.
func (s *site) apply(index uint64) charge.JournalID {
	b := s.run
	e, err := b.log.Read(index)
	if s.run != b {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := wire.DecodeRecord(e.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	if out, _ := s.central.Apply(r); out.Verdict == ledger.Applied {
		s.known[r.Journal] = r.Seq
	} else if out.Verdict != ledger.Duplicate {
		s.t.Fatalf("record %d of %s is %s", r.Seq, r.Journal, out.Verdict)
	}
	return r.Journal
}

// records are all records on the disk, decoded, and their bytes in total.
func (s *site) records() (all []wire.Record, size int) {
	for _, r := range s.run.log.Held() {
		for i := r.Index; i <= r.Index+uint64(r.Last-r.First); i++ {
			e, err := s.run.log.Read(i)
			if err != nil {
				s.t.Fatal(err)
			}
			rec, err := wire.DecodeRecord(e.Bytes)
			if err != nil {
				s.t.Fatal(err)
			}
			all, size = append(all, rec), size+len(e.Bytes)
		}
	}
	return all, size
}

// journalSize is the bytes of all segments.
func (s *site) journalSize() (sum int) {
	names, err := s.disk.List()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".seg") {
			sum += len(s.disk.ReadFile(n))
		}
	}
	return sum
}

func epoch() charge.Epoch { return charge.Epoch{Number: 1, Run: "00000000000000ab"} }
