package mqttlink

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// guardedConn wraps the line of one connection. It reports the end of the line at
// once, also while a handler keeps paho from seeing it, bounds every packet, and
// bounds every write:
// paho's ping is written without a deadline and would wait for ever on a line
// that takes nothing.
type guardedConn struct {
	net.Conn
	packets *frames // reads from Conn
	lost    func(error)
}

func (g *guardedConn) Read(b []byte) (int, error) {
	n, err := g.packets.Read(b)
	if err != nil {
		g.lost(fmt.Errorf("read: %w", err))
	}
	return n, err
}

func (g *guardedConn) Write(b []byte) (int, error) {
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

// SetWriteDeadline leaves the deadline to Write: paho takes it off again, also
// under a concurrent write.
func (*guardedConn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the line; closing it again is no error.
func (g *guardedConn) Close() error {
	if err := g.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
