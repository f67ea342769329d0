package app_test

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// ice freezes Kafka: its connections stand and requests arrive, but no answer
// comes back.
type ice struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.Mutex
	// thaw is closed when the frost ends; nil while there is none.
	thaw chan struct{}
}

func (i *ice) freeze() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.thaw = make(chan struct{})
}

func (i *ice) melt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.thaw)
	i.thaw = nil
}

func (i *ice) frost() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.thaw
}

func (i *ice) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := i.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &iced{Conn: c, ice: i, closed: make(chan struct{})}, nil
}

// iced is a connection that may freeze.
type iced struct {
	net.Conn
	ice    *ice
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex
	deadline time.Time
}

func (c *iced) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	frost := c.ice.frost()
	if frost == nil {
		return n, err
	}
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-frost:
		return n, err
	case <-c.closed:
		return 0, net.ErrClosed
	case <-late:
		return 0, os.ErrDeadlineExceeded
	}
}

func (c *iced) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *iced) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *iced) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}
