package modbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/serial"
)

// PortConfig is one serial line with meters.
type PortConfig struct {
	Serial serial.Config
	// Gap is the silence before a request; 0 means DefaultGap. Adapters and meters
	// that lose requests need more, up to 200 ms.
	Gap time.Duration
	// Timeout is how long a meter may think before it answers; 0 means
	// DefaultTimeout. The time that the bytes need on the line comes on top.
	Timeout time.Duration
}

// The defaults and bounds of a PortConfig. A reading of a charging point has a
// second, in which several meters of a line may need their turn.
const (
	DefaultGap     = 10 * time.Millisecond
	DefaultTimeout = 200 * time.Millisecond
	maxWait        = time.Second
)

// Validate reports everything that is wrong, each by its field.
func (c PortConfig) Validate() error {
	err := c.Serial.Validate()
	if c.Gap < 0 || c.Gap > maxWait {
		err = errors.Join(err, fmt.Errorf("gap: %v; use 1 ms to %v, or 0 for %v", c.Gap, maxWait, DefaultGap))
	}
	if c.Timeout < 0 || c.Timeout > maxWait {
		err = errors.Join(err, fmt.Errorf("timeout: %v; use 10 ms to %v, or 0 for %v", c.Timeout, maxWait, DefaultTimeout))
	}
	return err
}

// minSilence is the least silence before a request, however long ago the last
// exchange was: it is when the line's late bytes are dropped.
const minSilence = 2 * time.Millisecond

// maxNoise is how long a line may be noisy before a request is given up.
const maxNoise = 500 * time.Millisecond

// Port is one serial line and everything on it. The device is opened by the first
// exchange and after each failure, so a missing adapter is an error of the
// readings, which ends when it is back.
type Port struct {
	cfg  PortConfig
	open func() (serial.Line, error)

	// busy holds one value while an exchange is under way. It is a channel, so that
	// waiting for it ends with the context. Its holder alone uses the fields below.
	busy  chan struct{}
	last  time.Time // when the line was last busy
	dirty bool      // an exchange failed: its answer may still arrive

	mu     sync.Mutex // guards what follows
	line   serial.Line
	closed bool
}

// NewPort makes a port of a device. It opens nothing.
func NewPort(cfg PortConfig) *Port {
	return NewPortOn(cfg, func() (serial.Line, error) { return serial.Open(cfg.Serial) })
}

// NewPortOn makes a port of a line that open opens: a test's, or a serial server's.
func NewPortOn(cfg PortConfig, open func() (serial.Line, error)) *Port {
	if cfg.Gap == 0 {
		cfg.Gap = DefaultGap
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Port{cfg: cfg, open: open, busy: make(chan struct{}, 1)}
}

// Read reads count registers, 1 to MaxCount, of a slave from address on. An error is
// hal.ErrClosed, the context's own, or a hal.ErrUnreadable that names line, slave
// and reason; an ExceptionError is among these.
func (p *Port) Read(ctx context.Context, slave byte, f Function, address, count uint16) ([]uint16, error) {
	if count < 1 || count > MaxCount {
		return nil, fmt.Errorf("modbus: %d registers in one request; use 1 to %d", count, MaxCount)
	}
	select {
	case p.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.busy }()
	line, err := p.opened()
	if err != nil {
		return nil, err
	}
	words, err := p.exchange(ctx, line, slave, f, address, count)
	p.last = time.Now()
	if err == nil {
		p.dirty = false
		return words, nil
	}
	var refused ExceptionError
	if p.dirty = !errors.As(err, &refused); p.dirty {
		p.drop()
	}
	switch {
	case p.isClosed():
		return nil, hal.ErrClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("modbus: %s: slave %d: %w: %w", p.cfg.Serial.Device, slave, hal.ErrUnreadable, err)
}

// Close ends the exchange that is under way and closes the device. It may be
// repeated.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.line == nil {
		return nil
	}
	line := p.line
	p.line = nil
	return line.Close()
}

// opened returns the line, opened where necessary.
func (p *Port) opened() (serial.Line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, hal.ErrClosed
	case p.line != nil:
		return p.line, nil
	}
	line, err := p.open()
	if err != nil {
		return nil, fmt.Errorf("modbus: %w: open the serial line: %w", hal.ErrUnreadable, err)
	}
	p.line = line
	return line, nil
}

// drop closes the device after a failure.
func (p *Port) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		_ = p.line.Close() // the failure itself is reported
		p.line = nil
	}
}

func (p *Port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// exchange sends one request and receives its answer.
func (p *Port) exchange(ctx context.Context, line serial.Line, slave byte, f Function, address, count uint16) ([]uint16, error) {
	// The end of ctx ends every read and write at once.
	defer context.AfterFunc(ctx, func() { _ = line.SetDeadline(time.Unix(1, 0)) })()
	if err := p.silence(ctx, line); err != nil {
		return nil, err
	}
	out := request(slave, f, address, count)
	frame := make([]byte, headSize, headSize+2*MaxCount+crcSize)
	onLine := time.Duration(len(out)+headSize+int(2*count)+crcSize) * p.cfg.Serial.CharTime()
	if err := until(ctx, line, p.cfg.Timeout+onLine); err != nil {
		return nil, err
	}
	if _, err := line.Write(out); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	if err := receive(line, frame, 0); err != nil {
		return nil, err
	}
	size, err := answerSize(frame, slave, f, count)
	if err != nil {
		if bytes.Equal(frame, out[:headSize]) {
			return nil, errors.New("the line returns our own request: switch off the echo of the adapter")
		}
		return nil, err
	}
	frame = frame[:size]
	if err := receive(line, frame, headSize); err != nil {
		return nil, err
	}
	return registers(frame)
}

// silence waits until the line has been silent for the gap, and after a failed
// exchange for a whole Timeout. What arrives meanwhile belongs to no request of
// ours and is dropped.
func (p *Port) silence(ctx context.Context, line serial.Line) error {
	want := max(p.cfg.Gap-time.Since(p.last), minSilence)
	if p.dirty {
		want = p.cfg.Timeout
	}
	var junk [256]byte
	for start := time.Now(); ; {
		if err := until(ctx, line, want); err != nil {
			return err
		}
		_, err := line.Read(junk[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case time.Since(start) > maxNoise:
			return fmt.Errorf("the line is not silent for %v: noise, or another master", want)
		}
	}
}

// until sets the deadline of line, unless ctx has ended, which has set its own.
func until(ctx context.Context, line serial.Line, d time.Duration) error {
	if err := line.SetDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return ctx.Err()
}

// receive fills frame from byte have on.
func receive(line io.Reader, frame []byte, have int) error {
	n, err := io.ReadFull(line, frame[have:])
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read: %w", err)
	case have+n == 0:
		return errors.New("no answer: check the address, the speed and the wires A and B")
	}
	return fmt.Errorf("the answer ended after %d bytes", have+n)
}
