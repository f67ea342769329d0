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

// generatedJournal is the journal of a charging point with more records than a
// test can write. The records of the agent's start are kept. From run on
// vehicles come and go at a steady rate: how many records are durable follows
// from the clock, and a record's bytes are made when it is first read. An agent
// reads its journal in order from the first unacknowledged record, so each
// record is made after the one that it names by its hash, and is deleted once a
// later one is acknowledged.
//
// Its methods may be called concurrently.
type generatedJournal struct {
	agentapp.JournalOptions
	every time.Duration // between two records

	mu sync.Mutex
	// mu guards everything that follows.
	records      map[charge.Seq][]byte // made records, from the last acknowledged one
	lastMade     charge.Seq            // all records up to it were made
	lastHash     string                // hash of the last record made
	acked        charge.Seq            // all records up to it were acknowledged
	lastAppended charge.Seq            // the last record that the agent appended
	since        time.Time             // when run began; zero before
	mostHeld     int                   // the largest number of records held
}

var _ agentapp.Journal = (*generatedJournal)(nil)

func newGeneratedJournal(every time.Duration) *generatedJournal {
	return &generatedJournal{every: every, records: map[charge.Seq][]byte{}}
}

func (g *generatedJournal) open(o agentapp.JournalOptions) (agentapp.Journal, agentapp.Recovered, error) {
	g.JournalOptions = o
	return g, agentapp.Recovered{}, nil
}

// run begins to generate records. The agent looks once a second what the disk
// holds.
func (g *generatedJournal) run() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lastAppended, g.since = g.lastMade, time.Now()
}

var errUnexpectedAppend = errors.New("the agent appends a record of its own, which this test does not expect")

// Append implements agentapp.Journal.
func (g *generatedJournal) Append(_ journal.Class, encode ...func(charge.Seq, string) ([]byte, error)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.since.IsZero() {
		return errUnexpectedAppend
	}
	for _, e := range encode {
		if err := g.addLocked(e); err != nil {
			return err
		}
	}
	return nil
}

// addLocked makes the next record.
func (g *generatedJournal) addLocked(encode func(charge.Seq, string) ([]byte, error)) error {
	raw, err := encode(g.lastMade+1, g.lastHash)
	if err != nil {
		return err
	}
	g.lastMade++
	g.lastHash, g.records[g.lastMade] = wire.Hash(raw), raw
	g.mostHeld = max(g.mostHeld, len(g.records))
	return nil
}

// generate encodes a generated record: plugged in and unplugged alternate.
func (g *generatedJournal) generate(seq charge.Seq, prev string) ([]byte, error) {
	var p wire.Payload = &wire.PluggedIn{}
	if (seq-g.lastAppended)%2 == 0 {
		p = &wire.Unplugged{}
	}
	r, err := wire.NewRecord(p)
	if err != nil {
		return nil, err
	}
	after := time.Duration(seq-g.lastAppended) * g.every
	r.CPID, r.Journal, r.Seq, r.Prev, r.Connector = g.CP, g.Journal, seq, prev, 1
	r.At, r.Clock, r.UptimeMS = charge.At(g.since.Add(after)), charge.ClockSynced, after.Milliseconds()
	return r.Encode()
}

func (g *generatedJournal) lastLocked() charge.Seq {
	if g.since.IsZero() {
		return g.lastMade
	}
	return g.lastAppended + charge.Seq(time.Since(g.since)/g.every)
}

// last is the last durable record.
func (g *generatedJournal) last() charge.Seq {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lastLocked()
}

// Held implements agentapp.Journal.
func (g *generatedJournal) Held() delivery.Held {
	h := delivery.Held{Present: g.Journal}
	if last := g.last(); last > 0 {
		h.Ranges = []delivery.Range{{Journal: g.Journal, First: 1, Last: last, Index: 1}}
	}
	return h
}

// Read implements agentapp.Journal.
func (g *generatedJournal) Read(i delivery.Index) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.lastMade < charge.Seq(i) && g.lastMade < g.lastLocked() {
		if err := g.addLocked(g.generate); err != nil {
			return nil, err
		}
	}
	raw, some := g.records[charge.Seq(i)]
	if !some {
		return nil, fmt.Errorf("record %d is not held", i)
	}
	return raw, nil
}

// Position implements agentapp.Journal.
func (*generatedJournal) Position() delivery.Position { return delivery.Position{} }

// SavePosition implements agentapp.Journal.
func (g *generatedJournal) SavePosition(_ delivery.Position, acked delivery.Index) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; g.acked < charge.Seq(acked); g.acked++ {
		delete(g.records, g.acked)
	}
	return nil
}

// hashOf returns the hash of a record; "" if it was deleted or not made yet.
func (g *generatedJournal) hashOf(seq charge.Seq) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	raw, some := g.records[seq]
	if !some {
		return ""
	}
	return wire.Hash(raw)
}

// mostRecords is the largest number of records that were held.
func (g *generatedJournal) mostRecords() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mostHeld
}

// QuotaPermille implements agentapp.Journal: there is enough.
func (*generatedJournal) QuotaPermille() int64 { return 0 }

// Close implements agentapp.Journal.
func (*generatedJournal) Close() error { return nil }

// generatedPoint is a charging point with a generated journal: the real agent,
// without vehicles.
type generatedPoint struct {
	id    charge.CPID
	log   *generatedJournal
	agent *agentapp.Agent
}

// startGenerated starts charging points with generated journals, and waits
// until the records of their starts are acknowledged.
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
		// No vehicle comes, so the hardware is read as seldom as possible.
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
