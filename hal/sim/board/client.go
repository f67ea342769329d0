package board

import (
	"bufio"
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
	Simulator
	info       info
	tokens     *hal.Moments[hal.Token]
	presses    *hal.Moments[hal.Press]
	start      time.Time
	connectors []*connector
	stop       context.CancelFunc
	ended      sync.WaitGroup
	in         []byte // of the receiver

	// wmu guards the connection and what follows; it is held for one write of a
	// command at most.
	wmu       sync.Mutex
	conn      net.Conn // nil while the board is away
	out       [commandSize]byte
	closed    bool
	commanded []atomic.Bool // the last Set of each connector; written under wmu

	// mu guards the last state; it is held for copying only, so that reading an
	// input never waits for the network.
	mu      sync.Mutex
	state   []byte        // the last one received
	stamp   hal.Stamp     // of state, on this client's clock
	offset  time.Duration // this clock − the board's, at the quickest delivery
	synced  bool          // offset is of this connection
	gone    bool          // closed, for readers
	meterNo uint64        // readings so far
	tokenNo uint64        // cards so far
	pressNo uint64        // presses so far
}

var (
	_ hal.Board     = (*Client)(nil)
	_ hal.Simulator = (*Client)(nil)
)

// ErrRefused means that the board does not speak this client's protocol, so that
// waiting does not help.
var ErrRefused = errors.New("the board refuses this agent; both must be of one release")

// Errors that the open path may return without making one.
var (
	errNoConnection = fmt.Errorf("board: no connection: %w", hal.ErrUnreadable)
	errStale        = fmt.Errorf("board: silent for more than %v: %w", hal.MaxSafetyAge, hal.ErrUnreadable)
)

// Dial connects to the board and waits for its first state. While the board does
// not answer, or another agent controls it, Dial retries until ctx ends; a board of
// another protocol is ErrRefused at once. The end of ctx does not end a client that
// Dial returned; the caller closes it.
func Dial(ctx context.Context, dial Dialer) (*Client, error) {
	c := &Client{
		Simulator: NewSimulator(dial), start: time.Now(),
		tokens: hal.NewMoments[hal.Token](), presses: hal.NewMoments[hal.Press](),
	}
	// The end of ctx explains nothing, so the last other error is reported with it.
	var last error
	for {
		conn, got, err := c.connect(ctx)
		if errors.Is(err, ErrRefused) {
			return nil, err
		}
		if err == nil {
			c.setInfo(got)
			if err = c.firstState(conn); err == nil {
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
	c.state, c.in = make([]byte, stateSize(i.Connectors)), make([]byte, stateSize(i.Connectors))
	for n := range i.Connectors {
		c.connectors = append(c.connectors, &connector{c: c, n: charge.ConnectorID(n + 1)})
	}
}

// control is a control connection with what was read ahead of it.
type control struct {
	net.Conn
	ahead *bufio.Reader
}

// connect opens a control connection.
func (c *Client) connect(ctx context.Context) (*control, info, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, info{}, unreachable(ctx, "dial", err)
	}
	r, err := ask(ctx, conn, request{Op: "control"})
	if err == nil {
		// A reply that names no kind of error is of another protocol.
		if err = r.err(); err != nil && r.Kind == "" {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err == nil && (r.Info == nil || r.Info.Connectors < 1 || r.Info.Connectors > charge.MaxConnectors) {
		err = errors.New("board: its description is unusable")
	}
	if err != nil {
		_ = conn.Close()
		return nil, info{}, err
	}
	return &control{conn, bufio.NewReader(conn)}, *r.Info, nil
}

// firstState receives until there is a state.
func (c *Client) firstState(conn *control) error {
	for {
		mark, err := c.receive(conn)
		if err != nil || mark == markState {
			return err
		}
	}
}

// startReceiver starts the goroutine that receives states, across reconnections,
// until Close.
func (c *Client) startReceiver(ctx context.Context, conn *control) {
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
func (c *Client) redial(ctx context.Context) *control {
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
func (c *Client) receiveStates(conn *control) {
	// The deadline is renewed only now and then, not for each of the hundred states
	// per second.
	var renewed time.Time
	for {
		if now := time.Now(); now.Sub(renewed) > silence/5 {
			renewed = now
			if conn.SetReadDeadline(now.Add(silence)) != nil {
				return
			}
		}
		if _, err := c.receive(conn); err != nil {
			return
		}
	}
}

// receive reads one message of the board and returns its kind.
func (c *Client) receive(conn *control) (mark byte, err error) {
	buf := c.in[:headSize]
	if _, err := io.ReadFull(conn.ahead, buf); err != nil {
		return 0, fmt.Errorf("board: state: %w", err)
	}
	at := time.Duration(binary.BigEndian.Uint64(buf[1:]))
	rest := 1
	switch buf[0] {
	case markState:
		rest = stateSize(c.info.Connectors) - headSize
	case markToken, markPress:
	default:
		return 0, fmt.Errorf("board: message begins with %q", buf[0])
	}
	buf = c.in[:headSize+rest]
	if _, err := io.ReadFull(conn.ahead, buf[headSize:]); err != nil {
		return 0, fmt.Errorf("board: state: %w", err)
	}
	switch buf[0] {
	case markState:
		c.setState(buf, at)
	case markPress:
		b := buf[headSize]
		c.presses.Add(hal.Press{Stamp: c.stampOf(&c.pressNo, at), Connector: charge.ConnectorID(b &^ heldBit), Held: b&heldBit != 0})
	case markToken:
		uid := make([]byte, buf[headSize])
		if _, err := io.ReadFull(conn.ahead, uid); err != nil {
			return 0, fmt.Errorf("board: card: %w", err)
		}
		c.tokens.Add(hal.Token{Stamp: c.stampOf(&c.tokenNo, at), UID: string(uid)})
	}
	return buf[0], nil
}

// setState makes buf, measured at a time of the board, the last state.
func (c *Client) setState(buf []byte, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(c.state, buf)
	// The quickest delivery measures the difference of the clocks, so that a state
	// that waited in the socket has its true age.
	if offset := c.mono() - at; !c.synced || offset < c.offset {
		c.offset, c.synced = offset, true
	}
	c.stamp = hal.Stamp{Mono: max(at+c.offset, c.stamp.Mono), Seq: c.stamp.Seq + 1}
}

// stampOf is the next stamp of a device, for a time of the board.
func (c *Client) stampOf(number *uint64, at time.Duration) hal.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	*number++
	now := c.mono()
	if c.synced {
		now = min(now, at+c.offset)
	}
	return hal.Stamp{Mono: max(now, 0), Seq: *number}
}

// send writes one command. A command that may give power, or that kicks, is refused
// without a fresh state; others never are. It allocates nothing while the connection
// works.
func (c *Client) send(op byte, n charge.ConnectorID, value uint32) error {
	switch op {
	case opClose, opKick, opOffer, opPet:
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
	case c.closed && (op == opOpen || op == opOpenAll || op == opWithdraw):
		return nil // Close has opened all
	case c.closed:
		return hal.ErrClosed
	case c.conn == nil:
		return errNoConnection
	}
	c.out = [commandSize]byte{op, byte(n)}
	binary.BigEndian.PutUint32(c.out[4:], value)
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
	return c.usableLocked()
}

// checkOpen returns hal.ErrClosed once the client is closed.
func (c *Client) checkOpen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return hal.ErrClosed
	}
	return nil
}

// usableLocked is checkFresh with the lock held.
func (c *Client) usableLocked() error {
	switch {
	case c.gone:
		return hal.ErrClosed
	case c.mono()-c.stamp.Mono > hal.MaxSafetyAge:
		return errStale
	}
	return nil
}

// read returns byte i of the last state with its stamp. It is an error if the
// client is closed, the state is stale or the input could not be read.
func (c *Client) read(i int) (byte, hal.Stamp, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err := c.usableLocked(); {
	case errors.Is(err, hal.ErrClosed):
		return 0, hal.Stamp{}, err
	case err != nil:
		return 0, c.stamp, err
	case c.state[i] == unreadable:
		return 0, c.stamp, hal.ErrUnreadable
	}
	return c.state[i], c.stamp, nil
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

// Reader returns the card reader.
func (c *Client) Reader() (hal.TokenReader, error) {
	return fitted[hal.TokenReader](reader{c}, c.info.Reader)
}

// Panel returns the buttons and lights.
func (c *Client) Panel() (hal.FrontPanel, error) {
	return fitted[hal.FrontPanel](panel{c}, c.info.Panel)
}

// Watchdog returns the watchdog of the board's computer.
func (c *Client) Watchdog() (hal.Watchdog, error) {
	return fitted[hal.Watchdog](watchdog{c}, c.info.Watchdog > 0)
}

// Clock returns the clock that runs without power.
func (c *Client) Clock() (hal.Clock, error) { return fitted[hal.Clock](clock{c}, c.info.Clock) }

// Mono is the time since Dial: the clock of this client's stamps, which goes
// on when the board is restarted.
func (c *Client) Mono() time.Duration { return c.mono() }

// SafeState commands all contactors open. An error means that the command was not
// sent: the board then opens by itself, at a time that is not known.
func (c *Client) SafeState() error {
	return c.send(opOpenAll, 0, 0)
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
	c.tokens.Close()
	c.presses.Close()
	return err
}
