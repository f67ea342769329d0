package mqttside

import (
	"testing"

	"pgregory.net/rapid"
)

// TestInFlight compares the marks with a plain list of the messages in flight.
func TestInFlight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newInFlight(10, 100)
		var held []int
		sum := func() (n int) {
			for _, b := range held {
				n += b
			}
			return n
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			_, drained := w.belowLowMark()
			wasLow := len(held) <= 5 && sum() <= 50
			if rapid.Bool().Draw(t, "take") || len(held) == 0 {
				b := rapid.IntRange(1, 120).Draw(t, "bytes")
				fits := len(held) < 10 && (len(held) == 0 || sum()+b <= 100)
				if got := w.add(b); got != fits {
					t.Fatalf("%v held: take(%d) is %t, want %t", held, b, got, fits)
				}
				if fits {
					held = append(held, b)
				}
			} else {
				w.remove(held[0])
				held = held[1:]
			}
			isLow := len(held) <= 5 && sum() <= 50
			if low, _ := w.belowLowMark(); low != isLow {
				t.Fatalf("%v held: low is %t, want %t", held, low, isLow)
			}
			select {
			case <-drained:
				if wasLow || !isLow {
					t.Fatalf("%v held: drained was closed", held)
				}
			default:
				if !wasLow && isLow {
					t.Fatalf("%v held: drained was not closed", held)
				}
			}
			if n, b := w.level(); n != len(held) || b != sum() {
				t.Fatalf("level is %d messages, %d bytes; want %d, %d", n, b, len(held), sum())
			}
		}
	})
}
