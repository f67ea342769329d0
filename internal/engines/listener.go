package engines

import (
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// clientListener is the MQTT broker's listener. It replaces the one of the
// broker's library, whose Close has three faults: it adds to a wait group while
// the group is waited for, it takes a read lock twice and blocks for ever when
// a client disconnects in between, and it skips connections that have not sent
// CONNECT.
//
// This one accepts one connection at a time: the next after the broker has
// begun to read the last. Close ends accepting first, and then disconnects all
// clients itself.
type clientListener struct {
	listener    net.Listener
	server      *mqtt.Server
	once        sync.Once
	acceptEnded chan struct{} // closed when no more connection is accepted

	mu sync.Mutex
	// mu guards everything that follows.
	conns map[*clientConn]struct{} // open connections
}

var _ listeners.Listener = (*clientListener)(nil)

func newClientListener(l net.Listener, s *mqtt.Server) *clientListener {
	return &clientListener{listener: l, server: s, acceptEnded: make(chan struct{}), conns: map[*clientConn]struct{}{}}
}

func (*clientListener) Init(*slog.Logger) error { return nil }

func (*clientListener) ID() string { return "carga" }

func (l *clientListener) Address() string { return l.listener.Addr().String() }

func (l *clientListener) Protocol() string { return l.listener.Addr().Network() }

// Serve accepts connections until the listener is closed.
func (l *clientListener) Serve(establish listeners.EstablishFn) {
	defer close(l.acceptEnded)
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		c := &clientConn{Conn: conn, firstRead: make(chan struct{})}
		l.mu.Lock()
		l.conns[c] = struct{}{}
		l.mu.Unlock()
		go func() {
			defer l.remove(c)
			_ = establish(l.ID(), c) // an error concerns this client, which reconnects
		}()
		<-c.firstRead
	}
}

// Close stops accepting, and then disconnects every client.
func (l *clientListener) Close(listeners.CloseFn) {
	l.once.Do(func() {
		_ = l.listener.Close()
		<-l.acceptEnded
		for _, c := range l.server.Clients.GetAll() {
			if c.Net.Listener == l.ID() && !c.Closed() {
				_ = l.server.DisconnectClient(c, packets.ErrServerShuttingDown)
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns { // those that have not sent CONNECT
			_ = c.Close()
		}
	})
}

// remove forgets a connection that has ended. It may end before its first read,
// for which Serve waits.
func (l *clientListener) remove(c *clientConn) {
	c.markRead()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// clientConn is a connection that notes when the broker first reads from it:
// from then on the broker knows it.
type clientConn struct {
	net.Conn
	once      sync.Once
	firstRead chan struct{}
}

func (c *clientConn) markRead() { c.once.Do(func() { close(c.firstRead) }) }

func (c *clientConn) Read(b []byte) (int, error) {
	c.markRead()
	return c.Conn.Read(b)
}
