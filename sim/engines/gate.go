package engines

import (
	"log/slog"
	"net"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// gate is the MQTT broker's door. Unlike the broker's own it lets one visitor in
// at a time and is shut before anybody is sent away: the broker counts visitors
// in a wait group, which must not be added to while it is waited for. It sends
// them away itself, since the broker's way takes a read lock twice and waits for
// ever when somebody leaves between, and passes over who has not introduced
// himself.
type gate struct {
	listener net.Listener
	server   *mqtt.Server
	once     sync.Once
	shut     chan struct{} // closed when nobody comes in any more

	mu sync.Mutex
	// mu guards everything that follows.
	visitors map[*visitor]struct{}
}

var _ listeners.Listener = (*gate)(nil)

func newGate(l net.Listener, s *mqtt.Server) *gate {
	return &gate{listener: l, server: s, shut: make(chan struct{}), visitors: map[*visitor]struct{}{}}
}

func (*gate) Init(*slog.Logger) error { return nil }

func (*gate) ID() string { return "carga" }

func (g *gate) Address() string { return g.listener.Addr().String() }

func (g *gate) Protocol() string { return g.listener.Addr().Network() }

// Serve lets visitors in until the door is closed.
func (g *gate) Serve(establish listeners.EstablishFn) {
	defer close(g.shut)
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		v := &visitor{Conn: c, inside: make(chan struct{})}
		g.mu.Lock()
		g.visitors[v] = struct{}{}
		g.mu.Unlock()
		go func() {
			defer g.left(v)
			_ = establish(g.ID(), v) // an error is the visitor's; he reconnects
		}()
		<-v.inside
	}
}

// Close shuts the door, and then sends everybody away.
func (g *gate) Close(listeners.CloseFn) {
	g.once.Do(func() {
		_ = g.listener.Close()
		<-g.shut
		for _, c := range g.server.Clients.GetAll() {
			if c.Net.Listener == g.ID() && !c.Closed() {
				_ = g.server.DisconnectClient(c, packets.ErrServerShuttingDown)
			}
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for v := range g.visitors { // who has not introduced himself
			_ = v.Close()
		}
	})
}

func (g *gate) left(v *visitor) {
	v.enter()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.visitors, v)
}

// visitor is inside once the broker has begun to read what he says.
type visitor struct {
	net.Conn
	once   sync.Once
	inside chan struct{}
}

func (v *visitor) enter() { v.once.Do(func() { close(v.inside) }) }

func (v *visitor) Read(b []byte) (int, error) {
	v.enter()
	return v.Conn.Read(b)
}
