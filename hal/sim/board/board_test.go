package board_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/haltest"
	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a listener of in-memory connections, for use in a bubble.
type memory struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), done: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.done) })
	return nil
}

func (m *memory) Addr() net.Addr { return nil }

func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start serves a board until the test ends or stop is called.
func start(tb testing.TB, ln net.Listener, b *sim.Board) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var run sync.WaitGroup
	run.Go(func() {
		if err := board.Serve(ctx, ln, b, slog.New(slog.DiscardHandler)); err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	stop = func() {
		cancel()
		run.Wait()
	}
	tb.Cleanup(stop)
	return stop
}

func newBoard(t *testing.T) *sim.Board {
	t.Helper()
	cfg := sim.DefaultConfig()
	cfg.Connectors, cfg.Cable, cfg.Watchdog = 2, 32_000, 15*time.Second
	cfg.Clock, cfg.ClockTime = true, time.Now()
	b, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dialed(tb testing.TB, dial board.Dialer) *board.Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	c, err := board.Dial(ctx, dial)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestConformanceInMemory(t *testing.T) {
	haltest.Run(t, func(t *testing.T) (hal.Board, haltest.Controls) {
		t.Helper()
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		return dialed(t, m.dial), controls(t, b)
	})
}

func controls(t *testing.T, b *sim.Board) haltest.Controls {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	toggle := func(n charge.ConnectorID, f charge.Fault, on bool) {
		if on {
			must(b.Inject(n, f))
			return
		}
		must(b.Repair(n))
	}
	return haltest.Controls{
		Plug:          func(n charge.ConnectorID) { must(b.Plug(n)) },
		Unplug:        func(n charge.ConnectorID) { must(b.Unplug(n)) },
		Stop:          func(pressed bool) { toggle(1, charge.FaultEmergencyStop, pressed) },
		Weld:          func(n charge.ConnectorID) { must(b.Inject(n, charge.FaultContactorWelded)) },
		StickOpen:     func(n charge.ConnectorID) { must(b.Inject(n, charge.FaultContactorStuck)) },
		SlowMeter:     b.SetMeterDelay,
		SetUnreadable: func(n charge.ConnectorID, blind bool) { toggle(n, charge.FaultSafetyInput, blind) },
		Closed:        func(n charge.ConnectorID) bool { return b.Snapshot().Connectors[n-1].Closed },
		Settle:        time.Second,
		Cable:         32_000,
		Trip:          func(n charge.ConnectorID, on bool) { toggle(n, charge.FaultGroundFault, on) },
		Locked:        func(n charge.ConnectorID) bool { return b.Snapshot().Connectors[n-1].Lock == hal.LockLocked.String() },
		Jam: func(n charge.ConnectorID, on bool) {
			if on {
				must(b.Break(n, sim.LockJammed))
				return
			}
			must(b.Repair(n))
		},
		Tap:         func(uid string) { must(b.Present(uid)) },
		PressButton: func(n charge.ConnectorID) { must(b.Press(n)) },
		Light: func(n charge.ConnectorID) hal.Light {
			l := hal.LightOff
			for l.String() != b.Snapshot().Connectors[n-1].Light && l < hal.LightIdentify {
				l++
			}
			return l
		},
	}
}

// closed commands connector 1 closed and waits until it is.
func closed(t *testing.T, c *board.Client, b *sim.Board) {
	t.Helper()
	con, err := c.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.Keeper()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Kick(), con.Contactor().Set(true)); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		time.Sleep(10 * time.Millisecond)
		if err := k.Kick(); err != nil {
			t.Fatal(err)
		}
	}
	if !b.Snapshot().Connectors[0].Closed {
		t.Fatal("contactor not closed")
	}
}

// opened returns when the contact of connector 1 opened last.
func opened(t *testing.T, s sim.Snapshot) time.Duration {
	t.Helper()
	if s.Connectors[0].Closed {
		t.Fatalf("contact is closed at %v", s.Mono)
	}
	return s.Connectors[0].Since
}

// leash makes connections that the test can cut from the agent's side, as the
// kernel does when the agent is killed.
type leash struct {
	dial  board.Dialer
	mu    sync.Mutex
	conns []net.Conn
	away  bool
}

func (l *leash) Dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, errors.New("the agent is dead")
	}
	c, err := l.dial(ctx)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *leash) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = true
	for _, c := range l.conns {
		_ = c.Close()
	}
}

func TestKilledAgentOpensWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		l := &leash{dial: m.dial}
		c := dialed(t, l.Dial)
		closed(t, c, b)
		killed := b.Mono()
		l.kill()
		time.Sleep(hal.MaxAgentGone)
		if took := opened(t, b.Snapshot()) - killed; took < 0 || took > 100*time.Millisecond {
			t.Errorf("opened %v after the agent was killed; want the contact's own delay", took)
		}
		con, _ := c.Connector(1)
		if state, _, err := con.Contactor().Feedback(); !errors.Is(err, hal.ErrUnreadable) || state != hal.ContactUnknown {
			t.Errorf("feedback of a lost board: got %v, %v", state, err)
		}
		if err := con.Contactor().Set(true); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("set true on a lost board: got %v", err)
		}
		if err := c.Close(); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("close of a lost board: got %v; want an error, since the command was not sent", err)
		}
	})
}

func TestHungAgentOpensWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		c := dialed(t, m.dial)
		closed(t, c, b)
		hung := b.Mono() // the last kick is at most a tick ago; there is none from here
		time.Sleep(2 * hal.MaxAgentGone)
		if took := opened(t, b.Snapshot()) - hung; took <= 0 || took > hal.MaxAgentGone {
			t.Errorf("opened %v after the last kick; want at most %v", took, hal.MaxAgentGone)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestBoardComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		stop := start(t, m, b)
		var mu sync.Mutex
		c := dialed(t, func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			return m.dial(ctx)
		})
		closed(t, c, b)
		con, _ := c.Connector(1)
		_, before, err := con.Contactor().Feedback()
		if err != nil {
			t.Fatal(err)
		}
		stop()
		time.Sleep(hal.MaxSafetyAge + time.Millisecond)
		if b.Snapshot().Connectors[0].Closed {
			t.Error("closed although the board's program has ended")
		}
		for name, err := range map[string]error{
			"feedback": second(con.Contactor().Feedback()), "pilot": second(con.Pilot().State()),
		} {
			if !errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("%s while the board is away: got %v", name, err)
			}
		}
		next := newMemory()
		mu.Lock()
		m = next
		mu.Unlock()
		start(t, next, b)
		time.Sleep(time.Second)
		state, after, err := con.Contactor().Feedback()
		if err != nil || state != hal.ContactOpen || after.Mono <= before.Mono || after.Seq <= before.Seq {
			t.Errorf("after the return: got %v, %+v, %v; want open, later than %+v", state, after, err, before)
		}
		closed(t, c, b)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func second[T any](_ T, _ hal.Stamp, err error) error { return err }

func TestSecondAgentIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		c := dialed(t, m.dial)
		closed(t, c, b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := board.Dial(ctx, m.dial); !errors.Is(err, board.ErrBusy) {
			t.Errorf("second agent: got %v, want %v", err, board.ErrBusy)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		again := dialed(t, m.dial)
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSimulatorAndInspectBesideAnAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		c := dialed(t, m.dial)
		h := board.NewSimulator(m.dial)
		if err := h.Plug(2); err != nil {
			t.Fatal(err)
		}
		if err := h.Plug(2); !errors.Is(err, sim.ErrPlugged) {
			t.Errorf("second plug: got %v", err)
		}
		if err := h.Inject(2, charge.FaultGroundFault); err != nil {
			t.Fatal(err)
		}
		closed(t, c, b)
		con, _ := c.Connector(2)
		if f, _, err := con.(hal.Protection).Tripped(); err != nil || f != charge.FaultGroundFault {
			t.Errorf("protection: got %q, %v", f, err)
		}
		s, err := board.Inspect(t.Context(), m.dial)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Connectors[1].Plugged || len(s.Connectors[1].Faults) != 1 || !s.Connectors[0].Closed {
			t.Errorf("snapshot: got %+v", s)
		}
		if len(s.Trace) != 1 || s.Trace[0].Connector != 1 || !s.Trace[0].Closed {
			t.Errorf("trace: got %+v", s.Trace)
		}
		if err := h.Repair(2); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPeopleAtTheBoardAreSeenByItsAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		h := board.NewSimulator(m.dial)
		if err := h.Present("04A1B2C3"); err != nil { // without an agent: for that moment only
			t.Fatal(err)
		}
		time.Sleep(2 * hal.MomentLasts)
		c := dialed(t, m.dial)
		r, err := c.Reader()
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Panel()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case token := <-r.Tokens():
			t.Errorf("a card of the past: %+v", token)
		case <-time.After(time.Second):
		}
		if err := errors.Join(h.Present("04a1b2c3d4e5f6"), h.Press(2)); err != nil {
			t.Fatal(err)
		}
		if token := <-r.Tokens(); token.UID != "04A1B2C3D4E5F6" {
			t.Errorf("card: got %+v", token)
		}
		if press := <-p.Presses(); press.Connector != 2 || press.Held {
			t.Errorf("press: got %+v", press)
		}
		if err := h.Hold(1); err != nil {
			t.Fatal(err)
		}
		if press := <-p.Presses(); press.Connector != 1 || !press.Held {
			t.Errorf("held: got %+v", press)
		}
		if err := h.Present("x"); err == nil {
			t.Error("a card without a proper uid")
		}
		if err := errors.Join(h.Break(1, sim.ReaderDead), h.SetAmbient(50_000)); err != nil {
			t.Fatal(err)
		}
		if err := h.Break(1, "worn"); err == nil {
			t.Error("an unknown defect")
		}
		time.Sleep(hal.MaxSafetyAge)
		if err := r.Healthy(); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("dead reader: got %v", err)
		}
		time.Sleep(10 * time.Second)
		if got := b.Snapshot().Connectors[0].Temperature; got < 25_000 {
			t.Errorf("ambient: %d m°C", got)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// slow is a connection whose reads the test can hold back, as for an agent
// that gets no processor time.
type slow struct {
	net.Conn
	mu   sync.Mutex
	hold chan struct{} // nil: reads pass
}

func (s *slow) Read(b []byte) (int, error) {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return s.Conn.Read(b)
}

func TestAStateThatWaitedShowsItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		var link *slow
		c := dialed(t, func(ctx context.Context) (net.Conn, error) {
			conn, err := m.dial(ctx)
			if link != nil || err != nil {
				return conn, err
			}
			link = &slow{Conn: conn}
			return link, nil
		})
		closed(t, c, b)
		con, _ := c.Connector(1)
		hold := make(chan struct{})
		link.mu.Lock()
		link.hold = hold
		link.mu.Unlock()
		time.Sleep(3 * hal.MaxSafetyAge)
		for _, when := range []string{"held back", "old one delivered"} {
			if _, stamp, err := con.Contactor().Feedback(); !errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("feedback, %s: got age %v, %v; want stale", when, c.Mono()-stamp.Mono, err)
			}
			if err := con.Contactor().Set(true); !errors.Is(err, hal.ErrUnreadable) || con.Contactor().Commanded() != (when == "held back") {
				t.Errorf("set true, %s: got %v; want it refused", when, err)
			}
			if err := con.Contactor().Set(false); err != nil {
				t.Errorf("set false, %s: got %v; want it sent", when, err)
			}
			if when == "held back" {
				hold <- struct{}{} // the state that has waited since then
				synctest.Wait()
			}
		}
		time.Sleep(hal.MaxContactorDelay / 2)
		if b.Snapshot().Connectors[0].Closed {
			t.Error("the order to open did not get through")
		}
		close(hold)
		time.Sleep(5 * 10 * time.Millisecond)
		if state, _, err := con.Contactor().Feedback(); err != nil || state != hal.ContactOpen {
			t.Errorf("feedback in time again: got %v, %v", state, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAgentThatComesFindsAllOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, b := newMemory(), newBoard(t)
		start(t, m, b)
		con, _ := b.Connector(1)
		k, _ := b.Keeper()
		if err := errors.Join(k.Kick(), con.Contactor().Set(true)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(hal.MaxContactorDelay)
		c := dialed(t, m.dial)
		time.Sleep(hal.MaxContactorDelay)
		if b.Snapshot().Connectors[0].Closed {
			t.Error("closed after an agent came")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
