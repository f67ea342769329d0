package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Client is the agent's side of a board in another process. It is a hal.Board
// and a hal.Simulator.
type Client struct {
	hal.BareBoard
	Simulator
	info       info
	start      time.Time
	connectors []*connector
	stop       context.CancelFunc
	ended      sync.WaitGroup

	// wmu guards the connection and what follows; it is held for one write of four
	// bytes at most.
	wmu       sync.Mutex
	conn      net.Conn // nil while the board is away
	out       [commandSize]byte
	closed    bool
	commanded []atomic.Bool // the last Set of each connector; written under wmu

	// mu guards the last state; it is held for copying only, so that reading an
	// input never waits for the network.
	mu      sync.Mutex
	state   []byte        // the last one received; nil before the first
	stamp   hal.Stamp     // of state, on this client's clock
	offset  time.Duration // this clock − the board's, at the quickest delivery
	synced  bool          // offset is of this connection
	gone    bool          // closed, for readers
	meterNo uint64        // readings so far
}

var (
	_ hal.Board     = (*Client)(nil)
	_ hal.Simulator = (*Client)(nil)
)

// Errors that the open path may return without making one.
var (
	errNoConnection = fmt.Errorf("board: no connection: %w", hal.ErrUnreadable)
	errStale        = fmt.Errorf("board: silent for more than %v: %w", hal.MaxSafetyAge, hal.ErrUnreadable)
)

// Dial connects to the board and waits for its first state. While the board does
// not answer, or another agent controls it, Dial retries until ctx ends. The end
// of ctx does not end a client that Dial returned; the caller closes it.
func Dial(ctx context.Context, dial Dialer) (*Client, error) {
	c := &Client{Simulator: NewSimulator(dial), start: time.Now()}
	// The end of ctx explains nothing, so the last other error is reported with it.
	var last error
	for {
		conn, got, err := c.connect(ctx)
		if err == nil {
			c.setInfo(got)
			if err = c.receive(conn, make([]byte, stateSize(got.Connectors))); err == nil {
				c.startReceiver(ctx, conn)
				return c, nil
			}
			_ = conn.Close()
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("board: %w; last: %w", ctx.Err(), last)
		case <-time.After(redialEvery):
		}
	}
}

// setInfo stores the board's description and makes the devices.
func (c *Client) setInfo(i info) {
	c.info, c.commanded, c.connectors = i, make([]atomic.Bool, i.Connectors), nil
	for n := range i.Connectors {
		c.connectors = append(c.connectors, &connector{c: c, n: charge.ConnectorID(n + 1)})
	}
}

// connect opens a control connection.
func (c *Client) connect(ctx context.Context) (net.Conn, info, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, info{}, unreachable(ctx, "dial", err)
	}
	r, err := ask(ctx, conn, request{Op: "control"})
	if err == nil {
		err = r.err()
	}
	if err == nil && (r.Info == nil || r.Info.Connectors < 1 || r.Info.Connectors > charge.MaxConnectors) {
		err = errors.New("board: its description is unusable")
	}
	if err != nil {
		_ = conn.Close()
		return nil, info{}, err
	}
	return conn, *r.Info, nil
}

// startReceiver starts the goroutine that receives states, across reconnections,
// until Close.
func (c *Client) startReceiver(ctx context.Context, conn net.Conn) {
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.attach(conn)
	c.ended.Go(func() {
		for conn != nil {
			c.receiveStates(conn)
			c.detach(conn)
			conn = c.redial(ctx)
		}
	})
}

// redial dials until a board with the same description answers. It returns nil
// when the client is closed.
func (c *Client) redial(ctx context.Context) net.Conn {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(redialEvery):
		}
		conn, got, err := c.connect(ctx)
		if err != nil {
			continue
		}
		if got == c.info && c.attach(conn) {
			return conn
		}
		_ = conn.Close() // another board, or the client was closed meanwhile
	}
}

// attach makes conn the connection for commands; false if the client was closed.
func (c *Client) attach(conn net.Conn) bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.closed {
		return false
	}
	c.conn = conn
	return true
}

// detach closes the connection. Its last state becomes stale by age.
func (c *Client) detach(conn net.Conn) {
	_ = conn.Close()
	c.wmu.Lock()
	c.conn = nil
	c.wmu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = false
}

// receiveStates receives states until the connection fails or is silent for too
// long.
func (c *Client) receiveStates(conn net.Conn) {
	// The deadline is renewed only now and then, not for each of the hundred states
	// per second.
	buf := make([]byte, stateSize(c.info.Connectors))
	var renewed time.Time
	for {
		if now := time.Now(); now.Sub(renewed) > silence/5 {
			renewed = now
			if conn.SetReadDeadline(now.Add(silence)) != nil {
				return
			}
		}
		if c.receive(conn, buf) != nil {
			return
		}
	}
}

// receive reads one state into buf and makes it the last one.
func (c *Client) receive(conn net.Conn, buf []byte) error {
	if _, err := io.ReadFull(conn, buf); err != nil {
		return fmt.Errorf("board: state: %w", err)
	}
	if buf[0] != stateMark {
		return fmt.Errorf("board: state begins with %q", buf[0])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		c.state = make([]byte, len(buf))
	}
	copy(c.state, buf)
	at := time.Duration(binary.BigEndian.Uint64(buf[1:]))
	// The quickest delivery measures the difference of the clocks, so that a state
	// that waited in the socket has its true age.
	if offset := c.mono() - at; !c.synced || offset < c.offset {
		c.offset, c.synced = offset, true
	}
	c.stamp = hal.Stamp{Mono: max(at+c.offset, c.stamp.Mono), Seq: c.stamp.Seq + 1}
	return nil
}

// send writes one command. A command that closes or kicks is refused without a
// fresh state; one that opens never is. It allocates nothing while the connection
// works.
func (c *Client) send(op byte, n charge.ConnectorID) error {
	opens := op == opOpen || op == opOpenAll || op == opWithdraw
	if !opens {
		if err := c.checkFresh(); err != nil {
			return err
		}
	}
	// The command is noted even if it cannot be sent: Commanded is the request of the
	// caller, and the feedback shows its effect.
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.noteCommand(op, n)
	switch {
	case c.closed && opens:
		return nil // Close has opened all
	case c.closed:
		return hal.ErrClosed
	case c.conn == nil:
		return errNoConnection
	}
	c.out = [commandSize]byte{op, byte(n)}
	if _, err := c.conn.Write(c.out[:]); err != nil {
		_ = c.conn.Close() // which opens the contactors too
		return fmt.Errorf("board: command: %w: %w", hal.ErrUnreadable, err)
	}
	return nil
}

// noteCommand stores the last command of each contactor, in the order in which
// they are written.
func (c *Client) noteCommand(op byte, n charge.ConnectorID) {
	switch op {
	case opClose, opOpen:
		c.commanded[n-1].Store(op == opClose)
	case opOpenAll:
		for i := range c.commanded {
			c.commanded[i].Store(false)
		}
	}
}

// checkFresh returns why the last state cannot be used; nil if it can.
func (c *Client) checkFresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, err := c.readLocked(0)
	return err
}

// readLocked returns byte i of the last state with its stamp. It is an error if
// the client is closed, the state is stale or the input could not be read.
func (c *Client) readLocked(i int) (byte, hal.Stamp, error) {
	switch {
	case c.gone:
		return 0, hal.Stamp{}, hal.ErrClosed
	case c.mono()-c.stamp.Mono > hal.MaxSafetyAge:
		return 0, c.stamp, errStale
	case c.state[i] == unreadable:
		return 0, c.stamp, hal.ErrUnreadable
	}
	return c.state[i], c.stamp, nil
}

// read is readLocked with the lock.
func (c *Client) read(i int) (byte, hal.Stamp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readLocked(i)
}

// mono is the time since Dial.
func (c *Client) mono() time.Duration { return time.Since(c.start) }

// Info describes the board.
func (c *Client) Info() hal.Info { return c.info.Info }

// Connector returns the devices of one connector.
func (c *Client) Connector(n charge.ConnectorID) (hal.Connector, error) {
	if n < 1 || int(n) > len(c.connectors) {
		return nil, fmt.Errorf("connector %d: this board has 1 to %d", n, len(c.connectors))
	}
	return c.connectors[n-1], nil
}

// EStop returns the emergency stop.
func (c *Client) EStop() (hal.EStop, error) {
	if !c.info.EStop {
		return nil, hal.ErrNotFitted
	}
	return estop{c}, nil
}

// Keeper returns the board's dead-man device.
func (c *Client) Keeper() (hal.Keeper, error) {
	if c.info.Keeper == 0 {
		return nil, hal.ErrNotFitted
	}
	return keeper{c}, nil
}

// Mono is the time since Dial: the clock of this client's stamps, which goes
// on when the board is restarted.
func (c *Client) Mono() time.Duration { return c.mono() }

// SafeState commands all contactors open. An error means that the command was not
// sent: the board then opens by itself, at a time that is not known.
func (c *Client) SafeState() error {
	return c.send(opOpenAll, 0)
}

// Close opens all contactors, closes the connection and ends the client's
// goroutine.
func (c *Client) Close() error {
	err := c.SafeState()
	// Readers are refused first, so that none uses a state of a closed client.
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.wmu.Lock()
	c.closed = true
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.wmu.Unlock()
	c.stop()
	c.ended.Wait()
	return err
}
