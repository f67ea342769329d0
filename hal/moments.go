package hal

import (
	"sync"
	"time"
)

// Moments is the channel of a reader or of buttons: it passes each value to one
// receiver, waits for it no longer than MomentLasts, and holds the latest value
// only. It starts no goroutine. Make it with NewMoments.
type Moments[T any] struct {
	c chan T // capacity 1

	mu     sync.Mutex // guards what follows, and sending and dropping
	number int        // of the value that was added last
	closed bool
}

// NewMoments makes an open channel.
func NewMoments[T any]() *Moments[T] { return &Moments[T]{c: make(chan T, 1)} }

// C is the channel to receive from; the same one each time.
func (m *Moments[T]) C() <-chan T { return m.c }

// Add offers a value in place of the one that still waits. It never blocks, and
// does nothing after Close.
func (m *Moments[T]) Add(v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.dropLocked()
	m.c <- v // it is empty, and all senders hold the lock
	m.number++
	number := m.number
	time.AfterFunc(MomentLasts, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.number == number {
			m.dropLocked()
		}
	})
}

// dropLocked empties the channel.
func (m *Moments[T]) dropLocked() {
	select {
	case <-m.c:
	default:
	}
}

// Close drops the value that waits and closes the channel. It may be repeated.
func (m *Moments[T]) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.dropLocked()
	m.closed = true
	close(m.c)
}
