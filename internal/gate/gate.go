// Package gate has a condition that goroutines wait for.
package gate

import "sync"

// Gate lets goroutines wait until it is open. Its methods may be called concurrently.
type Gate struct {
	mu     sync.Mutex
	open   bool
	opened chan struct{} // closed while the gate is open
}

// New returns a gate that is open or closed.
func New(open bool) *Gate {
	g := &Gate{opened: make(chan struct{})}
	g.Set(open)
	return g
}

// Set opens or closes the gate. Setting it again has no effect.
func (g *Gate) Set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open == g.open:
	case open:
		close(g.opened)
	default:
		g.opened = make(chan struct{})
	}
	g.open = open
}

// Opened returns a channel that is closed when the gate opens, or is open. It stays
// closed when the gate closes again.
func (g *Gate) Opened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}
