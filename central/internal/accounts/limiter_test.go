package accounts_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/carga-ev/carga/central/internal/accounts"
	"github.com/carga-ev/carga/internal/charge"
)

func at(t time.Time) charge.Time { return charge.At(t) }

// TestLimiterBacksOff: each failure beyond the burst doubles the wait, up to the
// longest; a success ends it, and a clock that was ahead does not lock out.
func TestLimiterBacksOff(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := accounts.NewLimiter(time.Second, 2, 10*time.Second, 100)
	var waits []time.Duration
	for range 9 {
		for l.Try("k", now) > 0 {
			now = now.Add(100 * time.Millisecond)
		}
		l.Failed("k", now)
		waits = append(waits, l.Try("k", now.Add(time.Millisecond)).Round(time.Second))
	}
	if got := fmt.Sprint(waits); got != "[0s 1s 2s 4s 8s 10s 10s 10s 10s]" {
		t.Errorf("waits %s", got)
	}
	if l.Try("other", now) != 0 {
		t.Error("another key waits")
	}
	back := now.Add(-time.Hour)
	if l.Try("k", back.Add(time.Minute)) > 10*time.Second {
		t.Error("the clock was set back, and the key is locked out")
	}
	l.Succeeded("k")
	if wait := l.Try("k", now.Add(11*time.Second)); wait != 0 {
		t.Errorf("after a success: %s", wait)
	}
}

// TestLimiterIsBounded: it forgets the key that was used least recently.
func TestLimiterIsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := accounts.NewLimiter(time.Hour, 1, time.Hour, 10)
	l.Try("first", now)
	for i := range 10_000 {
		if l.Try(fmt.Sprint(i), now) != 0 {
			t.Fatal("a new key waits")
		}
		if i%5 == 0 && l.Try("first", now) == 0 {
			t.Fatalf("a key in use was forgotten after %d others", i)
		}
	}
	if l.Try("0", now) != 0 {
		t.Error("an old key was kept")
	}
}
