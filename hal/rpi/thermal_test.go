package rpi_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
)

// sensors are one of each kind.
func sensors() []rpi.Sensor {
	return []rpi.Sensor{
		{Name: "plug", Kind: rpi.SensorDS18B20, ID: "28-0000071c6d2f"},
		{Name: "board", Kind: rpi.SensorTMP102, Bus: "i2c-1"},
		{Name: "relay", Kind: rpi.SensorMCP9808, Bus: "i2c-1", Address: 0x1f},
	}
}

// thermalBoard is a board with these sensors. sys is its /sys, ops what happens on
// the bus; further transfers are errors of the bus.
func thermalBoard(t *testing.T, sys string, ops []i2ctest.IO, sensors ...rpi.Sensor) (*rpi.Board, hal.Thermal, *i2ctest.Playback) {
	t.Helper()
	cfg := wiring()
	cfg.Connectors[0].Temperature = sensors
	b := newBench(t, cfg)
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	c := computer(b.chip)
	c.Sys = sys
	c.I2C = func(name string) (i2c.BusCloser, error) {
		if name != "i2c-1" {
			t.Errorf("opened bus %s", name)
		}
		return bus, nil
	}
	board := mustNew(t, cfg, c)
	o, err := board.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	th, err := o.Thermal()
	if err != nil {
		t.Fatal(err)
	}
	return board, th, bus
}

// ds18b20 writes the file of the sensor and returns the folder that is /sys.
func ds18b20(t *testing.T, text string) (sys, file string) {
	t.Helper()
	sys = t.TempDir()
	dir := filepath.Join(sys, "bus/w1/devices/28-0000071c6d2f")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "temperature")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return sys, file
}

func TestTheHottestSensorCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, file := ds18b20(t, "23062\n")
		board, th, bus := thermalBoard(t, sys, []i2ctest.IO{
			{Addr: 0x48, W: []byte{0}, R: []byte{0x32, 0x10}}, // 50.0625 °C
			{Addr: 0x1f, W: []byte{5}, R: []byte{0xc1, 0x94}}, // 25.25 °C under alert flags
			{Addr: 0x48, W: []byte{0}, R: []byte{0xe7, 0x00}}, // -25 °C
			{Addr: 0x1f, W: []byte{5}, R: []byte{0x1f, 0xf0}}, // -1 °C
		}, sensors()...)
		if got, want := th.Sensors(), []string{"plug", "board", "relay"}; !slices.Equal(got, want) {
			t.Errorf("sensors: got %v, want %v", got, want)
		}
		if info := board.Info(); info.TempLimit != 70_000 {
			t.Errorf("the limit of the board: got %d", info.TempLimit)
		}
		synctest.Wait()
		if got, _, err := th.Hottest(); err != nil || got != 50_062 {
			t.Errorf("got %d, %v; want 50062, the TMP102's", got, err)
		}
		if err := os.WriteFile(file, []byte("-10125\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, stamp, err := th.Hottest(); err != nil || got != -1_000 || board.Mono()-stamp.Mono > time.Second {
			t.Errorf("got %d at %v, %v; want -1000, the MCP9808's", got, stamp, err)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestASensorThatIsLostIsAnErrorAndNotTheOthers(t *testing.T) {
	hot := i2ctest.IO{Addr: 0x48, W: []byte{0}, R: []byte{0x32, 0x10}}
	for name, row := range map[string]struct {
		file string
		ops  []i2ctest.IO
		want string
	}{
		"bus":                {"23062\n", []i2ctest.IO{hot, hot}, "temperature of relay: unreadable"},
		"no such file":       {"", []i2ctest.IO{hot}, "temperature of plug: unreadable"},
		"half a line":        {"2x\n", []i2ctest.IO{hot}, "is no temperature"},
		"no supply":          {"85000\n", []i2ctest.IO{hot}, "lost its supply"},
		"beyond the sensor":  {"126000\n", []i2ctest.IO{hot}, "126.000 °C is beyond the range"},
		"beneath the sensor": {"-56000\n", []i2ctest.IO{hot}, "-56.000 °C is beyond the range"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys, file := ds18b20(t, row.file)
				if row.file == "" {
					_ = os.Remove(file)
				}
				board, th, _ := thermalBoard(t, sys, row.ops, sensors()...)
				synctest.Wait()
				if got, _, err := th.Hottest(); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %d, %v; want an error with %q", got, err, row.want)
				}
				_ = board.Close() // the playback has transfers left
			})
		})
	}
}

func TestATemperatureIsGoodForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, file := ds18b20(t, "42000\n")
		board, th, _ := thermalBoard(t, sys, nil, sensors()[0])
		synctest.Wait()
		_ = os.Remove(file)
		time.Sleep(4 * time.Second)
		if got, stamp, err := th.Hottest(); err != nil || got != charge.MilliCelsius(42_000) || board.Mono()-stamp.Mono < 3*time.Second {
			t.Errorf("4 s after the last good reading: got %d at %v, %v", got, stamp, err)
		}
		time.Sleep(2 * time.Second)
		if got, _, err := th.Hottest(); !errors.Is(err, hal.ErrUnreadable) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("6 s after the last good reading: got %d, %v", got, err)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}
