package haltest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Chip is a strict fake of a GPIO chip as the kernel presents it: misuse that
// goes unnoticed with the real driver fails the test. It may be used from several
// goroutines.
//
//   - Reading an output fails the test: the real driver would make the line an
//     input with pull-up, and the relay would move.
//   - Halt fails the test: on an output it does nothing, so it opens nothing.
//   - Closing an output that was not switched off by an explicit write fails
//     the test: a released line keeps its level.
//   - Writing an input, writing or reading all lines by an empty mask, naming
//     lines beyond the set, and using a closed set fail the test.
//   - A requested output drives low at once, whatever is written later.
//   - A line that is in use cannot be requested again: an error.
type Chip struct {
	t testing.TB

	mu      sync.Mutex // guards what follows
	lines   map[string]*line
	readErr error
	late    func() time.Duration // of each reading; nil: it is at once
}

// line is one pin of the chip.
type line struct {
	used    bool
	output  bool
	level   bool   // driven by the output, or from outside for an input
	off     bool   // the level at which an output switches nothing
	history []bool // every level an output has driven, from the request on
	broken  error  // of writes
	moved   func(high bool)
}

// NewChip makes a chip with the named lines. All are inputs that nothing drives,
// so they read high, through the pull-up. Misuse is reported to tb.
func NewChip(tb testing.TB, names ...string) *Chip {
	tb.Helper()
	c := &Chip{t: tb, lines: map[string]*line{}}
	for _, name := range names {
		c.lines[name] = &line{level: true}
	}
	return c
}

// ActiveLow declares that a line switches on when low, so that it must be high
// when it is released.
func (c *Chip) ActiveLow(name string) { c.with(name, func(l *line) { l.off = true }) }

// Drive sets the level of an input from outside, as a closed contact pulls it low.
// Driving an output fails the test.
func (c *Chip) Drive(name string, high bool) {
	c.t.Helper()
	c.with(name, func(l *line) {
		if l.output {
			c.t.Errorf("the test drives %s, which is an output", name)
		}
		l.level = high
	})
}

// Level is the level of a line as a meter on the pin would show it. A released
// output keeps its last level, like a real pin.
func (c *Chip) Level(name string) (high bool) {
	c.t.Helper()
	c.with(name, func(l *line) { high = l.level })
	return high
}

// History is every level that a line has driven as an output, from its request
// on.
func (c *Chip) History(name string) (levels []bool) {
	c.t.Helper()
	c.with(name, func(l *line) { levels = append(levels, l.history...) })
	return levels
}

// FailReads makes every reading return err; nil ends that.
func (c *Chip) FailReads(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readErr = err
}

// LateReads makes every reading later by what late returns, as on a computer that is
// busy; nil ends that.
func (c *Chip) LateReads(late func() time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = late
}

// FailWrites makes every write of one line return err, without an effect; nil
// ends that.
func (c *Chip) FailWrites(name string, err error) {
	c.t.Helper()
	c.with(name, func(l *line) { l.broken = err })
}

// OnWrite calls moved with each level that is written to an output and differs
// from the one before. A test simulates there what is connected to the pin. It is
// called without a lock, on the goroutine that writes.
func (c *Chip) OnWrite(name string, moved func(high bool)) {
	c.t.Helper()
	c.with(name, func(l *line) { l.moved = moved })
}

// InUse is how many lines are requested now. After a failed New or a Close it
// must be zero.
func (c *Chip) InUse() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.lines {
		if l.used {
			n++
		}
	}
	return n
}

// with calls do with a line, under the lock.
func (c *Chip) with(name string, do func(*line)) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.lines[name]
	if !ok {
		c.t.Fatalf("this chip has no line %q", name)
	}
	do(l)
}

// Request requests lines as one set, as inputs with pull-up or as outputs. A
// requested output drives low at once.
func (c *Chip) Request(output bool, names ...string) (*Lines, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Lines{chip: c, output: output}
	for _, name := range names {
		l, ok := c.lines[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("line %s not found", name)
		case l.used:
			return nil, fmt.Errorf("line %s: device or resource busy", name)
		}
		s.names, s.lines = append(s.names, name), append(s.lines, l)
	}
	// All lines are free: nothing fails from here on, so a request is all or nothing.
	for _, l := range s.lines {
		l.used, l.output = true, output
		if output {
			l.level = false
			l.history = append(l.history, false)
		}
	}
	return s, nil
}

// Lines is a set of lines requested together.
type Lines struct {
	chip   *Chip
	output bool
	names  []string
	lines  []*line
	closed bool // guarded by chip.mu
}

// Out writes the lines of the mask. Bit i is the i-th line of the request, as
// with the real driver.
func (s *Lines) Out(bits, mask uint64) error {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	// Misuse fails the test and returns an error too, like the kernel.
	if !s.usableLocked("write", mask) {
		return errors.New("invalid argument")
	}
	if !s.output {
		s.chip.t.Errorf("write of the inputs %v", s.names)
		return errors.New("operation not permitted")
	}
	for i, l := range s.lines {
		if mask&(1<<i) == 0 {
			continue
		}
		if l.broken != nil {
			return l.broken
		}
		s.writeLocked(l, bits&(1<<i) != 0)
	}
	return nil
}

// writeLocked sets the level of an output. It releases the lock while it calls
// OnWrite's function, which may use the chip.
func (s *Lines) writeLocked(l *line, level bool) {
	// The first write is kept even if the level stays: Close asks whether a line was
	// ever written.
	moves := level != l.level
	if moves || len(l.history) < 2 {
		l.level = level
		l.history = append(l.history, level)
	}
	if moves && l.moved != nil {
		s.chip.mu.Unlock()
		defer s.chip.mu.Lock()
		l.moved(level)
	}
}

// Read returns the levels of the lines of the mask; inputs that nothing drives
// are high.
func (s *Lines) Read(mask uint64) (uint64, error) {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	if !s.usableLocked("read", mask) {
		return 0, errors.New("invalid argument")
	}
	// The kernel would allow it, and change the direction of the line.
	if s.output {
		s.chip.t.Errorf("read of the outputs %v: it would make them inputs, and the relay would move", s.names)
		return 0, errors.New("operation not permitted")
	}
	if late := s.chip.late; late != nil {
		s.chip.mu.Unlock()
		time.Sleep(late())
		s.chip.mu.Lock()
	}
	if s.chip.readErr != nil {
		return 0, s.chip.readErr
	}
	var bits uint64
	for i, l := range s.lines {
		if mask&(1<<i) != 0 && l.level {
			bits |= 1 << i
		}
	}
	return bits, nil
}

// Halt fails the test: drivers call it to switch an output off, which it does
// not.
func (s *Lines) Halt() error {
	s.chip.t.Errorf("halt of %v: it opens nothing; write the level", s.names)
	return nil
}

// Close releases the lines. Outputs keep their level, so one that is still on
// fails the test. It may be repeated.
func (s *Lines) Close() error {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	// A line whose writes fail cannot be switched off, so it is not checked.
	for i, l := range s.lines {
		if s.output && l.level != l.off && l.broken == nil {
			s.chip.t.Errorf("%s is released while switched on: it stays on", s.names[i])
		}
		if s.output && len(l.history) < 2 && l.broken == nil {
			s.chip.t.Errorf("%s is released without an explicit write", s.names[i])
		}
		l.used = false
	}
	return nil
}

// usableLocked fails the test if the set is closed or the mask is not one of its
// lines.
func (s *Lines) usableLocked(what string, mask uint64) bool {
	s.chip.t.Helper()
	switch {
	case s.closed:
		s.chip.t.Errorf("%s of the closed lines %v", what, s.names)
	case mask == 0:
		s.chip.t.Errorf("%s of %v with an empty mask, which means all of them", what, s.names)
	case mask >= 1<<len(s.lines):
		s.chip.t.Errorf("%s of %v with the mask %#x, which is beyond them", what, s.names, mask)
	default:
		return true
	}
	return false
}
