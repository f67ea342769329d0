package cards_test

import (
	"bytes"
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

	"go.uber.org/goleak"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/cards"
	"github.com/carga-ev/carga/hal/rpi/serial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mono is a board's clock that began with the test.
func mono() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// run runs a reader until the returned function is called, which waits for its end.
func run(t *testing.T, r *cards.Reader) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	return func() { cancel(); <-done }
}

// wantToken takes the token that is offered within d, or checks that there is none.
func wantToken(t *testing.T, r *cards.Reader, d time.Duration, want string) {
	t.Helper()
	select {
	case got := <-r.Tokens():
		if got.UID != want {
			t.Errorf("got the card %q, want %q", got.UID, want)
		}
	case <-time.After(d):
		if want != "" {
			t.Errorf("no card within %v, want %q", d, want)
		}
	}
}

// The frames of the PN532's manual, as they are on the bus.
var (
	ack         = []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	askVersion  = []byte{0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD4, 0x02, 0x2A, 0x00}
	version     = []byte{0x00, 0x00, 0xFF, 0x06, 0xFA, 0xD5, 0x03, 0x32, 0x01, 0x06, 0x07, 0xE8, 0x00}
	setSAM      = []byte{0x00, 0x00, 0xFF, 0x05, 0xFB, 0xD4, 0x14, 0x01, 0x14, 0x01, 0x02, 0x00}
	samSet      = []byte{0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD5, 0x15, 0x16, 0x00}
	setRetries  = []byte{0x00, 0x00, 0xFF, 0x06, 0xFA, 0xD4, 0x32, 0x05, 0xFF, 0x01, 0x02, 0xF3, 0x00}
	retriesSet  = []byte{0x00, 0x00, 0xFF, 0x02, 0xFE, 0xD5, 0x33, 0xF8, 0x00}
	lookForCard = []byte{0x00, 0x00, 0xFF, 0x04, 0xFC, 0xD4, 0x4A, 0x01, 0x00, 0xE1, 0x00}
	noCard      = []byte{0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD5, 0x4B, 0x00, 0xE0, 0x00}
)

// aCard is the answer with a card.
func aCard(uid ...byte) []byte {
	data := append([]byte{0xD5, 0x4B, 0x01, 0x01, 0x00, 0x04, 0x08, byte(len(uid))}, uid...)
	out := append([]byte{0x00, 0x00, 0xFF, byte(len(data)), -byte(len(data))}, data...)
	var sum byte
	for _, b := range data {
		sum += b
	}
	return append(out, -sum, 0x00)
}

// bus is a PN532 on I²C: what is written and read, in its order.
func bus(answers ...[]byte) *i2ctest.Playback {
	const address, most = 0x24, 65
	p := &i2ctest.Playback{DontPanic: true}
	add := func(command, answer []byte) {
		p.Ops = append(p.Ops,
			i2ctest.IO{Addr: address, W: command},
			i2ctest.IO{Addr: address, R: append([]byte{1}, ack...)},
			i2ctest.IO{Addr: address, R: make([]byte, most)}, // not ready yet
			i2ctest.IO{Addr: address, R: append(append([]byte{1}, answer...), make([]byte, most-1-len(answer))...)})
	}
	add(askVersion, version)
	add(setSAM, samSet)
	add(setRetries, retriesSet)
	for _, a := range answers {
		add(lookForCard, a)
	}
	return p
}

func TestPN532ReadsCardsOnI2C(t *testing.T) {
	for want, uid := range map[string][]byte{
		"DEADBEEF":             {0xDE, 0xAD, 0xBE, 0xEF},
		"04A1B2C3D4E5F6":       {0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6},
		"0102030405060708090A": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := bus(noCard, aCard(uid...), aCard(uid...), noCard)
			r := cards.NewPN532I2C(p, mono())
			if err := r.Healthy(); !errors.Is(err, hal.ErrUnreadable) {
				t.Errorf("before the start: got %v", err)
			}
			stop := run(t, r)
			wantToken(t, r, time.Second, want)
			if err := r.Healthy(); err != nil {
				t.Error(err)
			}
			time.Sleep(450 * time.Millisecond)
			stop()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if _, open := <-r.Tokens(); open || r.Healthy() == nil {
				t.Errorf("after the end: tokens open %v, health %v", open, r.Healthy())
			}
		})
	}
}

func TestPN532RefusesWhatIsNoAnswer(t *testing.T) {
	for want, answer := range map[string][]byte{
		"checksum":              {0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD5, 0x4B, 0x01, 0xE0, 0x00},
		"no beginning":          {0x00, 0x00, 0xFE, 0x03, 0xFD, 0xD5, 0x4B, 0x00, 0xE0, 0x00},
		"cut short":             {0x00, 0x00, 0xFF, 0x7F, 0x81, 0xD5, 0x4B, 0x00},
		"another one's":         {0x00, 0x00, 0xFF, 0x03, 0xFD, 0xD5, 0x15, 0x00, 0x16, 0x00},
		"too short":             {0x00, 0x00, 0xFF, 0x04, 0xFC, 0xD5, 0x4B, 0x01, 0x01, 0xDE, 0x00},
		"identifier has 5 byte": aCard(1, 2, 3, 4, 5),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := cards.NewPN532I2C(bus(answer), mono())
			defer run(t, r)()
			wantToken(t, r, 500*time.Millisecond, "")
			if err := r.Healthy(); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want an error with %q", err, want)
			}
		})
	}
}

// field is a chip of a test: what it finds, and how it fails. It answers as a
// PN532 on a UART does.
type field struct {
	net.Conn

	mu     sync.Mutex // guards what follows
	uid    []byte
	silent bool
	opened int
}

func (f *field) set(uid []byte, silent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uid, f.silent = uid, silent
}

// open makes a new line to the chip.
func (f *field) open() (serial.Line, error) {
	near, far := net.Pipe()
	f.mu.Lock()
	f.opened++
	f.mu.Unlock()
	go f.serve(far)
	return near, nil
}

// serve answers commands until the line is closed.
func (f *field) serve(line net.Conn) {
	defer func() { _ = line.Close() }()
	wake := make([]byte, 16)
	if _, err := io.ReadFull(line, wake); err != nil || wake[0] != 0x55 {
		return
	}
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(line, head); err != nil {
			return
		}
		rest := make([]byte, int(head[3])+2)
		if _, err := io.ReadFull(line, rest); err != nil {
			return
		}
		f.mu.Lock()
		uid, silent := f.uid, f.silent
		f.mu.Unlock()
		if silent {
			continue
		}
		answer := noCard
		switch command := append(head, rest...); {
		case bytes.Equal(command, askVersion):
			answer = version
		case bytes.Equal(command, setSAM):
			answer = samSet
		case bytes.Equal(command, setRetries):
			answer = retriesSet
		case uid != nil:
			answer = aCard(uid...)
		}
		if _, err := line.Write(slices.Concat(ack, answer)); err != nil {
			return
		}
	}
}

func TestACardIsReportedOncePerPresentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &field{}
		r := cards.NewPN532UART(f.open, mono())
		defer run(t, r)()
		one, two := []byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}
		wantToken(t, r, 2*time.Second, "")
		f.set(one, false)
		wantToken(t, r, time.Second, "01020304")
		wantToken(t, r, time.Minute, "") // it stays
		f.set(nil, false)
		time.Sleep(200 * time.Millisecond) // the edge of the field
		f.set(one, false)
		wantToken(t, r, time.Second, "")
		f.set(two, false)
		wantToken(t, r, time.Second, "05060708")
		f.set(nil, false)
		time.Sleep(time.Second)
		f.set(two, false)
		wantToken(t, r, time.Second, "05060708")
	})
}

func TestATokenThatIsNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &field{}
		f.set([]byte{1, 2, 3, 4}, false)
		r := cards.NewPN532UART(f.open, mono())
		defer run(t, r)()
		time.Sleep(1500 * time.Millisecond)
		wantToken(t, r, time.Minute, "")
	})
}

func TestAReaderThatFailsIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &field{}
		r := cards.NewPN532UART(f.open, mono())
		defer run(t, r)()
		time.Sleep(10 * time.Second)
		if err := r.Healthy(); err != nil || f.opened != 1 {
			t.Fatalf("got %v after %d openings", err, f.opened)
		}
		f.set([]byte{1, 2, 3, 4}, true)
		time.Sleep(20 * time.Second)
		err := r.Healthy()
		for _, want := range []string{"PN532 on a UART", "since 10s", "not confirmed"} {
			if !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), want) {
				t.Errorf("silent: got %v; want unreadable with %q", err, want)
			}
		}
		f.set([]byte{1, 2, 3, 4}, false)
		wantToken(t, r, 5*time.Second, "01020304")
		synctest.Wait()
		if err := r.Healthy(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
