package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/logs"
)

// Times of a recorder.
const (
	// FlushEvery is how often it writes: an agent that is killed loses no more.
	FlushEvery = 5 * time.Second
	// RetryEvery is how often a disk that failed is tried again.
	RetryEvery = 30 * time.Second
)

// queued is how many steps may wait to be encoded, queuedTrips how many trips, and
// buffered how many bytes to be written.
const (
	queued      = 512
	queuedTrips = 4
	buffered    = 64 << 10
)

// Recorder records the steps of one boot. Make it with New; a nil one records
// nothing. Boot and Step belong to the goroutine of the core, Trip to that of the
// control loop's Assist, Run to another one; the rest may be called from any.
type Recorder struct {
	open func() (journal.FS, error)
	log  *slog.Logger

	queue chan entry
	trips chan trip
	wants atomic.Bool   // a state, with which a file begins
	lost  atomic.Uint64 // steps that are not in the ring
	wrote atomic.Uint64 // bytes
	// trouble is why nothing can be written, and since when; nil: it can.
	trouble atomic.Pointer[string]

	leftOut  uint64 // owned by the core: steps left out since the last entry
	leftTrip int    // owned by the caller of Trip: trips left out since the last one

	// What follows is owned by Run.
	head    head
	fs      journal.FS
	file    journal.File // nil: none is begun
	size    int64        // of file
	begun   int64        // its size behind the state
	buffer  bytes.Buffer
	steps   uint64 // in buffer
	full    bool   // the next file was asked for
	missing uint64 // steps that could not be written, since the last file
	retryAt time.Time
	memory  memory
}

// entry is what the core passes to Run.
type entry struct {
	lost    uint64 // so many steps before it
	now     point.Now
	boot    *boot
	event   point.Event // nil: none
	effects []point.Effect
	state   *point.Snapshot // after event; nil: none is wanted
}

// New makes the recorder of a boot. open opens the folder of the ring; it is called
// again while it fails.
func New(open func() (journal.FS, error), cfg *point.Config, log *slog.Logger) *Recorder {
	return &Recorder{
		open: open, log: log, queue: make(chan entry, queued), trips: make(chan trip, queuedTrips),
		head: head{Format: format, Agent: cfg.Agent, CP: cfg.CP, Journal: cfg.Journal},
	}
}

// Boot records point.Boot.
func (r *Recorder) Boot(cfg point.Config, now point.Now, found point.Recovered, effects []point.Effect) {
	if r != nil {
		r.queue <- entry{boot: &boot{Now: now, Config: cfg, Recovered: found}, effects: effects} // it is the first
	}
}

// Step records a step of s, which has just been made. It does not wait.
func (r *Recorder) Step(now point.Now, e point.Event, effects []point.Effect, s *point.State) {
	switch {
	case r == nil:
		return
	case len(r.queue) == cap(r.queue): // only this goroutine adds to it
		r.leftOut++
		r.lost.Add(1)
		return
	}
	next := entry{now: now, event: e, effects: effects}
	if r.leftOut > 0 { // this step cannot be replayed: the state before it is not known
		r.lost.Add(1)
		next, r.leftOut = entry{lost: r.leftOut + 1}, 0
		r.wants.Store(true)
	}
	if r.wants.Swap(false) {
		next.state = new(s.Snapshot())
	}
	r.queue <- next
}

// Trip records a trip of the control loop, and the time of its last tick. It does not
// wait. The ticks are the recorder's from now on.
func (r *Recorder) Trip(wall charge.Time, t safety.Trip) {
	if r == nil {
		return
	}
	t.LeftOut += r.leftTrip
	select {
	case r.trips <- trip{wall, t}:
		r.leftTrip = 0
	default:
		r.leftTrip = t.LeftOut + 1
	}
}

// Lost is how many steps are not in the ring.
func (r *Recorder) Lost() uint64 {
	if r == nil {
		return 0
	}
	return r.lost.Load()
}

// Written is how many bytes were written.
func (r *Recorder) Written() uint64 {
	if r == nil {
		return 0
	}
	return r.wrote.Load()
}

// Trouble is why nothing can be recorded, in words; empty if it can.
func (r *Recorder) Trouble() string {
	if r == nil {
		return ""
	}
	if why := r.trouble.Load(); why != nil {
		return *why
	}
	return ""
}

// Run writes until ctx ends, and then what is queued.
func (r *Recorder) Run(ctx context.Context) {
	if r == nil {
		return
	}
	flush := time.NewTicker(FlushEvery)
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			r.drain()
			for len(r.trips) > 0 {
				r.trip(<-r.trips)
			}
			r.end()
			return
		case e := <-r.queue:
			r.write(e)
		case t := <-r.trips:
			r.drain() // what came before it
			r.trip(t)
		case <-flush.C:
			r.flush(false)
			if r.file == nil && !time.Now().Before(r.retryAt) {
				r.wants.Store(true)
			}
		}
	}
}

// drain writes what is queued.
func (r *Recorder) drain() {
	for len(r.queue) > 0 {
		r.write(<-r.queue)
	}
}

// write encodes an entry.
func (r *Recorder) write(e entry) {
	r.missing += e.lost
	if e.boot != nil {
		e.boot.did = describe(e.effects)
		r.begin(&line{Boot: e.boot})
	}
	if e.event != nil {
		r.step(&e)
	}
	if e.state != nil {
		raw, err := json.Marshal(e.state)
		if err != nil {
			r.fail(fmt.Errorf("encode the state: %w", err))
			return
		}
		r.begin(&line{State: raw})
	}
}

// step encodes a step. A fault is written and synced at once: power may be gone next.
func (r *Recorder) step(e *entry) {
	if r.file == nil {
		r.miss(1)
		return
	}
	s, some, err := r.memory.encode(e.now, e.event, describe(e.effects))
	if err == nil && some {
		err = appendLine(&r.buffer, &line{Step: s})
	}
	switch {
	case err != nil:
		r.fail(fmt.Errorf("encode a step: %w", err))
		return
	case !some:
		return
	}
	_, fault := e.event.(point.FaultSeen)
	r.added(fault)
}

// trip encodes a trip. It counts as a step.
func (r *Recorder) trip(t trip) {
	if r.file == nil {
		r.miss(1)
		return
	}
	l, err := t.encode()
	if err == nil {
		err = appendLine(&r.buffer, &line{Trip: l})
	}
	if err != nil {
		r.fail(fmt.Errorf("encode a trip: %w", err))
		return
	}
	r.added(true)
}

// added writes the buffer if it must not wait, and asks for the next file.
func (r *Recorder) added(sync bool) {
	r.steps++
	if sync || r.buffer.Len() >= buffered {
		r.flush(sync)
	}
	if r.size+int64(r.buffer.Len())-r.begun >= fileSize && !r.full {
		r.full = true
		r.wants.Store(true)
	}
}

// begin begins a file with the state of the core, in l.
func (r *Recorder) begin(l *line) {
	r.end()
	if time.Now().Before(r.retryAt) {
		return
	}
	err := r.create()
	if err == nil {
		err = appendLine(&r.buffer, &line{Head: &r.head})
	}
	if err == nil && r.missing > 0 {
		err = appendLine(&r.buffer, &line{Lost: r.missing})
	}
	if err == nil {
		err = appendLine(&r.buffer, l)
	}
	if err != nil {
		r.fail(err)
		return
	}
	if r.flush(false); r.file == nil {
		return
	}
	r.missing, r.begun, r.full, r.memory = 0, r.size, false, memory{}
	if r.trouble.Swap(nil) != nil {
		r.log.Info("the flight recorder records again")
	}
}

// create makes the next file.
func (r *Recorder) create() error {
	if r.fs == nil {
		fs, err := r.open()
		if err != nil {
			return err
		}
		r.fs = fs
	}
	f, err := next(r.fs)
	if err != nil {
		return err
	}
	r.file, r.size = f, 0
	return nil
}

// flush writes the buffer.
func (r *Recorder) flush(sync bool) {
	if r.file == nil || r.buffer.Len() == 0 {
		return
	}
	n, err := r.file.WriteAt(r.buffer.Bytes(), r.size)
	r.size += int64(n)
	r.wrote.Add(uint64(n)) //nolint:gosec // not negative
	if err == nil && sync {
		err = r.file.Sync()
	}
	if err != nil {
		r.fail(fmt.Errorf("write: %w", err))
		return
	}
	r.buffer.Reset()
	r.steps = 0
}

// end ends the present file.
func (r *Recorder) end() {
	r.flush(false)
	if r.file == nil {
		return
	}
	if err := r.file.Close(); err != nil {
		r.fail(err)
	}
	r.file = nil
}

// fail gives the present file up. A later one begins with the state of that time.
func (r *Recorder) fail(err error) {
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	r.miss(r.steps)
	r.file, r.steps, r.retryAt = nil, 0, time.Now().Add(RetryEvery)
	r.buffer.Reset()
	if r.trouble.Load() == nil {
		r.trouble.Store(new(fmt.Sprintf("nothing is recorded since %s: %v", time.Now().UTC().Format(time.RFC3339), err)))
		r.log.Warn("the flight recorder cannot write; charging goes on", logs.Err(err))
	}
}

// miss counts steps that are not in the ring.
func (r *Recorder) miss(n uint64) {
	r.missing += n
	r.lost.Add(n)
}
