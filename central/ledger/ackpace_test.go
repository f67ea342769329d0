package ledger_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
)

// TestAckPace: whenever acknowledgements are wanted, a second never holds more than
// AcksPerSecond, and none waits for longer than a second.
func TestAckPace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p ledger.AckPace
		var sent []time.Duration
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))
		pauses := []time.Duration{0, 0, 0, time.Nanosecond, time.Millisecond, 30 * time.Millisecond, 99 * time.Millisecond, 200 * time.Millisecond, 999 * time.Millisecond, 1100 * time.Millisecond}
		for range rapid.IntRange(1, 200).Draw(t, "acks") {
			now += rapid.SampledFrom(pauses).Draw(t, "pause")
			at := p.Free(now)
			if at < now || at > now+time.Second {
				t.Fatalf("wanted at %v, free at %v", now, at)
			}
			if at > now && p.Free(at) != at {
				t.Fatalf("free at %v, and then only at %v", at, p.Free(at))
			}
			now = at
			p.Sent(now)
			sent = append(sent, now)
			if n := len(sent) - 1 - ledger.AcksPerSecond; n >= 0 && now-sent[n] < time.Second {
				t.Fatalf("%d acknowledgements within %v", ledger.AcksPerSecond+1, now-sent[n])
			}
		}
		if p.Idle(now+time.Second-1) || !p.Idle(now+time.Second) {
			t.Fatal("idle is a second without an acknowledgement")
		}
	})
}

// TestAckPaceOfABurst: what a vehicle causes within a moment is acknowledged at once.
func TestAckPaceOfABurst(t *testing.T) {
	t.Parallel()
	var p ledger.AckPace
	for i := range ledger.AcksPerSecond {
		now := time.Duration(i) * time.Millisecond
		if at := p.Free(now); at != now {
			t.Fatalf("acknowledgement %d of a burst leaves at %v, want at once", i+1, at)
		}
		p.Sent(now)
	}
	if at := p.Free(50 * time.Millisecond); at != time.Second {
		t.Errorf("the next one leaves at %v, want a second after the first", at)
	}
}

// TestAckPaceOfABacklog: each acknowledgement lets an agent send the next part of its
// journal. They are spread, so that the agent waits for a second once at most.
func TestAckPaceOfABacklog(t *testing.T) {
	t.Parallel()
	var p ledger.AckPace
	now, waits, acks := time.Duration(0), 0, 0
	for now < 10*time.Second {
		at := p.Free(now)
		if at-now > 150*time.Millisecond {
			waits++
		}
		now = at
		p.Sent(now)
		acks++
		now += 5 * time.Millisecond
	}
	if waits > 1 || acks < 95 {
		t.Errorf("%d acknowledgements in 10 s, %d after a long wait; want ten each second, and one wait", acks, waits)
	}
}
