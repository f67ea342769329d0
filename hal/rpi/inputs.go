package rpi

import (
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/carga-ev/carga/hal"
)

// samplePeriod is the least time between two readings that count. A ticker may be early
// by tickSlack, after it was late.
const (
	samplePeriod = 5 * time.Millisecond
	tickSlack    = time.Millisecond
)

// contact debounces one input in samples.
type contact struct {
	bit    gpio.GPIOValue
	closed bool          // the level of the last agreeing samples
	known  bool          // closed is the present level
	next   bool          // the level of the latest samples
	count  int           // how many of them in a row
	since  time.Duration // the first of them
}

// sample applies one reading. A level counts when need readings in a row agree, over
// the time that these take: readings that follow a late one at once prove nothing more.
// After a gap in the readings the old level counts only if the new reading agrees with
// it.
func (c *contact) sample(now time.Duration, closed bool, need int, gap bool) {
	if closed != c.next || c.count == 0 {
		c.next, c.count, c.since = closed, 0, now
	}
	c.count = min(c.count+1, need)
	switch {
	case c.count >= need && now-c.since >= time.Duration(need-1)*samplePeriod-tickSlack:
		c.closed, c.known = closed, true
	case gap && closed != c.closed:
		c.known = false
	}
}

// inputs reads all contacts of the board together, when a caller reads one and
// the last reading is old enough.
type inputs struct {
	lines Lines
	mask  gpio.GPIOValue
	need  int
	start time.Time

	mu       sync.Mutex // guards what follows
	contacts []contact
	stamp    hal.Stamp
	err      error // of the last reading
	closed   bool
}

func newInputs(lines Lines, count, need int, start time.Time) *inputs {
	in := &inputs{lines: lines, need: need, start: start, mask: 1<<count - 1}
	for i := range count {
		in.contacts = append(in.contacts, contact{bit: 1 << i})
	}
	return in
}

// fill makes the first samples, so that the levels are known at once.
func (in *inputs) fill() error {
	if in.mask == 0 {
		return nil
	}
	for range in.need {
		in.mu.Lock()
		in.sampleLocked(time.Since(in.start))
		err := in.err
		in.mu.Unlock()
		if err != nil {
			return err
		}
		time.Sleep(samplePeriod)
	}
	return nil
}

// read returns whether contact i is closed.
func (in *inputs) read(i int) (closed bool, stamp hal.Stamp, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false, hal.Stamp{}, hal.ErrClosed
	}
	if now := time.Since(in.start); now-in.stamp.Mono >= samplePeriod || in.err != nil {
		in.sampleLocked(now)
	}
	c := &in.contacts[i]
	switch {
	case in.err != nil:
		return false, in.stamp, in.err
	case !c.known:
		return false, in.stamp, hal.ErrUnreadable
	}
	return c.closed, in.stamp, nil
}

// refresh makes a sample that no caller asked for.
func (in *inputs) refresh() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed && in.mask != 0 {
		in.sampleLocked(time.Since(in.start))
	}
}

// sampleLocked reads all contacts once. A failed reading makes every level
// unknown until enough good ones agree.
func (in *inputs) sampleLocked(now time.Duration) {
	levels, err := in.lines.Read(in.mask)
	if err != nil {
		in.err = fmt.Errorf("rpi: inputs: %w: %w", hal.ErrUnreadable, err)
		for i := range in.contacts {
			in.contacts[i].known, in.contacts[i].count = false, 0
		}
		return
	}
	gap := now-in.stamp.Mono > hal.MaxSafetyAge
	in.err = nil
	in.stamp = hal.Stamp{Mono: now, Seq: in.stamp.Seq + 1}
	for i := range in.contacts {
		c := &in.contacts[i]
		c.sample(now, levels&c.bit == 0, in.need, gap) // a closed contact pulls its pin low
	}
}

func (in *inputs) close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	if in.lines == nil {
		return nil
	}
	if err := in.lines.Close(); err != nil {
		return fmt.Errorf("rpi: release inputs: %w", err)
	}
	return nil
}
