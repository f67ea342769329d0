package modbus_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi/modbus"
	"github.com/carga-ev/carga/hal/rpi/serial"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/meter"
)

// exchange is a request and its answer.
type exchange struct{ request, answer []byte }

// frames reads the exchanges of a file: ">" begins a request, "<" its answer.
func frames(t *testing.T, name string) []exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".frames"))
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	var into *[]byte
	for line := range strings.Lines(string(text)) {
		rest := line
		switch line[0] {
		case '#':
			continue
		case '>':
			out = append(out, exchange{})
			into, rest = &out[len(out)-1].request, line[1:]
		case '<':
			into, rest = &out[len(out)-1].answer, line[1:]
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(rest), ""))
		if err != nil {
			t.Fatal(err)
		}
		*into = append(*into, b...)
	}
	return out
}

// play answers each of the exchanges once, byte by byte; any other request fails
// the test.
func play(t *testing.T, line io.ReadWriteCloser, all []exchange) {
	t.Helper()
	defer func() { _ = line.Close() }()
	for len(all) > 0 {
		got := make([]byte, 8)
		if _, err := io.ReadFull(line, got); err != nil {
			t.Errorf("%d requests are missing, the first is % X", len(all), all[0].request)
			return
		}
		i := slices.IndexFunc(all, func(x exchange) bool { return bytes.Equal(x.request, got) })
		if i < 0 {
			t.Errorf("request % X is none of the file", got)
			return
		}
		for n := range all[i].answer {
			_, _ = line.Write(all[i].answer[n : n+1])
		}
		all = slices.Delete(all, i, i+1)
	}
}

func abb() modbus.Map {
	return modbus.Map{
		Maker: "ABB", Model: "B23", Function: modbus.Holding, Span: 22,
		Import:  modbus.Quantity{At: []uint16{0x5000}, Type: modbus.Uint64, Exp: 1},
		Power:   modbus.Quantity{At: []uint16{0x5B14}, Type: modbus.Int32, Exp: -2},
		Voltage: modbus.Quantity{At: []uint16{0x5B00, 0x5B02, 0x5B04}, Type: modbus.Uint32, Exp: 2},
		Current: modbus.Quantity{At: []uint16{0x5B0C, 0x5B0E, 0x5B10}, Type: modbus.Uint32, Exp: 1},
		Serial:  modbus.Quantity{At: []uint16{0x8900}, Type: modbus.Uint32},
	}
}

func gavazzi() modbus.Map {
	return modbus.Map{
		Maker: "Carlo Gavazzi", Model: "EM340", Function: modbus.Input, LowWordFirst: true,
		Voltage: modbus.Quantity{At: []uint16{0x00}, Type: modbus.Int32, Exp: 2},
		Current: modbus.Quantity{At: []uint16{0x0C}, Type: modbus.Int32},
		Power:   modbus.Quantity{At: []uint16{0x28}, Type: modbus.Int32, Exp: -1},
		Import:  modbus.Quantity{At: []uint16{0x34}, Type: modbus.Int32, Exp: 2},
	}
}

func little() modbus.Map {
	return modbus.Map{
		Maker: "none", Model: "16 bits", Function: modbus.Holding, LittleEndian: true,
		Voltage:     modbus.Quantity{At: []uint16{0x10}, Type: modbus.Uint16, Exp: 3},
		Current:     modbus.Quantity{At: []uint16{0x11}, Type: modbus.Int16, Exp: 2},
		Power:       modbus.Quantity{At: []uint16{0x12}, Type: modbus.Int16},
		Import:      modbus.Quantity{At: []uint16{0x13}, Type: modbus.Uint16, Exp: 3},
		Temperature: modbus.Quantity{At: []uint16{0x14}, Type: modbus.Int16, Exp: 3},
	}
}

// newMeter makes a meter on a line.
func newMeter(t *testing.T, port *modbus.Port, slave byte, kind modbus.Map) *modbus.Meter {
	t.Helper()
	start := time.Now()
	m, err := modbus.NewMeter(port, slave, kind, func() time.Duration { return time.Since(start) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return m
}

func TestEveryMapReadsItsFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		kind   modbus.Map
		slave  byte
		serial string
		want   hal.Reading
	}{
		"sdm630":   {modbus.SDM630(), 1, "21093471", hal.Reading{Import: 1_204_331, Power: 11_037, Voltage: 230_347, Current: 16_017}},
		"sdm120":   {modbus.SDM120(), 2, "", hal.Reading{Import: 87_550, Power: 2_302, Voltage: 233_400, Current: 9_870}},
		"pzem004t": {modbus.PZEM004T(), 0xF8, "", hal.Reading{Import: 70_001, Power: 2_197, Voltage: 231_400, Current: 9_512}},
		"abb-b23":  {abb(), 5, "4711", hal.Reading{Import: 123_456_780, Power: 22_107, Voltage: 230_500, Current: 31_993}},
		"em340":    {gavazzi(), 6, "", hal.Reading{Import: 5_000_100, Voltage: 229_800}},
		"little":   {little(), 7, "", hal.Reading{Import: 3_210_000, Power: 2_415, Voltage: 230_000, Current: 10_500, Temperature: 41_000}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan struct{})
				go func() { defer close(done); play(t, far, frames(t, name)) }()
				port := modbus.NewPortOn(modbus.PortConfig{Serial: serial.Config{Baud: 9600}}, func() (serial.Line, error) { return near, nil })
				m := newMeter(t, port, tc.slave, tc.kind)
				defer func() { _ = port.Close(); <-done }()
				got, err := m.Read(t.Context())
				tc.want.Stamp = hal.Stamp{Mono: got.Mono, Seq: 1}
				if err != nil || got != tc.want {
					t.Errorf("got %+v, %v\nwant %+v", got, err, tc.want)
				}
				want := hal.Identity{Maker: tc.kind.Maker, Model: tc.kind.Model, Serial: tc.serial}
				if id, err := m.Identity(); err != nil || id != want {
					t.Errorf("identity: got %+v, %v; want %+v", id, err, want)
				}
			})
		})
	}
}

func TestWhatCannotBeIsUnreadableWithItsRegister(t *testing.T) {
	for want, tc := range map[string]struct {
		at    uint16
		value float32
	}{
		"import at 0x0048: unreadable: no number":          {0x48, float32(math.NaN())},
		"power at 0x0034: unreadable: no number":           {0x34, float32(math.Inf(1))},
		"import at 0x0048: unreadable: -1000 is negative":  {0x48, -1},
		"power at 0x0034: unreadable: -3500 is negative":   {0x34, -3500},
		"voltage at 0x0002: unreadable: 2300000 is absurd": {0x02, 2300},
		"current at 0x000a: unreadable: 1.2e+38 is absurd": {0x0A, 1.2e35},
		"import at 0x0048: unreadable: 2e+13 is absurd":    {0x48, 2e10},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCable(t)
			c.bank.SDM630(3, 1, meter.Values{ImportWh: 1_000, Watts: 10, MilliV: [3]int64{230_000, 230_000, 230_000}})
			c.bank.SetFloat(3, 4, tc.at, tc.value)
			_, err := newMeter(t, c.port(), 3, modbus.SDM630()).Read(t.Context())
			if !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), strings.ReplaceAll(want, "2e+13", "20000000000000")) {
				t.Errorf("got %v; want %q", err, want)
			}
		})
	}
}

func TestOnlyConnectedPhasesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		c.bank.SDM630(1, 1, meter.Values{MilliV: [3]int64{230_000, 300, 0}, MilliA: [3]int64{16_000, 10, 0}})
		got, err := newMeter(t, c.port(), 1, modbus.SDM630()).Read(t.Context())
		if err != nil || got.Voltage != 230_000 || got.Current != 16_000 {
			t.Errorf("got %+v, %v; want the voltage and current of the connected phase", got, err)
		}
	})
}

// A float32 in kWh shows whole watt-hours up to 8,192 kWh, and above 16,384 kWh every
// second one: no reading goes down, none is off by more than a step.
func TestTheFloatOfALargeRegisterLosesSingleWattHours(t *testing.T) {
	for from, step := range map[charge.WattHours]charge.WattHours{8_000_000: 1, 20_000_000: 2, 200_000_000: 16} {
		synctest.Test(t, func(t *testing.T) {
			c := newCable(t)
			m := newMeter(t, c.port(), 1, modbus.SDM120())
			last := charge.WattHours(0)
			for wh := from; wh < from+50; wh++ {
				c.bank.SDM120(1, 1, meter.Values{ImportWh: int64(wh)})
				got, err := m.Read(t.Context())
				if err != nil || got.Import < last || got.Import < wh-step || got.Import > wh+step {
					t.Fatalf("%d Wh: got %d, %v after %d; want at most %d Wh off, and never less than before", wh, got.Import, err, last, step)
				}
				last = got.Import
			}
		})
	}
}

func TestTheRegisterOfAPZEMIsContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		m := newMeter(t, c.port(), 1, modbus.PZEM004T())
		m.Resume(19_999_998) // recorded before the restart
		for wh := int64(19_999_998); wh < 20_000_003; wh++ {
			c.bank.PZEM004T(1, meter.Values{ImportWh: wh, Watts: 3_600, MilliV: [3]int64{230_000}})
			got, err := m.Read(t.Context())
			if err != nil || int64(got.Import) != wh {
				t.Errorf("got %d, %v; want %d", got.Import, err, wh)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestAReplacedMeterIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		m := newMeter(t, c.port(), 1, modbus.SDM120())
		c.bank.SDM120(1, 111, meter.Values{ImportWh: 5_000_000})
		if _, err := m.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.fail(func([]byte) ([]byte, time.Duration) { return nil, 0 })
		if _, err := m.Read(t.Context()); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("no meter: got %v", err)
		}
		c.fail(nil)
		c.bank.SDM120(1, 222, meter.Values{ImportWh: 3_000})
		got, err := m.Read(t.Context())
		if err != nil || got.Import != 3_000 {
			t.Errorf("got %d, %v; want the new meter's 3000", got.Import, err)
		}
		if id, err := m.Identity(); err != nil || id.Serial != "222" {
			t.Errorf("got %+v, %v; want the new serial number", id, err)
		}
	})
}

// Some meters do not answer a request for a register that they do not have.
func TestAMeterThatIsSilentAboutItsNumberHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		m := newMeter(t, c.port(), 1, modbus.SDM120())
		c.bank.SDM120(1, 111, meter.Values{ImportWh: 5_000})
		c.fail(func(b []byte) ([]byte, time.Duration) {
			if b[1] == 3 {
				return nil, 0
			}
			return b, 0
		})
		for try := range 2 {
			if _, err := m.Read(t.Context()); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "serial number at 0xfc00") {
				t.Errorf("reading %d: got %v; want that the number is missing", try, err)
			}
		}
		for range 3 {
			start := time.Now()
			if got, err := m.Read(t.Context()); err != nil || got.Import != 5_000 {
				t.Errorf("got %+v, %v; want a reading", got, err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("the reading took %v", took)
			}
		}
		if id, err := m.Identity(); err != nil || id.Serial != "" || id.Model != "SDM120" {
			t.Errorf("got %+v, %v; want no number", id, err)
		}
	})
}

// Behind a failure the meter may be another one, with a higher register.
func TestNoReadingIsOfAMeterThatIsNotRecognised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		m := newMeter(t, c.port(), 1, modbus.SDM120())
		c.bank.SDM120(1, 111, meter.Values{ImportWh: 5_000})
		if _, err := m.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.fail(func([]byte) ([]byte, time.Duration) { return nil, 0 })
		_, _ = m.Read(t.Context())
		c.fail(nil)
		c.bank.SDM120(1, 222, meter.Values{ImportWh: 9_000_000})
		got, err := m.Read(t.Context())
		if id, _ := m.Identity(); err != nil || got.Import != 9_000_000 || id.Serial != "222" {
			t.Errorf("got %+v, %v of %+v; want the reading with the new identity", got, err, id)
		}
	})
}

func TestAStaleMeterIsUnreadableUntilItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		m := newMeter(t, c.port(), 1, modbus.SDM120())
		c.bank.SDM120(1, 1, meter.Values{ImportWh: 5_000, Watts: 7_200, MilliV: [3]int64{230_000}})
		var err error
		for range 60 {
			_, err = m.Read(t.Context())
			time.Sleep(time.Second)
		}
		if !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "import at 0x0048") || !strings.Contains(err.Error(), "stale") {
			t.Errorf("after a minute: got %v; want that the register is stale", err)
		}
		c.bank.SDM120(1, 1, meter.Values{ImportWh: 5_010, Watts: 7_200, MilliV: [3]int64{230_000}})
		if got, err := m.Read(t.Context()); err != nil || got.Import != 5_010 {
			t.Errorf("after it counted: got %+v, %v", got, err)
		}
	})
}

func TestAReadingEndsWithItsContextAndItsPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(t)
		port := c.port()
		m := newMeter(t, port, 1, modbus.SDM120()) // which is not there
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Millisecond, cancel)
		if _, err := m.Read(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if _, err := m.Identity(); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("identity of an absent meter: got %v", err)
		}
		_ = port.Close()
		if _, err := m.Read(t.Context()); !errors.Is(err, hal.ErrClosed) {
			t.Errorf("after Close: got %v, want %v", err, hal.ErrClosed)
		}
	})
}

func TestWhatIsWrongWithAMapIsNamed(t *testing.T) {
	for want, change := range map[string]func(*modbus.Map){
		"function: 6":                       func(m *modbus.Map) { m.Function = 6 },
		"span: 126":                         func(m *modbus.Map) { m.Span = 126 },
		"wrap: -1 Wh":                       func(m *modbus.Map) { m.Wrap = -1 },
		"import: is missing":                func(m *modbus.Map) { m.Import.At = nil },
		"import.at: 2 addresses":            func(m *modbus.Map) { m.Import.At = []uint16{1, 2} },
		`power.type: "float64"`:             func(m *modbus.Map) { m.Power.Type = "float64" },
		"voltage.exp: 10":                   func(m *modbus.Map) { m.Voltage.Exp = 10 },
		"current.function: 1":               func(m *modbus.Map) { m.Current.Function = 1 },
		"power.at: 0xffff is too high":      func(m *modbus.Map) { m.Power.At = []uint16{0xFFFF} },
		"serial.type: a serial number is":   func(m *modbus.Map) { m.Serial.Type = modbus.Float32 },
		`serial.type: "text"; use`:          func(m *modbus.Map) { m.Serial.Type = "text" },
		"temperature.at: 3 addresses; use ": func(m *modbus.Map) { m.Temperature.At = []uint16{1, 2, 3} },
	} {
		m := modbus.SDM120()
		change(&m)
		if _, err := modbus.NewMeter(nil, 1, m, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
	for name, m := range modbus.Maps() {
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := modbus.NewMeter(nil, 0, modbus.SDM120(), nil); err == nil || !strings.Contains(err.Error(), "slave: 0") {
		t.Errorf("slave 0: got %v", err)
	}
}
