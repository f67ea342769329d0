package mqttlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Conn is one connection, from the attempt to its end.
type Conn struct {
	link   *Link
	number uint64
	client mqtt.Client
	out    chan *Pending // capacity 0: a send succeeds when publishLoop has the message
	leave  chan error    // capacity 1: a request to end the connection, with the reason

	life life
	// stopped is closed when paho has ended its goroutines after a loss.
	stopped chan struct{}

	window window

	mu sync.Mutex
	// mu guards everything that follows.
	netConn net.Conn // nil before the dial
	closed  bool
}

func newConn(l *Link, number uint64) *Conn {
	return &Conn{
		link: l, number: number,
		out: make(chan *Pending), leave: make(chan error, 1), stopped: make(chan struct{}),
		window: window{wake: make(chan struct{}, 1)}, life: life{over: make(chan struct{})},
	}
}

// life is the lifetime of a connection, and why it ended.
type life struct {
	once sync.Once
	over chan struct{}
	why  error // valid after over is closed
}

// end ends the lifetime; the first reason counts.
func (l *life) end(why error) {
	l.once.Do(func() {
		l.why = why
		close(l.over)
	})
}

func (l *life) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// Number distinguishes this connection from all others of the Link.
func (c *Conn) Number() uint64 { return c.number }

// Lost is closed when the connection has ended.
func (c *Conn) Lost() <-chan struct{} { return c.life.over }

// Leave ends the connection with DISCONNECT, so that the broker does not publish
// the will. The Link then makes the next connection. It does not block.
func (c *Conn) Leave(why error) {
	select {
	case c.leave <- why:
	default: // it is ending already
	}
}

// options returns the options of the paho client of this connection.
func (c *Conn) options(ctx context.Context) *mqtt.ClientOptions {
	cfg := &c.link.cfg
	o := mqtt.NewClientOptions().
		SetClientID(cfg.ClientID).SetCleanSession(cfg.CleanSession).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false).
		SetKeepAlive(cfg.KeepAlive).SetPingTimeout(pingTimeout(cfg.KeepAlive)).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout).
		SetOrderMatters(true).SetAutoAckDisabled(true).
		SetUsername(cfg.Username).SetPassword(cfg.Password).
		SetDefaultPublishHandler(c.receive).SetStore(noStore{}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			c.life.end(err)
			close(c.stopped)
		}).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return c.dial(ctx, u)
		})
	for _, b := range cfg.Brokers {
		o.AddBroker(b)
	}
	if cfg.Will != nil {
		if w := cfg.Will(c.number); w != nil {
			o.SetBinaryWill(w.Topic, w.Payload, w.QoS, w.Retained)
		}
	}
	return o
}

// dial connects to one broker.
func (c *Conn) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := c.link.cfg.open(ctx, u)
	if err != nil {
		return nil, err
	}
	conn := &guardedConn{Conn: raw, packets: newFrames(raw, func() { c.link.status.count(func(n *Counters) { n.Cut++ }) })}
	conn.lost = func(err error) { c.connLost(conn, err) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(errStopped, raw.Close())
	}
	c.netConn = conn
	return conn, nil
}

// connLost ends the connection if the network connection is its present one, and
// not one to a broker that refused the CONNECT.
func (c *Conn) connLost(conn net.Conn, err error) {
	c.mu.Lock()
	present := c.netConn == conn && c.client.IsConnectionOpen()
	c.mu.Unlock()
	if present {
		c.life.end(err)
	}
}

// connect connects.
func (c *Conn) connect(ctx context.Context) error {
	c.client = mqtt.NewClient(c.options(ctx))
	if err := c.wait(ctx, c.client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.link.running.Go(c.publishLoop)
	c.link.running.Go(c.ackLoop)
	return nil
}

// subscribe requests every filter and checks each answer. paho restores no
// subscription, and reports a refused one (128) as a success.
func (c *Conn) subscribe(ctx context.Context) error {
	subs := c.link.cfg.Subscriptions
	if len(subs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	want := make(map[string]byte, len(subs))
	for _, s := range subs {
		want[s.Filter] = s.QoS
	}
	asked := make(chan mqtt.Token, 1)
	c.link.running.Go(func() { asked <- c.client.SubscribeMultiple(want, nil) })
	var token mqtt.Token
	select {
	case token = <-asked:
	case <-c.life.over:
		return fmt.Errorf("subscribe: %w", c.life.why)
	case <-ctx.Done():
		return fmt.Errorf("subscribe: %w", ctx.Err())
	}
	if err := c.wait(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	answer, ok := token.(*mqtt.SubscribeToken)
	if !ok {
		return fmt.Errorf("subscribe: answered by a %T", token)
	}
	return granted(want, answer.Result())
}

// granted returns an error for each filter that was not granted with its QoS.
func granted(want, got map[string]byte) error {
	var errs []error
	for filter, qos := range want {
		switch given, ok := got[filter]; {
		case !ok:
			errs = append(errs, fmt.Errorf("subscribe to %s: not answered", filter))
		case given == 128:
			errs = append(errs, fmt.Errorf("subscribe to %s: refused by the broker, see its access rules", filter))
		case given < qos:
			errs = append(errs, fmt.Errorf("subscribe to %s: granted QoS %d instead of %d", filter, given, qos))
		}
	}
	return errors.Join(errs...)
}

// wait waits for a token of the setup of the connection.
func (c *Conn) wait(ctx context.Context, token mqtt.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-c.life.over:
		return c.life.why
	case <-ctx.Done():
		c.shut()
		return ctx.Err()
	}
}

// serve runs OnUp until the connection ends, and returns why it ended.
func (c *Conn) serve(ctx context.Context) error {
	up, down := context.WithCancel(context.WithoutCancel(ctx))
	defer down()
	var owner sync.WaitGroup
	if c.link.cfg.OnUp != nil {
		owner.Go(func() { c.link.cfg.OnUp(up, c) })
	}
	if c.link.status.get().Paused != "" {
		c.Leave(errPaused)
	}
	var err error
	select {
	case <-c.life.over:
		err = c.life.why
	case err = <-c.leave:
	case <-ctx.Done():
		err = errStopped
	}
	down()
	owner.Wait()
	if errors.Is(err, errStopped) {
		c.farewell(ctx)
	}
	return err
}

// farewell publishes the last message of a clean stop, if there is one.
func (c *Conn) farewell(ctx context.Context) {
	if c.link.cfg.Farewell == nil {
		return
	}
	note := c.link.cfg.Farewell(c.number)
	if note == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	if err := c.Publish(ctx, note.Topic, note.QoS, note.Retained, note.Payload); err != nil {
		c.link.cfg.Log.Warn("farewell not published", slog.String("topic", note.Topic), slog.String("err", err.Error()))
	}
}

// close ends the connection if it has not ended by itself. A clean end sends
// DISCONNECT, so that the broker does not publish the will.
func (c *Conn) close() {
	lost := c.life.ended()
	if !lost && c.client.IsConnectionOpen() {
		c.client.Disconnect(uint(disconnectQuiesce / time.Millisecond))
	}
	c.life.end(errStopped)
	c.shut()
	if lost {
		timer := time.NewTimer(pahoStopTimeout)
		defer timer.Stop()
		select {
		case <-c.stopped:
		case <-timer.C:
		}
	}
}

// shut closes the network connection, now or as soon as it is dialled. Its error
// does not matter: nothing more is written.
func (c *Conn) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.netConn != nil {
		_ = c.netConn.Close()
	}
}
