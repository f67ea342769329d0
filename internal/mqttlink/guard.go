package mqttlink

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// guardedConn wraps the network connection of one Conn.
//
//   - It reports the end of the connection at once, even while a handler keeps
//     paho from reading it.
//   - It bounds every packet (frames).
//   - It bounds every write: paho writes its ping without a deadline, and would wait
//     for ever on a connection whose peer reads nothing.
type guardedConn struct {
	net.Conn
	packets *frames // reads from Conn
	lost    func(error)

	writing sync.Mutex // paho and ackLoop write, each whole packets by one Write
}

// Read implements net.Conn.
func (g *guardedConn) Read(b []byte) (int, error) {
	n, err := g.packets.Read(b)
	if err != nil {
		g.lost(fmt.Errorf("read: %w", err))
	}
	return n, err
}

// Write implements net.Conn.
func (g *guardedConn) Write(b []byte) (int, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		g.lost(fmt.Errorf("write: %w", err))
		return 0, err
	}
	n, err := g.Conn.Write(b)
	if err != nil {
		g.lost(fmt.Errorf("write: %w", err))
	}
	return n, err
}

// SetWriteDeadline leaves the deadline to Write, because paho removes it again,
// even during a concurrent write.
func (*guardedConn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection. Closing it twice is no error.
func (g *guardedConn) Close() error {
	if err := g.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
