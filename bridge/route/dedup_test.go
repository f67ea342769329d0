package route_test

import (
	"slices"
	"testing"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
)

func TestRepeatedEventIsInFlightOnce(t *testing.T) {
	t.Parallel()
	var o route.Dedup
	var called []string
	take := func(seq charge.Seq, value, name string) *route.InFlight {
		d := route.Decision{Kind: route.Event, EventKey: route.EventKey{CP: "CP_1", Journal: "j", Seq: seq}, Record: route.Record{Value: []byte(value)}}
		event, earlier := o.Add(&d, func() { called = append(called, name) })
		if (event == nil) == (earlier == nil) {
			t.Fatalf("%s: it waits already or it does not: got %v and %t", name, event, earlier != nil)
		}
		if earlier != nil {
			earlier()
		}
		return event
	}
	saw := func(want ...string) {
		t.Helper()
		if !slices.Equal(called, want) {
			t.Fatalf("done: %v, want %v", called, want)
		}
	}
	first := take(1, "a", "first")
	second := take(2, "b", "second")
	if take(1, "a", "again") != nil || take(1, "a", "once more") != nil {
		t.Fatal("an event is in flight twice")
	}
	saw("first", "again")
	other := take(1, "x", "other bytes")
	o.Remove(other)()
	saw("first", "again", "other bytes")
	if take(1, "a", "last") != nil {
		t.Fatal("an event with other bytes removed the one in flight")
	}
	o.Remove(first)()
	o.Remove(second)()
	saw("first", "again", "other bytes", "once more", "last", "second")
	if take(1, "a", "afresh") == nil {
		t.Fatal("what Kafka has is not carried again")
	}
}

// What waited and is gone leaves nothing behind, however much came.
func TestDedupForgetsWrittenEvents(t *testing.T) {
	t.Parallel()
	var o route.Dedup
	for seq := range charge.Seq(100_000) {
		d := route.Decision{Kind: route.Event, EventKey: route.EventKey{CP: "CP_1", Journal: "j", Seq: seq}, Record: route.Record{Value: []byte("a")}}
		event, _ := o.Add(&d, func() {})
		o.Remove(event)()
	}
	for path, n := range growth.Elements(o) {
		if n != 0 {
			t.Errorf("%s holds %d elements", path, n)
		}
	}
}
