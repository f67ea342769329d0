package rpi

import (
	"errors"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
)

// lock is a bolt that a motor or a solenoid moves. The coil of a motor is fed for
// the time of the movement only, and never both ways at once.
type lock struct {
	board    *Board
	bolt     *output // locks
	unbolt   *output // unlocks; nil: a solenoid, which unlocks without power
	move     time.Duration
	feedback int // place among the inputs, or absent

	mu    sync.Mutex    // guards what follows
	want  hal.LockState // unknown before the first command
	until time.Duration // the bolt moves until then, on the board's clock
	err   error         // of the last write
	seq   uint64
}

var _ hal.Lock = (*lock)(nil)

// Set implements hal.Lock. A repeated command moves the bolt again, so that one
// that did not reach its end gets another try.
func (l *lock) Set(locked bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := hal.LockOpen
	if locked {
		want = hal.LockLocked
	}
	if want == l.want && l.err == nil && l.board.Mono() < l.until {
		return nil // it is on its way
	}
	l.want, l.until = want, l.board.Mono()+l.move
	if l.unbolt == nil {
		l.err = l.bolt.set(locked)
		return l.err
	}
	on, off := l.bolt, l.unbolt
	if !locked {
		on, off = off, on
	}
	if l.err = off.set(false); l.err == nil {
		l.err = on.set(true)
	}
	time.AfterFunc(l.move, func() { l.endPulse(on) })
	return l.err
}

// endPulse cuts the current of a motor. A motor that goes on is an error of the
// next State.
func (l *lock) endPulse(coil *output) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.board.Mono() < l.until {
		return // a later command has a pulse of its own
	}
	l.err = errors.Join(l.err, coil.set(false))
}

// State implements hal.Lock.
func (l *lock) State() (hal.LockState, hal.Stamp, error) {
	if l.feedback != absent {
		locked, stamp, err := l.board.inputs.read(l.feedback)
		l.mu.Lock()
		defer l.mu.Unlock()
		switch err = errors.Join(err, l.err); {
		case err != nil:
			return hal.LockUnknown, stamp, err
		case locked:
			return hal.LockLocked, stamp, nil
		}
		return hal.LockOpen, stamp, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.board.Mono()
	switch {
	case l.bolt.released():
		return hal.LockUnknown, hal.Stamp{}, hal.ErrClosed
	case l.err != nil:
		return hal.LockUnknown, hal.Stamp{}, l.err
	}
	l.seq++
	stamp := hal.Stamp{Mono: now, Seq: l.seq}
	if now < l.until {
		return hal.LockUnknown, stamp, nil
	}
	return l.want, stamp, nil
}
