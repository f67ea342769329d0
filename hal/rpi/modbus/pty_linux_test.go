package modbus_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/modbus"
	"github.com/carga-ev/carga/hal/rpi/serial"
	"github.com/carga-ev/carga/hal/rpi/serial/pty"
	"github.com/carga-ev/carga/sim/meter"
)

// spoiled is the slave's end of a real line; its answers pass through a function.
type spoiled struct {
	io.ReadWriter
	spoil atomic.Pointer[func([]byte) []byte]
}

func (s *spoiled) Write(p []byte) (int, error) {
	sent := slices.Clone(p)
	if f := s.spoil.Load(); f != nil {
		sent = (*f)(sent)
	}
	_, err := s.ReadWriter.Write(sent)
	return len(p), err
}

// The kernel's own terminal driver, deadlines and reopening, with a slave at the
// other side.
func TestAMeterOnALineOfTheKernel(t *testing.T) {
	device, far := pty.Open(t)
	bank, line := meter.NewBank(), &spoiled{ReadWriter: far}
	bank.SDM630(1, 0x0D0A1113, meter.Values{ImportWh: 1_000, Watts: 11_000, MilliV: [3]int64{230_000, 230_000, 230_000}})
	done := make(chan struct{})
	go func() { defer close(done); _ = meter.Serve(t.Context(), line, bank) }()
	defer func() { _ = far.Close(); <-done }()
	port := modbus.NewPort(modbus.PortConfig{Serial: serial.Config{Device: device, Baud: 115200}, Timeout: 100 * time.Millisecond})
	m := newMeter(t, port, 1, modbus.SDM630())
	good := func(when string) {
		t.Helper()
		// A loaded machine may be slower than a meter: it is asked again.
		for end := time.Now().Add(20 * time.Second); ; {
			got, err := m.Read(t.Context())
			if err != nil && time.Now().Before(end) {
				continue
			}
			if err != nil || got.Import != 1_000 || got.Power != 11_000 || got.Voltage != 230_000 {
				t.Fatalf("%s: got %+v, %v", when, got, err)
			}
			return
		}
	}
	good("first")
	if id, err := m.Identity(); err != nil || id.Serial != "218763539" {
		t.Errorf("identity: got %+v, %v", id, err)
	}
	for name, f := range map[string]func([]byte) []byte{
		"no answer":    func([]byte) []byte { return nil },
		"half a frame": func(b []byte) []byte { return b[:len(b)/2] },
		"a bad CRC":    func(b []byte) []byte { b[len(b)-1]++; return b },
		"wrong slave":  func(b []byte) []byte { b[0]++; return b },
	} {
		line.spoil.Store(&f)
		if _, err := m.Read(t.Context()); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), device) {
			t.Errorf("%s: got %v; want unreadable, with the device", name, err)
		}
		line.spoil.Store(nil)
		good("after " + name)
	}
}
