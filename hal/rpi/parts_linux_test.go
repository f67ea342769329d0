package rpi_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/hal/rpi/pwm"
	"github.com/carga-ev/carga/hal/rpi/serial/pty"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/meter"
)

// Two meters of different kinds on one line of the kernel, one of them described
// in the board file.
func TestMetersOfABoardFileAreRead(t *testing.T) {
	device, far := pty.Open(t)
	bank := meter.NewBank()
	bank.SDM630(1, 0x0D0A1113, meter.Values{ImportWh: 1_000, Watts: 11_000, MilliV: [3]int64{230_000, 230_000, 230_000}})
	bank.SetLong(2, 3, 0x5000, 12_345) // hundredths of a kWh
	bank.SetLong(2, 3, 0x5B00, 2_301)  // tenths of a volt
	bank.SetLong(2, 3, 0x5B14, 368_000)
	done := make(chan struct{})
	go func() { defer close(done); _ = meter.Serve(t.Context(), far, bank) }()
	defer func() { _ = far.Close(); <-done }()

	cfg, err := load(t, `
connectors:
- {relay: GPIO17, plug: GPIO22, request: GPIO23, meter: {kind: sdm630, port: `+device+`, address: 1}}
- relay: GPIO24
  plug: GPIO12
  request: GPIO16
  meter:
    {kind: custom, port: `+device+`, address: 2, map: {maker: Acme, model: M1, function: 3, import: {at: [0x5000], type: uint32, exp: 1},
     voltage: {at: [0x5B00], type: uint32, exp: 2}, power: {at: [0x5B14], type: int32, exp: -2}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, cfg)
	board := mustNew(t, cfg, computer(b.chip))
	read := func(m hal.Meter) hal.Reading {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; { // a loaded machine may be slower than a meter
			got, err := m.Read(t.Context())
			if err == nil {
				return got
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	first, _ := board.Connector(1)
	second, _ := board.Connector(2)
	if got := read(first.Meter()); got.Import != 1_000 || got.Power != 11_000 {
		t.Errorf("SDM630: got %+v", got)
	}
	if got := read(second.Meter()); got.Import != 123_450 || got.Power != 3_680 || got.Voltage != 230_100 {
		t.Errorf("custom: got %+v", got)
	}
	if id, err := second.Meter().Identity(); err != nil || id.Maker != "Acme" || id.Model != "M1" {
		t.Errorf("identity of the custom one: %+v, %v", id, err)
	}
	if err := board.Close(); err != nil {
		t.Error(err)
	}
	if _, err := first.Meter().Read(t.Context()); !errors.Is(err, hal.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestAReaderOfABoardRunsUntilClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := wiring()
		cfg.Reader = rpi.Reader{Kind: rpi.ReaderPN532, Bus: "i2c-1"}
		b := newBench(t, cfg)
		c := computer(b.chip)
		c.I2C = func(name string) (i2c.BusCloser, error) { return &i2ctest.Playback{DontPanic: true}, nil }
		board := mustNew(t, cfg, c)
		r, err := board.Reader()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := r.Healthy(); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "PN532") {
			t.Errorf("a chip that does not answer: got %v", err)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		if _, open := <-r.Tokens(); open {
			t.Error("the channel is open after Close")
		}
	})
}

func TestABusThatCannotBeOpenedNamesTheRemedy(t *testing.T) {
	cfg := wiring()
	cfg.Reader = rpi.Reader{Kind: rpi.ReaderPN532, Bus: "i2c-1"}
	b := newBench(t, cfg)
	c := computer(b.chip)
	c.I2C = func(string) (i2c.BusCloser, error) { return nil, errors.New("no such file") }
	if board, err := rpi.New(cfg, c); board != nil || err == nil || !strings.Contains(err.Error(), "reader.bus: i2c-1: no such file (is dtparam=i2c_arm=on set") {
		t.Errorf("got %v, %v", board, err)
	}
	if n := b.chip.InUse(); n > 0 {
		t.Errorf("%d lines are kept", n)
	}
}

func TestTheKernelsFormOfATimeIsOurs(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2028, 12, 31, 23, 59, 58, 0, time.FixedZone("far east", 14*3600)),
	} {
		raw := rpi.ToRTC(at)
		if got := rpi.FromRTC(raw); !got.Equal(at) {
			t.Errorf("%v came back as %v", at, got)
		}
	}
	got := rpi.ToRTC(time.Date(2026, 11, 30, 9, 5, 7, 0, time.UTC))
	if got.Year != 126 || got.Mon != 10 || got.Mday != 30 || got.Hour != 9 || got.Min != 5 || got.Sec != 7 || got.Wday != 1 || got.Yday != 333 {
		t.Errorf("got %+v", got)
	}
	cfg := wiring()
	cfg.RTC = "/dev/no-such-clock"
	b := newBench(t, cfg)
	board := mustNew(t, cfg, computer(b.chip))
	defer func() { _ = board.Close() }()
	clock, err := board.Clock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clock.Now(); !errors.Is(err, hal.ErrUnreadable) {
		t.Errorf("a clock that is not there: got %v", err)
	}
	if err := clock.Set(time.Now()); err == nil {
		t.Error("a clock that is not there was set")
	}
}

// frontEnd is the PWM output, the amplifier and the ADC of a pilot, and a vehicle.
type frontEnd struct {
	mu       sync.Mutex
	duty     charge.Permille
	high     charge.MilliVolts // what the vehicle leaves of +12 V
	sample   int
	closed   []string
	channels map[int]bool
}

func (f *frontEnd) Set(duty charge.Permille) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.duty = duty
	return nil
}

// pwmOutput and adcPort are its two sides.
type (
	pwmOutput struct{ *frontEnd }
	adcPort   struct{ *frontEnd }
)

func (f pwmOutput) Close() error { f.closed = append(f.closed, "PWM"); return nil }
func (f adcPort) Close() error   { f.closed = append(f.closed, "SPI"); return nil }

func (f adcPort) String() string                    { return "spi0.0" }
func (f adcPort) Duplex() conn.Duplex               { return conn.Full }
func (f adcPort) TxPackets([]spi.Packet) error      { return errors.ErrUnsupported }
func (f adcPort) LimitSpeed(physic.Frequency) error { return nil }

func (f adcPort) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) { return f, nil }

// Tx is one conversion of −15…+15 V; channel 1 is the coding of a 32 A cable, 220 Ω
// below 1 kΩ.
func (f adcPort) Tx(w, r []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	channel := int(w[1]>>4) & 7
	f.channels[channel] = true
	value := 220 * 1023 / 1220
	if channel == 0 {
		f.sample++
		level := f.high
		if f.duty < 1000 && f.sample%10 >= int(f.duty)/100 {
			level = -12_000
		}
		value = int((level + 15_000) * 1023 / 30_000)
	}
	r[0], r[1], r[2] = 0, byte(value>>8), byte(value)
	return nil
}

func TestAPilotByPWMAndADC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, err := load(t, "connectors: [{relay: GPIO17, proximity: {adc: spi0.0, channel: 1}, pilot: {kind: pwm, pin: GPIO19, device: fe20c000.pwm, adc: spi0.0}}]")
		if err != nil {
			t.Fatal(err)
		}
		b, f := newBench(t, cfg), &frontEnd{duty: 1_000, high: 12_000, channels: map[int]bool{}}
		c := computer(b.chip)
		opened := 0
		c.SPI = func(string) (spi.PortCloser, error) { opened++; return adcPort{f}, nil }
		c.PWM = func(o pwm.OutputConfig) (pwm.Setter, error) {
			if o != (pwm.OutputConfig{Device: "fe20c000.pwm", Channel: 1}) {
				t.Errorf("opened PWM %+v", o)
			}
			return pwmOutput{f}, nil
		}
		board := mustNew(t, cfg, c)
		if !board.Info().Steered || opened != 1 {
			t.Errorf("steered: %v, SPI opened %d times; want true and once", board.Info().Steered, opened)
		}
		o, _ := board.Connector(1)
		want := func(state charge.PilotState, when string) {
			t.Helper()
			time.Sleep(100 * time.Millisecond)
			if got, _, err := o.Pilot().State(); err != nil || got != state {
				t.Errorf("%s: got %v, %v; want %v", when, got, err, state)
			}
		}
		want(charge.PilotA, "no vehicle")
		f.mu.Lock()
		f.high = 9_000
		f.mu.Unlock()
		want(charge.PilotB, "plugged in")
		if err := errors.Join(o.Pilot().SetCurrent(16_000), o.Pilot().SetAvailable(true)); err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.high = 6_000
		duty := f.duty
		f.mu.Unlock()
		if duty != 266 && duty != 267 {
			t.Errorf("16 A are offered by %d ‰; want 266", duty)
		}
		want(charge.PilotC, "requesting power")
		p, err := o.Proximity()
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := p.CableLimit(); err != nil || got != 32_000 {
			t.Errorf("cable: got %d, %v; want 32 A", got, err)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		if f.duty != 1_000 || !slices.Contains(f.closed, "PWM") || !slices.Contains(f.closed, "SPI") {
			t.Errorf("after Close: %d ‰, closed %v; want no offer, and both", f.duty, f.closed)
		}
		if _, _, err := o.Pilot().State(); err == nil {
			t.Error("a state after Close")
		}
	})
}
