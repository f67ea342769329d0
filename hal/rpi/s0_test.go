package rpi_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/haltest"
	"github.com/carga-ev/carga/hal/rpi"
	"github.com/carga-ev/carga/internal/charge"
)

// counted is a board with an S0 meter of 1000 pulses per kWh on GPIO6.
type counted struct {
	*testing.T
	chip  *haltest.Chip
	board *rpi.Board
	c     hal.Connector
}

func newCounted(t *testing.T, file string) *counted {
	t.Helper()
	cfg := wiring()
	cfg.EStop = ""
	cfg.Connectors = []rpi.Outlet{{
		Relay: "GPIO17", Plug: "GPIO22", Request: "GPIO23",
		Meter: rpi.Meter{Kind: rpi.MeterS0, Pin: "GPIO6", PulsesPerKWh: 1_000, Register: file, SaveEvery: 10},
	}}
	chip := haltest.NewChip(t, "GPIO17", "GPIO22", "GPIO23", "GPIO6")
	board := mustNew(t, cfg, computer(chip))
	c, err := board.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	return &counted{T: t, chip: chip, board: board, c: c}
}

// pulses makes n pulses of the shortest form that S0 allows.
func (c *counted) pulses(n int, period time.Duration) {
	for range n {
		c.chip.Drive("GPIO6", false)
		time.Sleep(30 * time.Millisecond)
		c.chip.Drive("GPIO6", true)
		time.Sleep(period - 30*time.Millisecond)
	}
}

// register reads the meter.
func (c *counted) register() charge.WattHours {
	c.Helper()
	r, err := c.c.Meter().Read(c.Context())
	if err != nil {
		c.Error(err)
	}
	return r.Import
}

// wantRegister checks what the meter shows.
func (c *counted) wantRegister(want charge.WattHours, when string) {
	c.Helper()
	if got := c.register(); got != want {
		c.Errorf("%s: got %d Wh, want %d", when, got, want)
	}
}

func TestPulsesAreCountedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "register")
		c := newCounted(t, file)
		c.wantRegister(0, "at the start")
		c.pulses(1_234, 60*time.Millisecond)
		c.wantRegister(1_234, "after 1234 pulses")
		id, err := c.c.Meter().Identity()
		if err != nil || id.Serial == "" {
			t.Errorf("identity: got %+v, %v", id, err)
		}
		c.pulses(5, time.Second)
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.c.Meter().Read(t.Context()); !errors.Is(err, hal.ErrClosed) {
			t.Errorf("read after Close: got %v", err)
		}
		c = newCounted(t, file)
		c.wantRegister(1_239, "after a restart")
		if again, err := c.c.Meter().Identity(); err != nil || again != id {
			t.Errorf("identity after a restart: got %+v, %v; want %+v", again, err, id)
		}
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		c = newCounted(t, file)
		c.wantRegister(0, "after the file was lost")
		if other, err := c.c.Meter().Identity(); err != nil || other == id {
			t.Errorf("a register that begins again is the same meter: %+v, %v", other, err)
		}
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAPowerCutLosesNoEnergyThatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "register")
		c := newCounted(t, file)
		if err := c.c.Contactor().Set(true); err != nil {
			t.Fatal(err)
		}
		// At each moment a cut leaves in the file what was read last, and not more
		// than save_wh (10) are missing.
		for pulses := 1; pulses <= 100; pulses++ {
			c.pulses(1, 100*time.Millisecond)
			read := c.register()
			cut := newCounted(t, file)
			after := cut.register()
			if err := cut.board.Close(); err != nil {
				t.Error(err)
			}
			if after != read || int(read) > pulses || pulses-int(read) >= 10 {
				t.Fatalf("after %d pulses %d Wh were read, and %d after a cut", pulses, read, after)
			}
		}
		c.pulses(7, 100*time.Millisecond)
		if err := c.c.Contactor().Set(false); err != nil {
			t.Fatal(err)
		}
		c.wantRegister(107, "without power: all of it")
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
	})
}

// lateness is how late the readings of a busy computer come.
func lateness(seed uint64) map[string]func() time.Duration {
	random := rand.New(rand.NewPCG(seed, 2))
	reading := 0
	return map[string]func() time.Duration{
		"in time":              func() time.Duration { return 0 },
		"each up to 5 ms late": func() time.Duration { return time.Duration(random.Int64N(int64(5 * time.Millisecond))) },
		"each tenth 10 ms late": func() time.Duration {
			if reading++; reading%10 > 0 {
				return 0
			}
			return 10 * time.Millisecond
		},
	}
}

// TestNoPulseIsLostAtTheHighestRate: pulses and pauses as short as S0 allows, at every
// phase of the readings, also while these are late.
func TestNoPulseIsLostAtTheHighestRate(t *testing.T) {
	for name, late := range lateness(1) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCounted(t, filepath.Join(t.TempDir(), "register"))
				c.chip.LateReads(late)
				const n = 5_000
				for range n {
					c.pulses(1, 60*time.Millisecond+rand.N(time.Millisecond))
				}
				c.wantRegister(n, "after pulses of 30 ms")
				if err := c.board.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestADisturbanceBesideLateReadingsIsNoEnergy: several readings right after a late one
// are not taken for a long pulse.
func TestADisturbanceBesideLateReadingsIsNoEnergy(t *testing.T) {
	for name, late := range lateness(2) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCounted(t, filepath.Join(t.TempDir(), "register"))
				c.chip.LateReads(late)
				for range 5_000 {
					c.chip.Drive("GPIO6", false)
					time.Sleep(8 * time.Millisecond)
					c.chip.Drive("GPIO6", true)
					time.Sleep(50*time.Millisecond + rand.N(5*time.Millisecond))
				}
				c.wantRegister(0, "after 5000 spikes of 8 ms")
				if err := c.board.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestADisturbanceIsNoEnergy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, filepath.Join(t.TempDir(), "register"))
		for range 100 {
			c.chip.Drive("GPIO6", false)
			time.Sleep(9 * time.Millisecond)
			c.chip.Drive("GPIO6", true)
			time.Sleep(30 * time.Millisecond)
		}
		c.wantRegister(0, "after 100 spikes of 9 ms")
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPowerFollowsThePulses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, filepath.Join(t.TempDir(), "register"))
		power := func() charge.Watts {
			r, err := c.c.Meter().Read(t.Context())
			if err != nil {
				t.Error(err)
			}
			return r.Power
		}
		c.pulses(1, time.Second)
		if got := power(); got != 0 {
			t.Errorf("after one pulse: got %d W", got)
		}
		c.pulses(5, time.Second) // one Wh a second
		if got := power(); got < 3_500 || got > 3_700 {
			t.Errorf("a pulse a second: got %d W; want about 3600", got)
		}
		time.Sleep(time.Second)
		if got := power(); got < 1_700 || got > 1_900 {
			t.Errorf("the next pulse is a second late: got %d W; want about 1800", got)
		}
		time.Sleep(3 * time.Second)
		if got := power(); got != 0 {
			t.Errorf("no pulses any more: got %d W", got)
		}
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnS0MeterThatCannotCountOrKeepIsUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "folder")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c := newCounted(t, filepath.Join(dir, "register"))
		c.chip.FailReads(errors.New("input/output error"))
		time.Sleep(10 * time.Millisecond)
		if _, err := c.c.Meter().Read(t.Context()); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("unreadable pin: got %v", err)
		}
		c.chip.FailReads(nil)
		time.Sleep(50 * time.Millisecond)
		c.pulses(3, 100*time.Millisecond)
		if err := os.Rename(dir, dir+"-gone"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.c.Meter().Read(t.Context()); !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("a register that cannot be kept: got %v", err)
		}
		if err := os.Rename(dir+"-gone", dir); err != nil {
			t.Fatal(err)
		}
		c.wantRegister(3, "once it can be kept")
		if err := c.board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADamagedRegisterIsNotGuessed(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "half": "s0-register-1 0badcafe 12", "another format": "s0-register-2 0badcafe 1234\n",
		"negative": "s0-register-1 0badcafe -1\n", "two lines": "s0-register-1 0badcafe 1\ns0-register-1 0badcafe 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "register")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := wiring()
			cfg.Connectors[0].Meter = rpi.Meter{Kind: rpi.MeterS0, Pin: "GPIO6", PulsesPerKWh: 1_000, Register: file}
			b := newBench(t, cfg)
			board, err := rpi.New(cfg, computer(b.chip))
			if board != nil || err == nil || !strings.Contains(err.Error(), "connectors[0].meter.register: "+file+": damaged; write the line") {
				t.Errorf("got %v, %v; want the file and the remedy", board, err)
			}
			if n := b.chip.InUse(); n > 0 {
				t.Errorf("%d lines are kept", n)
			}
		})
	}
}
