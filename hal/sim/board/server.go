package board

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Listen makes the socket of a board at a path, for this user only. It replaces
// the socket that a killed board has left; if a board answers there, that is an
// error.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	// A socket file outlives its process. Only one that does not answer is removed.
	if errors.Is(err, syscall.EADDRINUSE) {
		conn, dialErr := Unix(path)(ctx)
		if dialErr == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("board: %s: another board is listening there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("board: remove the old socket: %w", err)
		}
		ln, err = lc.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("board: listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("board: restrict the socket: %w", err)
	}
	return ln, nil
}

// server is one run of Serve.
type server struct {
	board      *sim.Board
	log        *slog.Logger
	start      time.Time // the times of the states count from it
	info       info
	controlled atomic.Bool // there is a control connection
}

// Serve offers the board on ln until ctx ends, then opens its contactors and
// returns nil; the owner closes the board. It returns an error if the listener
// fails.
func Serve(ctx context.Context, ln net.Listener, b *sim.Board, log *slog.Logger) error {
	s := &server{board: b, log: log, start: time.Now()}
	described, err := describe(b)
	if err != nil {
		return err
	}
	s.info = described
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return b.SafeState()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("board: accept: %w", err), b.SafeState())
		}
		conns.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer func() { _ = conn.Close() }()
			s.serve(ctx, conn)
		})
	}
}

// describe collects what a client must know before its first state.
func describe(b *sim.Board) (info, error) {
	i := info{Info: b.Info()}
	c, err := b.Connector(1)
	if err != nil {
		return info{}, fmt.Errorf("board: %w", err)
	}
	_, _, err = c.Contactor().Feedback()
	i.Feedback = !errors.Is(err, hal.ErrNotFitted)
	_, err = c.Meter().Identity()
	i.Meter = !errors.Is(err, hal.ErrNotFitted)
	_, err = b.EStop()
	i.EStop = err == nil
	if k, err := b.Keeper(); err == nil {
		i.Keeper = k.Timeout()
	}
	if w, err := b.Watchdog(); err == nil {
		i.Watchdog = w.Timeout()
	}
	_, err = b.Clock()
	i.Clock = err == nil
	_, err = b.Reader()
	i.Reader = err == nil
	_, err = b.Panel()
	i.Panel = err == nil
	_, err = c.Lock()
	i.Lock = err == nil
	_, err = c.Proximity()
	i.Proximity = err == nil
	_, err = c.GroundFault()
	i.GroundFault = err == nil
	if t, err := c.Thermal(); err == nil {
		i.Sensors = strings.Join(t.Sensors(), ",")
	}
	return i, nil
}

// serve handles one connection: a call, or the control of the agent.
func (s *server) serve(ctx context.Context, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(callLimit)) // an unknown deadline only waits longer
	var q request
	if err := readJSON(conn, maxRequest, &q); err != nil {
		if !errors.Is(err, io.EOF) {
			s.answer(conn, failure(fmt.Errorf("board: request: %w", err)))
		}
		return
	}
	if q.V != version {
		s.answer(conn, failure(fmt.Errorf("board: v is %d; this board has version %d", q.V, version)))
		return
	}
	// A call lasts as long as its caller waits; control has deadlines of its own.
	_ = conn.SetDeadline(time.Time{})
	if q.Op == "control" {
		s.control(conn)
		return
	}
	s.answer(conn, s.handle(ctx, conn, q))
}

// answer sends a reply. A caller that has gone does not need it.
func (s *server) answer(conn net.Conn, r reply) {
	_ = conn.SetWriteDeadline(time.Now().Add(callLimit))
	if err := writeJSON(conn, r); err != nil {
		s.log.Debug("caller gone", slog.Any("err", err))
	}
}

// handle executes a call.
func (s *server) handle(ctx context.Context, conn net.Conn, q request) reply {
	var err error
	switch q.Op {
	case "info":
		return reply{Info: &s.info}
	case "snapshot":
		snap := s.board.Snapshot()
		return reply{Snapshot: &snap}
	case "plug":
		err = s.board.Plug(q.Connector)
	case "unplug":
		err = s.board.Unplug(q.Connector)
	case "inject":
		err = s.board.Inject(q.Connector, q.Fault)
	case "repair":
		err = s.board.Repair(q.Connector)
	case "present":
		err = s.board.Present(q.UID)
	case "press":
		err = s.board.Press(q.Connector)
	case "hold":
		err = s.board.Hold(q.Connector)
	case "break":
		err = s.board.Break(q.Connector, q.Defect)
	case "ambient":
		err = s.board.SetAmbient(q.Ambient)
	case "clock", "set_clock":
		return s.clock(q)
	case "read", "identity":
		return s.meter(ctx, conn, q)
	case "self_test", "reset_trip":
		err = s.groundFault(ctx, conn, q)
	default:
		err = fmt.Errorf("board: op %q is unknown", q.Op)
	}
	if err != nil {
		return failure(err)
	}
	return reply{}
}

// meter reads the meter or its identity, for as long as the caller waits.
func (s *server) meter(ctx context.Context, conn net.Conn, q request) reply {
	c, err := s.board.Connector(q.Connector)
	if err != nil {
		return failure(err)
	}
	if q.Op == "identity" {
		id, err := c.Meter().Identity()
		if err != nil {
			return failure(err)
		}
		return reply{Identity: &id}
	}
	ctx, release := whileConnected(ctx, conn)
	r, err := c.Meter().Read(ctx)
	release()
	if err != nil {
		return failure(err)
	}
	return reply{Reading: &r, At: time.Since(s.start)}
}

// groundFault tests or resets a residual current device.
func (s *server) groundFault(ctx context.Context, conn net.Conn, q request) error {
	c, err := s.board.Connector(q.Connector)
	if err != nil {
		return err
	}
	g, err := c.GroundFault()
	if err != nil {
		return err
	}
	if q.Op == "reset_trip" {
		return g.Reset()
	}
	ctx, release := whileConnected(ctx, conn)
	defer release()
	return g.SelfTest(ctx)
}

// clock reads or sets the clock of the board.
func (s *server) clock(q request) reply {
	c, err := s.board.Clock()
	if err != nil {
		return failure(err)
	}
	if q.Op == "set_clock" {
		if err := c.Set(q.Time); err != nil {
			return failure(err)
		}
		return reply{}
	}
	now, err := c.Now()
	if err != nil {
		return failure(err)
	}
	return reply{Time: now}
}

// whileConnected returns a context that ends when the caller leaves: a slow device
// must not work for a caller that has given up. The caller sends nothing more, so a
// read of its connection ends when it leaves. release ends the watch.
func whileConnected(ctx context.Context, conn net.Conn) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		_, _ = conn.Read(make([]byte, 1))
	})
	return ctx, func() {
		_ = conn.SetReadDeadline(time.Now())
		watch.Wait()
		cancel()
	}
}

// control serves the agent that controls the board until its connection ends.
func (s *server) control(conn net.Conn) {
	// Two agents would command each other's contactors: the second is refused.
	if !s.controlled.CompareAndSwap(false, true) {
		s.answer(conn, failure(ErrBusy))
		return
	}
	defer s.controlled.Store(false)
	s.openAll("agent connected")
	defer s.openAll("agent gone")
	s.answer(conn, reply{Info: &s.info})

	// Commands are read here, states are sent by another goroutine. The end of either
	// closes the connection and so ends the other.
	var states sync.WaitGroup
	defer states.Wait()
	gone := make(chan struct{})
	states.Go(func() {
		// An agent that has closed its side ends the reader below, once that has read its
		// last commands. Otherwise the close ends it.
		if err := s.stream(conn, gone); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			_ = conn.Close()
		}
	})
	err := s.receiveCommands(conn)
	close(gone)
	_ = conn.Close()
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		s.log.Warn("control connection failed", slog.Any("err", err))
	}
}

// openAll opens every contactor when an agent connects or leaves: the next one
// begins with a known state.
func (s *server) openAll(event string) {
	if err := s.board.SafeState(); err != nil {
		s.log.Error("contactors not opened", slog.String("event", event), slog.Any("err", err))
		return
	}
	s.log.Info("contactors opened", slog.String("event", event))
}

// receiveCommands executes commands until the connection ends.
func (s *server) receiveCommands(conn net.Conn) error {
	buf := make([]byte, commandSize)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
		if err := s.perform(buf[0], charge.ConnectorID(buf[1]), binary.BigEndian.Uint32(buf[4:])); err != nil {
			return err
		}
	}
}

// perform executes one command.
func (s *server) perform(op byte, n charge.ConnectorID, value uint32) error {
	if n > 0 {
		return s.performAt(op, n, value)
	}
	switch op {
	case opOpenAll:
		return s.board.SafeState()
	case opKick:
		k, err := s.board.Keeper()
		if err != nil {
			return err
		}
		return k.Kick()
	case opPet, opDisarm:
		w, err := s.board.Watchdog()
		if err != nil {
			return err
		}
		if op == opPet {
			return w.Kick()
		}
		return w.Disarm()
	}
	return fmt.Errorf("board: command %q is unknown", op)
}

// performAt executes one command of a connector.
func (s *server) performAt(op byte, n charge.ConnectorID, value uint32) error {
	c, err := s.board.Connector(n)
	if err != nil {
		return err
	}
	switch op {
	case opClose, opOpen:
		return c.Contactor().Set(op == opClose)
	case opOffer, opWithdraw:
		return c.Pilot().SetAvailable(op == opOffer)
	case opLimit:
		return c.Pilot().SetCurrent(charge.MilliAmps(value))
	case opLock, opUnlock:
		l, err := c.Lock()
		if err != nil {
			return err
		}
		return l.Set(op == opLock)
	case opLight:
		p, err := s.board.Panel()
		if err != nil {
			return err
		}
		return p.Show(n, hal.Light(value))
	}
	return fmt.Errorf("board: command %q of a connector is unknown", op)
}

// stream sends a state each period, and cards and presses as they come, until gone
// is closed. It returns the error of a write, such as that the agent does not read.
func (s *server) stream(conn net.Conn, gone <-chan struct{}) error {
	faults := charge.Faults()
	state := make([]byte, stateSize(s.info.Connectors))
	var tokens <-chan hal.Token // nil where nothing is fitted
	if r, err := s.board.Reader(); err == nil {
		tokens = r.Tokens()
	}
	var presses <-chan hal.Press
	if p, err := s.board.Panel(); err == nil {
		presses = p.Presses()
	}
	t := time.NewTicker(period)
	defer t.Stop()
	s.measure(state, faults)
	for next := state; ; {
		_ = conn.SetWriteDeadline(time.Now().Add(silence))
		if _, err := conn.Write(next); err != nil {
			return err
		}
		select {
		case <-t.C:
			s.measure(state, faults)
			next = state
		case token, open := <-tokens:
			if !open { // the board is closed
				return nil
			}
			next = append(s.head(markToken), byte(len(token.UID)))
			next = append(next, token.UID...)
		case press, open := <-presses:
			if !open {
				return nil
			}
			b := byte(press.Connector)
			if press.Held {
				b |= heldBit
			}
			next = append(s.head(markPress), b)
		case <-gone:
			return nil
		}
	}
}

// head begins a message of the board.
func (s *server) head(mark byte) []byte {
	return binary.BigEndian.AppendUint64([]byte{mark}, uint64(time.Since(s.start)))
}

// measure reads all inputs into buf.
func (s *server) measure(buf []byte, faults []charge.Fault) {
	buf[0] = markState
	binary.BigEndian.PutUint64(buf[1:], uint64(time.Since(s.start)))
	buf[atStop] = s.stopByte()
	buf[atReader] = unreadable
	if r, err := s.board.Reader(); err == nil && r.Healthy() == nil {
		buf[atReader] = 0
	}
	for n := range s.info.Connectors {
		b := buf[stateHead+perOutlet*n:][:perOutlet]
		// What cannot be measured stays unreadable, which is unsafe.
		for i := range b {
			b[i] = unreadable
		}
		heat := unreadableHeat
		if c, err := s.board.Connector(charge.ConnectorID(n + 1)); err == nil {
			heat = measureConnector(b, c, faults)
		}
		binary.BigEndian.PutUint32(b[atHeat:], uint32(heat))
	}
}

// measureConnector reads the inputs of one connector into b and returns the
// temperature.
func measureConnector(b []byte, c hal.Connector, faults []charge.Fault) (heat int32) {
	if state, _, err := c.Contactor().Feedback(); err == nil {
		b[atContact] = byte(state)
	}
	if state, _, err := c.Pilot().State(); err == nil {
		b[atPilot] = byte(state)
	}
	if p, ok := c.(hal.Protection); ok {
		if fault, _, err := p.Tripped(); err == nil {
			b[atTrip] = byte(slices.Index(faults, fault) + 1)
		}
	}
	if l, err := c.Lock(); err == nil {
		if state, _, err := l.State(); err == nil {
			b[atLock] = byte(state)
		}
	}
	if p, err := c.Proximity(); err == nil {
		if limit, _, err := p.CableLimit(); err == nil {
			b[atCable] = byte(limit / 1_000)
		}
	}
	if t, err := c.Thermal(); err == nil {
		if hottest, _, err := t.Hottest(); err == nil {
			return int32(hottest)
		}
	}
	return unreadableHeat
}

// stopByte is the emergency stop as a byte of a state.
func (s *server) stopByte() byte {
	e, err := s.board.EStop()
	if err != nil {
		return unreadable
	}
	pressed, _, err := e.Pressed()
	switch {
	case err != nil:
		return unreadable
	case pressed:
		return 1
	}
	return 0
}
