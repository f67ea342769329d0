package mqttlink

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestWindow: whatever is acknowledged when, packet ids become due in the order of
// receipt, an owned one after it was acknowledged, any other one with those before
// it.
func TestWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := window{wake: make(chan struct{}, 1)}
		var received []inbound
		var due []uint16
		owned, acknowledged := 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "received") {
				m := inbound{rapid.Uint16Range(1, 65535).Draw(t, "id"), rapid.Bool().Draw(t, "owned")}
				received = append(received, m)
				w.add(m.id, m.owned)
				if m.owned {
					owned++
				}
			} else {
				n := rapid.IntRange(0, owned-acknowledged).Draw(t, "n")
				w.acknowledge(n)
				acknowledged += n
			}
			if rapid.Bool().Draw(t, "sent") {
				due = append(due, w.drainDue(nil)...)
			}
		}
		due = append(due, w.drainDue(nil)...)
		var want []uint16
		left := acknowledged
		for _, m := range received {
			if m.owned && left == 0 {
				break
			}
			if m.owned {
				left--
			}
			want = append(want, m.id)
		}
		if !slices.Equal(due, want) {
			t.Fatalf("due %v, want %v of %v", due, want, received)
		}
	})
}

// TestDueTogether: what is acknowledged together is sent together, by one write.
func TestDueTogether(t *testing.T) {
	w := window{wake: make(chan struct{}, 1)}
	for id := range uint16(100) {
		w.add(id+1, true)
	}
	w.acknowledge(100)
	if got := w.drainDue(nil); len(got) != 100 || !slices.IsSorted(got) {
		t.Fatalf("due: %v, want 1 to 100", got)
	}
}
