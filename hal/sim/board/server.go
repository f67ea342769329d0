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
	case "read", "identity":
		return s.meter(ctx, conn, q)
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
	// A slow meter must not be read for a caller that has given up.
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { // the caller sends nothing more, so this read ends when it leaves
		defer cancel()
		_, _ = conn.Read(make([]byte, 1))
	})
	r, err := c.Meter().Read(ctx)
	_ = conn.SetReadDeadline(time.Now())
	watch.Wait()
	if err != nil {
		return failure(err)
	}
	return reply{Reading: &r, At: time.Since(s.start)}
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
		defer func() { _ = conn.Close() }() // the reader below ends, and opens
		s.stream(conn, gone)
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
		if err := s.perform(buf[0], charge.ConnectorID(buf[1])); err != nil {
			return err
		}
	}
}

// perform executes one command.
func (s *server) perform(op byte, n charge.ConnectorID) error {
	switch op {
	case opOpenAll:
		return s.board.SafeState()
	case opKick:
		k, err := s.board.Keeper()
		if err != nil {
			return err
		}
		return k.Kick()
	}
	c, err := s.board.Connector(n)
	if err != nil {
		return err
	}
	switch op {
	case opClose, opOpen:
		return c.Contactor().Set(op == opClose)
	case opOffer, opWithdraw:
		return c.Pilot().SetAvailable(op == opOffer)
	}
	return fmt.Errorf("board: command %q is unknown", op)
}

// stream sends a state each period, until gone is closed or the agent does not
// read them in time.
func (s *server) stream(conn net.Conn, gone <-chan struct{}) {
	faults := charge.Faults()
	buf := make([]byte, stateSize(s.info.Connectors))
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		s.measure(buf, faults)
		_ = conn.SetWriteDeadline(time.Now().Add(silence))
		if _, err := conn.Write(buf); err != nil {
			return
		}
		select {
		case <-t.C:
		case <-gone:
			return
		}
	}
}

// measure reads all inputs into buf.
func (s *server) measure(buf []byte, faults []charge.Fault) {
	buf[0] = stateMark
	binary.BigEndian.PutUint64(buf[1:], uint64(time.Since(s.start)))
	buf[9] = s.stopByte()
	for n := range s.info.Connectors {
		b := buf[stateHead+perOutlet*n:]
		// What cannot be measured stays unreadable, which is unsafe.
		b[0], b[1], b[2] = unreadable, unreadable, unreadable
		c, err := s.board.Connector(charge.ConnectorID(n + 1))
		if err != nil {
			continue
		}
		if state, _, err := c.Contactor().Feedback(); err == nil {
			b[0] = byte(state)
		}
		if state, _, err := c.Pilot().State(); err == nil {
			b[1] = byte(state)
		}
		p, ok := c.(hal.Protection)
		if !ok {
			continue
		}
		if fault, _, err := p.Tripped(); err == nil {
			b[2] = byte(slices.Index(faults, fault) + 1)
		}
	}
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
