package rpi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// thermal is the temperature sensors of a connector. A goroutine reads them, one
// after the other, since a DS18B20 takes 750 ms.
type thermal struct {
	board   *Board
	names   []string
	sensors []sensor

	mu   sync.Mutex // guards what follows
	last []heat     // one for each sensor
	seq  uint64
	done bool // run has ended
}

// sensor reads one temperature now.
type sensor func() (charge.MilliCelsius, error)

// heat is what a sensor measured.
type heat struct {
	known bool
	at    time.Duration
	value charge.MilliCelsius
	err   error // of the last attempt
}

var _ hal.Thermal = (*thermal)(nil)

// heatPeriod is the pause between two readings of the sensors.
const heatPeriod = time.Second

// run reads all sensors until ctx ends.
func (t *thermal) run(ctx context.Context) {
	for {
		for i, read := range t.sensors {
			value, err := read()
			now := t.board.Mono()
			t.mu.Lock()
			t.last[i].err = err
			if err == nil {
				t.last[i] = heat{known: true, at: now, value: value}
			}
			t.seq++
			t.mu.Unlock()
		}
		if sleep(ctx, heatPeriod) != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.done = true
			return
		}
	}
}

// Sensors implements hal.Thermal.
func (t *thermal) Sensors() []string { return t.names }

// Hottest implements hal.Thermal. The stamp is that of the oldest value.
func (t *thermal) Hottest() (charge.MilliCelsius, hal.Stamp, error) {
	now := t.board.Mono()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return 0, hal.Stamp{}, hal.ErrClosed
	}
	hottest, stamp := t.last[0].value, hal.Stamp{Mono: t.last[0].at, Seq: t.seq}
	for i, h := range t.last {
		switch {
		case h.err != nil && (!h.known || now-h.at > hal.MaxThermalAge):
			return 0, stamp, fmt.Errorf("rpi: temperature of %s: %w: %w", t.names[i], hal.ErrUnreadable, h.err)
		case !h.known || now-h.at > hal.MaxThermalAge:
			return 0, stamp, fmt.Errorf("rpi: temperature of %s: %w: no value for %v", t.names[i], hal.ErrUnreadable, now-h.at)
		}
		hottest, stamp.Mono = max(hottest, h.value), min(stamp.Mono, h.at)
	}
	return hottest, stamp, nil
}

// ds18b20 is a sensor of the kernel's 1-wire bus below sys.
func ds18b20(sys, id string) sensor {
	file := filepath.Join(sys, "bus/w1/devices", id, "temperature")
	return func() (charge.MilliCelsius, error) {
		raw, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 32)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s: %q is no temperature", file, raw)
		case n == 85_000:
			return 0, fmt.Errorf("%s: 85 °C is what a sensor shows that lost its supply", file)
		}
		return plausible(charge.MilliCelsius(n))
	}
}

// tmp102 is the sensor TMP102: 12 bits of 1/16 °C, left-aligned, in register 0.
func tmp102(bus i2c.Bus, address uint16) sensor {
	return func() (charge.MilliCelsius, error) {
		raw, err := readRegister(bus, address, 0)
		return celsius16(raw>>4, err)
	}
}

// mcp9808 is the sensor MCP9808: 13 bits of 1/16 °C in register 5, under three
// flags.
func mcp9808(bus i2c.Bus, address uint16) sensor {
	return func() (charge.MilliCelsius, error) {
		raw, err := readRegister(bus, address, 5)
		return celsius16(raw<<3>>3, err)
	}
}

// readRegister reads a signed register of two bytes.
func readRegister(bus i2c.Bus, address uint16, register byte) (int16, error) {
	var raw [2]byte
	if err := bus.Tx(address, []byte{register}, raw[:]); err != nil {
		return 0, err
	}
	return int16(uint16(raw[0])<<8 | uint16(raw[1])), nil
}

// celsius16 converts sixteenths of a degree.
func celsius16(n int16, err error) (charge.MilliCelsius, error) {
	if err != nil {
		return 0, err
	}
	return plausible(charge.MilliCelsius(n) * 1_000 / 16)
}

// plausible refuses what these sensors cannot measure.
func plausible(t charge.MilliCelsius) (charge.MilliCelsius, error) {
	if t < -55_000 || t > 125_000 {
		return 0, fmt.Errorf("%s °C is beyond the range of the sensor", charge.Decimal(int64(t), 3))
	}
	return t, nil
}
