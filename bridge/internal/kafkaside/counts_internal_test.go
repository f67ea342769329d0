package kafkaside

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCountsBalance counts any number of messages and their ends, some of them
// reported twice.
func TestCountsBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newCounters()
		var open []func(ending)
		var times []time.Time
		ended := map[ending]int64{}
		at := time.Unix(1000, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(open) == 0 || rapid.Bool().Draw(t, "accept") {
				at = at.Add(time.Second)
				open, times = append(open, l.accept(at)), append(times, at)
			} else {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				how := rapid.SampledFrom([]ending{forwarded, deadLetter, notAccepted}).Draw(t, "how")
				for range rapid.IntRange(1, 2).Draw(t, "times") {
					open[i](how)
				}
				ended[how]++
				open, times = append(open[:i:i], open[i+1:]...), append(times[:i:i], times[i+1:]...)
			}
			b := l.snapshot()
			if b.Accepted != b.Forwarded+b.DeadLetters+b.Buffered {
				t.Fatalf("the counts do not balance: %+v", b)
			}
			if b.Buffered != int64(len(open)) || b.Forwarded != ended[forwarded] || b.DeadLetters != ended[deadLetter] {
				t.Fatalf("the counts are %+v, want %d buffered, ends %v", b, len(open), ended)
			}
			if len(times) > 0 && !b.Oldest.Equal(times[0]) || len(times) == 0 && !b.Oldest.IsZero() {
				t.Fatalf("the oldest is of %s, want the first of %v", b.Oldest, times)
			}
		}
	})
}
