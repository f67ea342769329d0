package e2e_test

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// linkState is what a link does with the bytes on it.
type linkState int

const (
	linkUp        linkState = iota
	linkCut                 // connections are closed, new ones are refused
	linkBlackhole           // bytes are dropped in both directions, without an error
	linkNoSend              // bytes from the dialler are dropped
	linkNoReceive           // bytes to the dialler are dropped
)

// faultyLink is the network between one kind of program and a broker. A
// connection whose bytes were dropped is never whole again: it is reset when
// the link is up again, as by a router that lost its tables.
type faultyLink struct {
	mu    sync.Mutex
	state linkState           // mu guards it and what follows
	conns map[*faultyConn]any // open connections
}

func (c *faultyLink) set(to linkState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = to
	for w := range c.conns {
		switch to {
		case linkCut:
			_ = w.Conn.Close()
		case linkUp:
			if w.impaired() { // reset connections that have lost bytes
				_ = w.Conn.Close()
			}
		default:
			w.setState(to)
		}
	}
}

// blackhole drops all bytes of the open connections from now on; new
// connections work.
func (c *faultyLink) blackhole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.conns {
		w.setState(linkBlackhole)
	}
}

// dial opens a connection. While bytes are dropped it waits until the link is
// up, or ctx ends.
func (c *faultyLink) dial(ctx context.Context, open func() (net.Conn, error)) (net.Conn, error) {
	for {
		c.mu.Lock()
		now := c.state
		c.mu.Unlock()
		switch now {
		case linkCut:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		case linkUp:
			inner, err := open()
			if err != nil {
				return nil, err
			}
			w := &faultyConn{Conn: inner, link: c, closed: make(chan struct{})}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.conns == nil {
				c.conns = map[*faultyConn]any{}
			}
			c.conns[w] = nil
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

// faultyConn is one connection of a link.
type faultyConn struct {
	net.Conn
	link   *faultyLink
	once   sync.Once
	closed chan struct{} // closed by Close

	mu           sync.Mutex
	linkState    linkState // mu guards it and what follows
	readDeadline time.Time
}

func (w *faultyConn) setState(to linkState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linkState = to
}

func (w *faultyConn) state() linkState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.linkState
}

func (w *faultyConn) impaired() bool { return w.state() != linkUp }

func (w *faultyConn) dropsReads() bool {
	s := w.state()
	return s == linkBlackhole || s == linkNoReceive
}

func (w *faultyConn) dropsWrites() bool { s := w.state(); return s == linkBlackhole || s == linkNoSend }

// Read drops what arrives while reads are dropped, also the end of the
// connection.
func (w *faultyConn) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		switch {
		case !w.dropsReads():
			return n, err
		case err == nil:
		case os.IsTimeout(err):
			return 0, err
		default:
			return 0, w.awaitReadDeadline(err)
		}
	}
}

// awaitReadDeadline waits until the deadline of the reader, or until reads are
// no longer dropped; then it returns err.
func (w *faultyConn) awaitReadDeadline(err error) error {
	for w.dropsReads() {
		w.mu.Lock()
		until := w.readDeadline
		w.mu.Unlock()
		if !until.IsZero() && !time.Now().Before(until) {
			return os.ErrDeadlineExceeded
		}
		select {
		case <-w.closed:
			return net.ErrClosed
		case <-time.After(time.Second):
		}
	}
	return err
}

// Write reports success for bytes that it drops.
func (w *faultyConn) Write(b []byte) (int, error) {
	if w.dropsWrites() {
		select {
		case <-w.closed:
			return 0, net.ErrClosed
		default:
			return len(b), nil
		}
	}
	return w.Conn.Write(b)
}

func (w *faultyConn) SetDeadline(t time.Time) error {
	w.noteReadDeadline(t)
	return w.Conn.SetDeadline(t)
}

func (w *faultyConn) SetReadDeadline(t time.Time) error {
	w.noteReadDeadline(t)
	return w.Conn.SetReadDeadline(t)
}

func (w *faultyConn) noteReadDeadline(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readDeadline = t
}

func (w *faultyConn) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.link.mu.Lock()
		delete(w.link.conns, w)
		w.link.mu.Unlock()
	})
	return w.Conn.Close()
}
