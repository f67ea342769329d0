package mqttlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/internal/backoff"
)

// Errors that callers distinguish.
var (
	// ErrNotConnected means that there was no connection to publish on.
	ErrNotConnected = errors.New("not connected to MQTT")
	// ErrLost means that the connection ended before the acknowledgement. The
	// message may have arrived.
	ErrLost = errors.New("connection to MQTT lost")
	// errPaused ends a connection because of Pause.
	errPaused = errors.New("link is paused")
	// errStopped ends a connection because Run's context ended.
	errStopped = errors.New("link is stopped")
)

// Link is a supervised connection. Its methods may be called concurrently, also
// before and after Run.
type Link struct {
	cfg     Config
	status  *status
	current atomic.Pointer[Conn] // the connection that is up, or nil
	newest  atomic.Pointer[Conn] // the newest attempt; nil before the first
	running sync.WaitGroup       // goroutines that may outlive their connection for a moment
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Link, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("MQTT link: %w", err)
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = DefaultKeepAlive
	}
	cfg.KeepAlive = max(time.Second, cfg.KeepAlive.Round(time.Second))
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Link{cfg: cfg, status: newStatus(cfg.Brokers, cfg.Log)}, nil
}

// Run supervises the connection until ctx ends. Then it publishes the farewell,
// disconnects, and returns nil after all goroutines have ended. Call it once.
func (l *Link) Run(ctx context.Context) error {
	defer l.running.Wait()
	pause := backoff.New(minBackoff, maxBackoff, l.cfg.Rand)
	for l.await(ctx) {
		began := time.Now()
		err := l.attempt(ctx)
		if ctx.Err() != nil {
			l.status.stopped()
			return nil
		}
		l.status.down(err)
		if errors.Is(err, errPaused) {
			continue
		}
		// A connection that is lost at once, as when another client uses the
		// same client ID, counts as a failure.
		if time.Since(began) > maxBackoff {
			pause.Reset()
		}
		timer := time.NewTimer(pause.Next())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

// await waits while the link is paused, and for permission. It reports false when
// ctx has ended.
func (l *Link) await(ctx context.Context) bool {
	select {
	case <-l.status.resumed():
	case <-ctx.Done():
	}
	if l.cfg.Permit != nil && ctx.Err() == nil {
		l.cfg.Permit(ctx)
	}
	return ctx.Err() == nil
}

// attempt makes one connection, serves it, and returns why it ended.
func (l *Link) attempt(ctx context.Context) error {
	c := newConn(l, l.status.attempt())
	l.newest.Store(c)
	defer c.close()
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.subscribe(ctx); err != nil {
		return err
	}
	l.current.Store(c)
	l.status.up()
	err := c.serve(ctx)
	l.current.CompareAndSwap(c, nil)
	if l.cfg.OnDown != nil {
		l.cfg.OnDown(c.number, err)
	}
	return err
}

// State returns the present state.
func (l *Link) State() State { return l.status.get() }

// Pause disconnects and stays disconnected, for the given reason, until Resume.
// With CleanSession false the broker stores what is published meanwhile. It does
// not block.
func (l *Link) Pause(reason string) {
	l.status.pause(reason)
	if c := l.current.Load(); c != nil {
		c.Leave(errPaused)
	}
}

// Resume ends Pause. Without Pause it has no effect.
func (l *Link) Resume() { l.status.resume() }

// Conn returns the connection that is up, or nil.
func (l *Link) Conn() *Conn { return l.current.Load() }

// Acknowledge acknowledges the next n messages with QoS 1 that Handler received on
// a connection, in the order of receipt. It does not block. If the connection has
// ended it has no effect: the broker redelivers.
func (l *Link) Acknowledge(conn uint64, n int) {
	c := l.newest.Load()
	if c == nil || c.number != conn || c.life.ended() {
		l.status.count(func(s *Counters) { s.AcksDropped += uint64(n) })
		return
	}
	c.window.acknowledge(n)
}

// Publish publishes on the present connection and waits for the end: nil after
// the acknowledgement of the broker (QoS 0: after the write), ErrNotConnected,
// ErrLost, or the error of the context.
func (l *Link) Publish(ctx context.Context, topic string, qos byte, retained bool, payload []byte) error {
	c := l.current.Load()
	if c == nil {
		return ErrNotConnected
	}
	return c.Publish(ctx, topic, qos, retained, payload)
}

// PublishAsync publishes on the present connection, in the order of the calls,
// without waiting for the end, which the returned Pending reports. The caller
// limits how many are in flight: paho does not.
func (l *Link) PublishAsync(ctx context.Context, topic string, qos byte, retained bool, payload []byte) (*Pending, error) {
	c := l.current.Load()
	if c == nil {
		return nil, ErrNotConnected
	}
	return c.PublishAsync(ctx, topic, qos, retained, payload)
}
