package modbus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/modbus"
	"github.com/carga-ev/carga/hal/rpi/serial"
	"github.com/carga-ev/carga/sim/meter"
)

// cable is a line in memory with slaves at its far end. It is one line for all
// openings, as a real one is: what a slave sends late arrives at the next one.
type cable struct {
	near, far net.Conn
	bank      *meter.Bank

	mu     sync.Mutex // guards what follows
	spoil  func(answer []byte) (sent []byte, delay time.Duration)
	opened int
	gone   error       // what opening returns
	seen   []time.Time // when requests arrived
}

func newCable(t *testing.T) *cable {
	t.Helper()
	c := &cable{bank: meter.NewBank()}
	c.near, c.far = net.Pipe()
	t.Cleanup(func() { _ = c.near.Close(); _ = c.far.Close() })
	go func() { _ = meter.Serve(t.Context(), c, c.bank) }()
	return c
}

// fail makes each answer pass through spoil; nil ends that.
func (c *cable) fail(spoil func([]byte) ([]byte, time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoil = spoil
}

// Read is the slave's.
func (c *cable) Read(p []byte) (int, error) {
	n, err := c.far.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, time.Now())
	return n, err
}

// Write is the slave's. What is not read ends with the test.
func (c *cable) Write(p []byte) (int, error) {
	c.mu.Lock()
	spoil := c.spoil
	c.mu.Unlock()
	sent, delay := slices.Clone(p), time.Duration(0)
	if spoil != nil {
		sent, delay = spoil(sent)
	}
	time.AfterFunc(delay, func() { _, _ = c.far.Write(sent) })
	return len(p), nil
}

// end is the master's end in one opening: closing it leaves the line as it is.
type end struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.closed); _ = e.SetDeadline(time.Unix(1, 0)) })
	return nil
}

func (e *end) Read(p []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, net.ErrClosed
	default:
		return e.Conn.Read(p)
	}
}

func (c *cable) open() (serial.Line, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone != nil {
		return nil, c.gone
	}
	c.opened++
	return &end{Conn: c.near, closed: make(chan struct{})}, nil
}

func (c *cable) port() *modbus.Port {
	return modbus.NewPortOn(modbus.PortConfig{Serial: serial.Config{Device: "/dev/ttyS9", Baud: 9600}}, c.open)
}

func TestPortReadsAgainAfterEveryFault(t *testing.T) {
	cut := func(n int) func([]byte) ([]byte, time.Duration) {
		return func(b []byte) ([]byte, time.Duration) { return b[:n], 0 }
	}
	flip := func(at int, bit byte) func([]byte) ([]byte, time.Duration) {
		return func(b []byte) ([]byte, time.Duration) { b[at] ^= bit; return b, 0 }
	}
	late := func(d time.Duration) func([]byte) ([]byte, time.Duration) {
		return func(b []byte) ([]byte, time.Duration) { return b, d }
	}
	for name, tc := range map[string]struct {
		spoil func([]byte) ([]byte, time.Duration)
		want  string
	}{
		"no answer":             {cut(0), "no answer"},
		"a single byte":         {cut(1), "ended after 1 byte"},
		"half a frame":          {cut(5), "ended after 5 bytes"},
		"a bad CRC":             {flip(4, 0x10), "CRC is"},
		"another slave":         {flip(0, 0x03), "slave 2 answered"},
		"another function":      {flip(1, 0x07), "is to function 3"},
		"another length":        {flip(2, 0x02), "has 6 bytes"},
		"an answer after 250ms": {late(250 * time.Millisecond), "no answer"},
		"an answer after 390ms": {late(390 * time.Millisecond), "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCable(t)
				c.bank.Set(1, 4, 0x00, 0x1111, 0x2222)
				c.bank.Set(1, 4, 0x48, 0x3333, 0x4444)
				p := c.port()
				defer func() { _ = p.Close() }()
				c.fail(tc.spoil)
				_, err := p.Read(t.Context(), 1, modbus.Input, 0x00, 2)
				for _, want := range []string{tc.want, "/dev/ttyS9", "slave 1"} {
					if !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v; want unreadable with %q", err, want)
					}
				}
				// The same size, another address, a slow meter: a late answer would pass for
				// this one's.
				c.fail(late(100 * time.Millisecond))
				got, err := p.Read(t.Context(), 1, modbus.Input, 0x48, 2)
				if err != nil || !slices.Equal(got, []uint16{0x3333, 0x4444}) {
					t.Errorf("next request: got %04x, %v; want its own registers", got, err)
				}
				if c.opened != 2 {
					t.Errorf("the device was opened %d times; want again after the failure", c.opened)
				}
			})
		})
	}
}

func TestAnExceptionLeavesTheLineOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		c.bank.Set(1, 4, 0, 7)
		p := c.port()
		defer func() { _ = p.Close() }()
		_, err := p.Read(t.Context(), 1, modbus.Input, 500, 1)
		var refused modbus.ExceptionError
		if !errors.As(err, &refused) || refused != 2 || !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("got %v; want exception 2", err)
		}
		if got, err := p.Read(t.Context(), 1, modbus.Input, 0, 1); err != nil || got[0] != 7 || c.opened != 1 {
			t.Errorf("got %v, %v after %d openings; want 7 on the same line", got, err, c.opened)
		}
	})
}

func TestOneExchangeAtATimeWithAGapBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		for slave := range byte(5) {
			c.bank.Set(slave+1, 4, 0, uint16(slave)+1)
		}
		p := c.port()
		defer func() { _ = p.Close() }()
		var all sync.WaitGroup
		for slave := range byte(5) {
			for range 20 {
				all.Go(func() {
					got, err := p.Read(t.Context(), slave+1, modbus.Input, 0, 1)
					if err != nil || got[0] != uint16(slave)+1 {
						t.Errorf("slave %d: got %v, %v", slave+1, got, err)
					}
				})
			}
		}
		all.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := 1; i < 100; i++ {
			if gap := c.seen[i].Sub(c.seen[i-1]); gap < modbus.DefaultGap {
				t.Fatalf("request %d came %v after the one before; want a silence of %v", i, gap, modbus.DefaultGap)
			}
		}
	})
}

func TestAContextEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		c.bank.Set(1, 4, 0, 7)
		c.fail(func([]byte) ([]byte, time.Duration) { return nil, 0 })
		p := c.port()
		defer func() { _ = p.Close() }()
		read := func(d time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			start := time.Now()
			_, err := p.Read(ctx, 1, modbus.Input, 0, 1)
			return time.Since(start), err
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = read(150 * time.Millisecond) })
		synctest.Wait()
		for _, d := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond} { // waits for its turn, then for an answer
			if took, err := read(d); took != d || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("got %v after %v; want the context's error after %v", err, took, d)
			}
		}
		all.Wait()
		if took, err := read(0); took != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended before: got %v after %v", err, took)
		}
		c.fail(nil)
		if got, err := p.Read(t.Context(), 1, modbus.Input, 0, 1); err != nil || got[0] != 7 {
			t.Errorf("afterwards: got %v, %v", got, err)
		}
	})
}

func TestANoisyLineIsAnErrorNotAWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		var noise sync.WaitGroup
		noise.Go(func() {
			for {
				if _, err := c.far.Write([]byte{0x55}); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		p := c.port()
		defer func() { _ = p.Close(); _ = c.near.Close(); noise.Wait() }()
		start := time.Now()
		_, err := p.Read(t.Context(), 1, modbus.Input, 0, 1)
		if err == nil || !strings.Contains(err.Error(), "not silent") || time.Since(start) > time.Second {
			t.Errorf("got %v after %v; want that the line is not silent", err, time.Since(start))
		}
	})
}

func TestAnEchoIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = near.Close(); _ = far.Close() }()
		go func() {
			b := make([]byte, 8)
			_, _ = io.ReadFull(far, b)
			_, _ = far.Write(b)
		}()
		p := modbus.NewPortOn(modbus.PortConfig{}, func() (serial.Line, error) { return near, nil })
		if _, err := p.Read(t.Context(), 1, modbus.Input, 0x48, 2); err == nil || !strings.Contains(err.Error(), "echo") {
			t.Errorf("got %v; want that the adapter echoes", err)
		}
		for _, count := range []uint16{0, 126} {
			if _, err := p.Read(t.Context(), 1, modbus.Input, 0, count); err == nil || errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("%d registers: got %v; want that it cannot be asked", count, err)
			}
		}
	})
}

func TestAMissingDeviceIsReadWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		c.bank.Set(1, 4, 0, 7)
		c.gone = errors.New("no such device")
		p := c.port()
		if _, err := p.Read(t.Context(), 1, modbus.Input, 0, 1); !errors.Is(err, c.gone) || !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("got %v; want unreadable, since there is no such device", err)
		}
		c.gone = nil
		if got, err := p.Read(t.Context(), 1, modbus.Input, 0, 1); err != nil || got[0] != 7 {
			t.Errorf("got %v, %v", got, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.Read(t.Context(), 1, modbus.Input, 0, 1); !errors.Is(err, hal.ErrClosed) {
			t.Errorf("after Close: got %v, want %v", err, hal.ErrClosed)
		}
	})
}

func TestCloseEndsTheReadingThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		p := c.port() // its slave does not exist
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { _ = p.Close() })
		_, err := p.Read(t.Context(), 1, modbus.Input, 0, 1)
		if took := time.Since(start); !errors.Is(err, hal.ErrClosed) || took != 100*time.Millisecond {
			t.Errorf("got %v after %v; want %v after 100ms", err, took, hal.ErrClosed)
		}
	})
}

func TestWhatIsWrongWithAPortIsNamed(t *testing.T) {
	err := modbus.PortConfig{
		Serial: serial.Config{Device: "ttyS0", Baud: 9601, Parity: "mark", StopBits: 3}, Gap: -1, Timeout: time.Minute,
	}.Validate()
	for _, want := range []string{"device: ", "baud: 9601", "parity: ", "stop_bits: 3", "gap: ", "timeout: 1m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
	good := modbus.PortConfig{Serial: serial.Config{Device: "/dev/ttyS0", Baud: 9600}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

var _ io.ReadWriter = (*cable)(nil)
