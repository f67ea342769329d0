package rpi_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/hal/rpi"
)

// locked is a board with a lock on connector 1: a motor on GPIO16 and GPIO20.
func locked(t *testing.T, change func(*rpi.Lock)) (*bench, *rpi.Board, hal.Lock) {
	t.Helper()
	cfg := wiring()
	cfg.Connectors[0].Lock = rpi.Lock{Kind: rpi.LockMotor, Pin: "GPIO20", Unlock: "GPIO21"}
	if change != nil {
		change(&cfg.Connectors[0].Lock)
	}
	b := newBench(t, cfg)
	board := mustNew(t, cfg, computer(b.chip))
	c, err := board.Connector(1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Lock()
	if err != nil {
		t.Fatal(err)
	}
	return b, board, l
}

// wantLock checks the state of a lock.
func wantLock(t *testing.T, l hal.Lock, want hal.LockState, when string) {
	t.Helper()
	if got, _, err := l.State(); err != nil || got != want {
		t.Errorf("%s: got %v, %v; want %v", when, got, err, want)
	}
}

func TestAMotorIsFedForItsMovementOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, l := locked(t, nil)
		both := 0
		for _, pin := range []string{"GPIO20", "GPIO21"} {
			b.chip.OnWrite(pin, func(bool) {
				if b.chip.Level("GPIO20") && b.chip.Level("GPIO21") {
					both++
				}
			})
		}
		wantLock(t, l, hal.LockUnknown, "before the first command")
		if err := l.Set(true); err != nil {
			t.Fatal(err)
		}
		wantLock(t, l, hal.LockUnknown, "on its way")
		if !b.chip.Level("GPIO20") {
			t.Error("the motor has no power after Set(true)")
		}
		time.Sleep(time.Second)
		wantLock(t, l, hal.LockLocked, "after its movement")
		if b.chip.Level("GPIO20") {
			t.Error("the motor still has power after its movement")
		}

		// Changed its mind half-way: the first pulse ends, the second is whole.
		_ = l.Set(false)
		time.Sleep(300 * time.Millisecond)
		_ = l.Set(true)
		time.Sleep(400 * time.Millisecond)
		if !b.chip.Level("GPIO20") || b.chip.Level("GPIO21") {
			t.Error("the end of the first pulse cut the second, or did not come")
		}
		time.Sleep(200 * time.Millisecond)
		wantLock(t, l, hal.LockLocked, "after the second thought")
		if both > 0 {
			t.Errorf("both directions had power at once, %d times", both)
		}

		// A repeated command on the way changes nothing, and one afterwards pulses again.
		_ = l.Set(false)
		time.Sleep(300 * time.Millisecond)
		_ = l.Set(false)
		time.Sleep(250 * time.Millisecond)
		if b.chip.Level("GPIO21") {
			t.Error("a repeated command made the pulse longer")
		}
		_ = l.Set(false)
		if !b.chip.Level("GPIO21") {
			t.Error("a repeated command does not move a bolt that was stuck")
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
		if b.chip.Level("GPIO21") || b.chip.InUse() > 0 {
			t.Error("Close left the motor with power, or kept its pins")
		}
		if err := l.Set(true); !errors.Is(err, hal.ErrClosed) {
			t.Errorf("set after Close: got %v", err)
		}
		if got, _, err := l.State(); got != hal.LockUnknown || err == nil {
			t.Errorf("state after Close: got %v, %v", got, err)
		}
	})
}

func TestASolenoidHoldsTheBoltWhileItHasPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, l := locked(t, func(l *rpi.Lock) { *l = rpi.Lock{Kind: rpi.LockSolenoid, Pin: "GPIO20", Move: 100 * time.Millisecond} })
		_ = l.Set(true)
		time.Sleep(time.Hour)
		wantLock(t, l, hal.LockLocked, "held")
		_ = l.Set(false)
		time.Sleep(100 * time.Millisecond)
		wantLock(t, l, hal.LockOpen, "released")
		if got, want := b.chip.History("GPIO20"), []bool{false, false, true, false}; !slices.Equal(got, want) {
			t.Errorf("the pin has driven %v; want %v", got, want)
		}
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheContactOfALockCountsNotItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, l := locked(t, func(l *rpi.Lock) { l.Feedback = "GPIO19" })
		defer func() { _ = board.Close() }()
		settle := func() { // the contact is debounced while it is read
			for range 4 {
				time.Sleep(10 * time.Millisecond)
				_, _, _ = l.State()
			}
		}
		b.jam.Store(true)
		_ = l.Set(true)
		time.Sleep(time.Second)
		settle()
		wantLock(t, l, hal.LockOpen, "commanded, but stuck")
		b.chip.Drive("GPIO19", false)
		settle()
		wantLock(t, l, hal.LockLocked, "contact closed")
		b.chip.FailReads(errors.New("input/output error"))
		time.Sleep(10 * time.Millisecond)
		if got, _, err := l.State(); got != hal.LockUnknown || !errors.Is(err, hal.ErrUnreadable) {
			t.Errorf("unreadable contact: got %v, %v", got, err)
		}
		b.chip.FailReads(nil)
	})
}

func TestALockThatCannotBeWrittenIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, board, l := locked(t, nil)
		broken := errors.New("input/output error")
		_ = l.Set(true)
		b.chip.FailWrites("GPIO20", broken)
		time.Sleep(time.Second) // the end of the pulse fails: the motor goes on
		if got, _, err := l.State(); got != hal.LockUnknown || !errors.Is(err, broken) {
			t.Errorf("after a failed write: got %v, %v", got, err)
		}
		b.chip.FailWrites("GPIO20", nil)
		if err := l.Set(true); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		wantLock(t, l, hal.LockLocked, "after a good write")
		if err := board.Close(); err != nil {
			t.Error(err)
		}
	})
}
