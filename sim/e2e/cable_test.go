package e2e_test

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// weather is what a cable does to the bytes on it.
type weather int

const (
	passes weather = iota
	cut            // connections break, new ones are refused
	hole           // nothing passes either way, and nobody is told
	noSay          // what the dialler says is swallowed
	noHear         // what the dialler should hear is swallowed
)

// cable is the way from one part to a broker. What was swallowed once is gone:
// that connection is never whole again, as after a router that forgot it.
type cable struct {
	mu      sync.Mutex
	weather weather         // mu guards it and what follows
	wires   map[*strand]any // connections that are open
}

func (c *cable) set(to weather) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.weather = to
	for w := range c.wires {
		switch to {
		case cut:
			_ = w.Conn.Close()
		case passes:
			if w.bent() { // the end of a swallowed connection is a reset
				_ = w.Conn.Close()
			}
		default:
			w.bend(to)
		}
	}
}

// forget makes the connections that are open dead for good, as after a router
// that lost its tables; new ones are not concerned.
func (c *cable) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.wires {
		w.bend(hole)
	}
}

// dial opens a connection. In a hole it waits until the weather is better, or
// the caller has waited enough.
func (c *cable) dial(ctx context.Context, open func() (net.Conn, error)) (net.Conn, error) {
	for {
		c.mu.Lock()
		now := c.weather
		c.mu.Unlock()
		switch now {
		case cut:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case passes:
			inner, err := open()
			if err != nil {
				return nil, err
			}
			w := &strand{Conn: inner, cable: c, gone: make(chan struct{})}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.wires == nil {
				c.wires = map[*strand]any{}
			}
			c.wires[w] = nil
			return w, nil
		default:
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// strand is one connection on a cable.
type strand struct {
	net.Conn
	cable *cable
	once  sync.Once
	gone  chan struct{} // closed by Close

	mu      sync.Mutex
	weather weather // mu guards it and what follows
	read    time.Time
}

func (w *strand) bend(to weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = to
}

func (w *strand) state() weather {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.weather
}

func (w *strand) bent() bool { return w.state() != passes }

func (w *strand) deaf() bool { s := w.state(); return s == hole || s == noHear }

func (w *strand) mute() bool { s := w.state(); return s == hole || s == noSay }

// Read swallows what arrives while nothing is to be heard, the end of the
// connection too.
func (w *strand) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		switch {
		case !w.deaf():
			return n, err
		case err == nil:
		case os.IsTimeout(err):
			return 0, err
		default:
			return 0, w.silence(err)
		}
	}
}

// silence waits until the reader gives up.
func (w *strand) silence(err error) error {
	for w.deaf() {
		w.mu.Lock()
		until := w.read
		w.mu.Unlock()
		if !until.IsZero() && !time.Now().Before(until) {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-w.gone:
			return net.ErrClosed
		case <-time.After(time.Second):
		}
	}
	return err
}

// Write swallows what is said while nothing passes.
func (w *strand) Write(b []byte) (int, error) {
	if w.mute() {
		select {
		case <-w.gone:
			return 0, net.ErrClosed
		default:
			return len(b), nil
		}
	}
	return w.Conn.Write(b)
}

func (w *strand) SetDeadline(t time.Time) error {
	w.note(t)
	return w.Conn.SetDeadline(t)
}

func (w *strand) SetReadDeadline(t time.Time) error {
	w.note(t)
	return w.Conn.SetReadDeadline(t)
}

func (w *strand) note(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = t
}

func (w *strand) Close() error {
	w.once.Do(func() {
		close(w.gone)
		w.cable.mu.Lock()
		delete(w.cable.wires, w)
		w.cable.mu.Unlock()
	})
	return w.Conn.Close()
}
