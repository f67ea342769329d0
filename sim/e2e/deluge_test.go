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

// deluge is the journal of a charging point at which more happens than a test
// can write down. What the agent says of its start is kept as it says it. From
// a moment on vehicles come and go at a steady pace; which record has become
// durable by now follows from the clock, and its bytes are made when somebody
// first reads it. An agent reads its journal from the first record that Central
// has not acknowledged, in order, so each is made behind the one that it names,
// and forgotten when one behind it is acknowledged.
//
// Its methods may be called concurrently.
type deluge struct {
	agentapp.JournalOptions
	every   time.Duration // between two records
	changed chan struct{} // capacity 1

	mu sync.Mutex
	// mu guards everything that follows.
	kept   map[charge.Seq][]byte // those that were made, from the last one acknowledged
	made   charge.Seq            // all up to it were made
	prev   string                // hash of the last one made
	acked  charge.Seq            // all up to it were acknowledged
	before charge.Seq            // the last one that the agent said itself
	since  time.Time             // when the deluge began; zero before
	most   int                   // kept at once
}

var _ agentapp.Journal = (*deluge)(nil)

func newDeluge(every time.Duration) *deluge {
	return &deluge{every: every, changed: make(chan struct{}, 1), kept: map[charge.Seq][]byte{}}
}

func (d *deluge) open(o agentapp.JournalOptions) (agentapp.Journal, agentapp.Found, error) {
	d.JournalOptions = o
	return d, agentapp.Found{}, nil
}

// run begins the deluge, and tells of it once a second, as one write after the
// other would.
func (d *deluge) run(ctx context.Context) error {
	d.mu.Lock()
	d.before, d.since = d.made, time.Now()
	d.mu.Unlock()
	turn := time.NewTicker(time.Second)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
			d.nudge()
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *deluge) nudge() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

var errDeluge = errors.New("the agent has something to say of its own, which nobody foresaw")

// Append implements agentapp.Journal.
func (d *deluge) Append(_ journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.since.IsZero() {
		return errDeluge
	}
	for _, e := range encode {
		if err := d.makeLocked(e); err != nil {
			return err
		}
	}
	d.nudge()
	return nil
}

// makeLocked makes the next record.
func (d *deluge) makeLocked(encode func(charge.Seq, string) ([]byte, error)) error {
	raw, err := encode(d.made+1, d.prev)
	if err != nil {
		return err
	}
	d.made++
	d.prev, d.kept[d.made] = wire.Hash(raw), raw
	d.most = max(d.most, len(d.kept))
	return nil
}

// happened makes a record of the deluge.
func (d *deluge) happened(seq charge.Seq, prev string) ([]byte, error) {
	var p wire.Payload = &wire.PluggedIn{}
	if (seq-d.before)%2 == 0 {
		p = &wire.Unplugged{}
	}
	r, err := wire.NewRecord(p)
	if err != nil {
		return nil, err
	}
	after := time.Duration(seq-d.before) * d.every
	r.CPID, r.Journal, r.Seq, r.Prev, r.Connector = d.CP, d.Journal, seq, prev, 1
	r.At, r.Clock, r.UptimeMS = charge.At(d.since.Add(after)), charge.ClockSynced, after.Milliseconds()
	return r.Encode()
}

func (d *deluge) lastLocked() charge.Seq {
	if d.since.IsZero() {
		return d.made
	}
	return d.before + charge.Seq(time.Since(d.since)/d.every)
}

// last is the last record that is durable.
func (d *deluge) last() charge.Seq {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lastLocked()
}

// Held implements agentapp.Journal.
func (d *deluge) Held() delivery.Held {
	h := delivery.Held{Present: d.Journal}
	if last := d.last(); last > 0 {
		h.Ranges = []delivery.Range{{Journal: d.Journal, First: 1, Last: last, Index: 1}}
	}
	return h
}

// Read implements agentapp.Journal.
func (d *deluge) Read(i delivery.Index) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.made < charge.Seq(i) && d.made < d.lastLocked() {
		if err := d.makeLocked(d.happened); err != nil {
			return nil, err
		}
	}
	raw, some := d.kept[charge.Seq(i)]
	if !some {
		return nil, fmt.Errorf("record %d is not held", i)
	}
	return raw, nil
}

// Changed implements agentapp.Journal.
func (d *deluge) Changed() <-chan struct{} { return d.changed }

// Position implements agentapp.Journal.
func (*deluge) Position() delivery.Position { return delivery.Position{} }

// SavePosition implements agentapp.Journal.
func (d *deluge) SavePosition(_ delivery.Position, acked delivery.Index) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.acked < charge.Seq(acked); d.acked++ {
		delete(d.kept, d.acked)
	}
	return nil
}

// said is the hash of a record, unless it is long acknowledged or not said yet.
func (d *deluge) said(seq charge.Seq) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	raw, some := d.kept[seq]
	if !some {
		return ""
	}
	return wire.Hash(raw)
}

// atOnce is how many records were kept at once.
func (d *deluge) atOnce() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.most
}

// Space implements agentapp.Journal: there is enough of it.
func (*deluge) Space() agentapp.Space { return agentapp.Space{} }

// Close implements agentapp.Journal.
func (*deluge) Close() error { return nil }

// busy is a charging point in a deluge: the real agent, to which nobody comes
// but by its journal.
type busy struct {
	id    charge.CPID
	log   *deluge
	agent *agentapp.Agent
}

// startBusy starts so many of them, and waits until Central knows what they say
// of their start.
func (w *world) startBusy(points int, every time.Duration) (all []*busy) {
	w.t.Helper()
	for n := range points {
		b := &busy{id: charge.CPID(fmt.Sprintf("BP_%03d", n+1)), log: newDeluge(every)}
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
	w.await(heal, "Central knows all charging points", func() bool {
		for _, b := range all {
			if s := b.agent.Status(); s.Recorded == 0 || s.Unacked > 0 {
				return false
			}
		}
		return true
	})
	return all
}
