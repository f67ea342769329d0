package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	agentapp "github.com/carga-ev/carga/agent/app"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// generatedJournal is the journal of a charging point at which more happens than a test
// can write down. What the agent says of its start is kept as it says it. From
// a moment on vehicles come and go at a steady pace; which record has become
// durable by now follows from the clock, and its bytes are made when somebody
// first reads it. An agent reads its journal from the first record that Central
// has not acknowledged, in order, so each is made behind the one that it names,
// and forgotten when one behind it is acknowledged.
//
// Its methods may be called concurrently.
type generatedJournal struct {
	agentapp.JournalOptions
	every   time.Duration // between two records
	changed chan struct{} // capacity 1

	mu sync.Mutex
	// mu guards everything that follows.
	records      map[charge.Seq][]byte // those that were made, from the last one acknowledged
	lastMade     charge.Seq            // all up to it were made
	lastHash     string                // hash of the last one made
	acked        charge.Seq            // all up to it were acknowledged
	lastAppended charge.Seq            // the last one that the agent said itself
	since        time.Time             // when the deluge began; zero before
	mostHeld     int                   // kept at once
}

var _ agentapp.Journal = (*generatedJournal)(nil)

func newGeneratedJournal(every time.Duration) *generatedJournal {
	return &generatedJournal{every: every, changed: make(chan struct{}, 1), records: map[charge.Seq][]byte{}}
}

func (d *generatedJournal) open(o agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error) {
	d.JournalOptions = o
	return d, agentapp.Recovered{}, nil
}

// run begins the deluge, and tells of it once a second, as one write after the
// other would.
func (d *generatedJournal) run(ctx context.Context) error {
	d.mu.Lock()
	d.lastAppended, d.since = d.lastMade, time.Now()
	d.mu.Unlock()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.signal()
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *generatedJournal) signal() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

var errUnexpectedAppend = errors.New("the agent has something to say of its own, which nobody foresaw")

// Append implements agentapp.Journal.
func (d *generatedJournal) Append(_ journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.since.IsZero() {
		return errUnexpectedAppend
	}
	for _, e := range encode {
		if err := d.addLocked(e); err != nil {
			return err
		}
	}
	d.signal()
	return nil
}

// addLocked makes the next record.
func (d *generatedJournal) addLocked(encode func(charge.Seq, string) ([]byte, error)) error {
	raw, err := encode(d.lastMade+1, d.lastHash)
	if err != nil {
		return err
	}
	d.lastMade++
	d.lastHash, d.records[d.lastMade] = wire.Hash(raw), raw
	d.mostHeld = max(d.mostHeld, len(d.records))
	return nil
}

// generate makes a record of the deluge.
func (d *generatedJournal) generate(seq charge.Seq, prev string) ([]byte, error) {
	var p wire.Payload = &wire.PluggedIn{}
	if (seq-d.lastAppended)%2 == 0 {
		p = &wire.Unplugged{}
	}
	r, err := wire.NewRecord(p)
	if err != nil {
		return nil, err
	}
	after := time.Duration(seq-d.lastAppended) * d.every
	r.CPID, r.Journal, r.Seq, r.Prev, r.Connector = d.CP, d.Journal, seq, prev, 1
	r.At, r.Clock, r.UptimeMS = charge.At(d.since.Add(after)), charge.ClockSynced, after.Milliseconds()
	return r.Encode()
}

func (d *generatedJournal) lastLocked() charge.Seq {
	if d.since.IsZero() {
		return d.lastMade
	}
	return d.lastAppended + charge.Seq(time.Since(d.since)/d.every)
}

// last is the last record that is durable.
func (d *generatedJournal) last() charge.Seq {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lastLocked()
}

// Held implements agentapp.Journal.
func (d *generatedJournal) Held() delivery.Held {
	h := delivery.Held{Present: d.Journal}
	if last := d.last(); last > 0 {
		h.Ranges = []delivery.Range{{Journal: d.Journal, First: 1, Last: last, Index: 1}}
	}
	return h
}

// Read implements agentapp.Journal.
func (d *generatedJournal) Read(i delivery.Index) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.lastMade < charge.Seq(i) && d.lastMade < d.lastLocked() {
		if err := d.addLocked(d.generate); err != nil {
			return nil, err
		}
	}
	raw, some := d.records[charge.Seq(i)]
	if !some {
		return nil, fmt.Errorf("record %d is not held", i)
	}
	return raw, nil
}

// Changed implements agentapp.Journal.
func (d *generatedJournal) Changed() <-chan struct{} { return d.changed }

// Position implements agentapp.Journal.
func (*generatedJournal) Position() delivery.Position { return delivery.Position{} }

// SavePosition implements agentapp.Journal.
func (d *generatedJournal) SavePosition(_ delivery.Position, acked delivery.Index) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.acked < charge.Seq(acked); d.acked++ {
		delete(d.records, d.acked)
	}
	return nil
}

// hashOf is the hash of a record, unless it is long acknowledged or not said yet.
func (d *generatedJournal) hashOf(seq charge.Seq) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	raw, some := d.records[seq]
	if !some {
		return ""
	}
	return wire.Hash(raw)
}

// mostRecords is how many records were kept at once.
func (d *generatedJournal) mostRecords() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mostHeld
}

// Space implements agentapp.Journal: there is enough of it.
func (*generatedJournal) Space() agentapp.Space { return agentapp.Space{} }

// Close implements agentapp.Journal.
func (*generatedJournal) Close() error { return nil }

// generatedPoint is a charging point in a deluge: the real agent, to which nobody comes
// but by its journal.
type generatedPoint struct {
	id    charge.CPID
	log   *generatedJournal
	agent *agentapp.Agent
}

// startGenerated starts so many of them, and waits until Central knows what they say
// of their start.
func (w *world) startGenerated(points int, every time.Duration) (all []*generatedPoint) {
	w.t.Helper()
	for n := range points {
		b := &generatedPoint{id: charge.CPID(fmt.Sprintf("BP_%03d", n+1)), log: newGeneratedJournal(every)}
		hardware := sim.DefaultConfig()
		hardware.Serial, hardware.Seed = string(b.id), uint64(n)
		board, err := sim.New(hardware)
		if err != nil {
			w.t.Fatal(err)
		}
		cfg := agentapp.DefaultConfig()
		cfg.CPID, cfg.DataDir, cfg.MQTT.URL = b.id, filepath.Join(w.dir, string(b.id)), "tcp://"+mqttAddr
		cfg.StopWithin = time.Millisecond
		// Nobody comes: the hardware is looked at as seldom as can be.
		cfg.Intervals.Control, cfg.Intervals.Meter, cfg.Intervals.IdleTelemetry = w.plan.idle, w.plan.idle, w.plan.idle
		b.agent = agentapp.New(cfg, agentapp.Deps{
			Log: w.logger(string(b.id)), Board: board, Dial: w.dialMQTT("agent-mqtt"), Clock: synced, Open: b.log.open,
		})
		w.run("agent of "+string(b.id), func(ctx context.Context) error { return errors.Join(b.agent.Run(ctx), board.Close()) })
		all = append(all, b)
	}
	w.await(healTimeout, "Central knows all charging points", func() bool {
		for _, b := range all {
			if s := b.agent.Status(); s.Recorded == 0 || s.Unacked > 0 {
				return false
			}
		}
		return true
	})
	return all
}
