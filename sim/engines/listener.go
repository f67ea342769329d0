package engines

import (
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// clientListener is the MQTT broker's door. Unlike the broker's own it lets one visitor in
// at a time and is shut before anybody is sent away: the broker counts visitors
// in a wait group, which must not be added to while it is waited for. It sends
// them away itself, since the broker's way takes a read lock twice and waits for
// ever when somebody leaves between, and passes over who has not introduced
// himself.
type clientListener struct {
	listener    net.Listener
	server      *mqtt.Server
	once        sync.Once
	acceptEnded chan struct{} // closed when nobody comes in any more

	mu sync.Mutex
	// mu guards everything that follows.
	conns map[*clientConn]struct{}
}

var _ listeners.Listener = (*clientListener)(nil)

func newClientListener(l net.Listener, s *mqtt.Server) *clientListener {
	return &clientListener{listener: l, server: s, acceptEnded: make(chan struct{}), conns: map[*clientConn]struct{}{}}
}

func (*clientListener) Init(*slog.Logger) error { return nil }

func (*clientListener) ID() string { return "carga" }

func (g *clientListener) Address() string { return g.listener.Addr().String() }

func (g *clientListener) Protocol() string { return g.listener.Addr().Network() }

// Serve lets visitors in until the door is closed.
func (g *clientListener) Serve(establish listeners.EstablishFn) {
	defer close(g.acceptEnded)
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		v := &clientConn{Conn: c, firstRead: make(chan struct{})}
		g.mu.Lock()
		g.conns[v] = struct{}{}
		g.mu.Unlock()
		go func() {
			defer g.remove(v)
			_ = establish(g.ID(), v) // an error is the visitor's; he reconnects
		}()
		<-v.firstRead
	}
}

// Close shuts the door, and then sends everybody away.
func (g *clientListener) Close(listeners.CloseFn) {
	g.once.Do(func() {
		_ = g.listener.Close()
		<-g.acceptEnded
		for _, c := range g.server.Clients.GetAll() {
			if c.Net.Listener == g.ID() && !c.Closed() {
				_ = g.server.DisconnectClient(c, packets.ErrServerShuttingDown)
			}
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for v := range g.conns { // who has not introduced himself
			_ = v.Close()
		}
	})
}

func (g *clientListener) remove(v *clientConn) {
	v.markRead()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, v)
}

// clientConn is inside once the broker has begun to read what he says.
type clientConn struct {
	net.Conn
	once      sync.Once
	firstRead chan struct{}
}

func (v *clientConn) markRead() { v.once.Do(func() { close(v.firstRead) }) }

func (v *clientConn) Read(b []byte) (int, error) {
	v.markRead()
	return v.Conn.Read(b)
}
