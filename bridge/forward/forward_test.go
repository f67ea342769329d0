package forward_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

var began = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// bridge drives a state as the shells do, and checks each effect against what
// MQTT and Kafka know.
type bridge struct {
	fatalf func(format string, args ...any)
	*forward.State
	limits forward.Limits

	conn     uint64
	received []*copied          // on conn, with QoS 1, in order
	acked    int                // of received
	writing  []*forward.Message // under way to Kafka
	stored   map[string]bool    // what Kafka has, by text
	reading  forward.Reading
	blocked  *forward.Message // waits for Resume
	values   int              // of which the latest is enough, that became dead letters: beyond the limits
}

// copied is one delivery of a message.
type copied struct{ text string }

func newBridge(fatalf func(string, ...any), limits forward.Limits) *bridge {
	return &bridge{fatalf: fatalf, State: forward.New(limits, route.Router{Kafka: route.DefaultTopics()}), limits: limits, conn: 1, stored: map[string]bool{}}
}

func message(conn uint64, kind route.Kind, cp string, seq int) *forward.Message {
	text := fmt.Sprint(kind, " ", cp, " ", seq)
	d := route.Decision{Kind: kind, CP: charge.CPID(cp), Record: route.Record{Topic: "t", Key: cp, Value: []byte(text)}}
	if kind == route.Event {
		d.EventKey = route.EventKey{CP: charge.CPID(cp), Journal: "j", Seq: charge.Seq(seq)}
	}
	return &forward.Message{Decision: d, Conn: conn, QoS: 1, Size: 100, ReceivedAt: began.Add(time.Duration(seq) * time.Second)}
}

func textOf(m *forward.Message) string { return string(m.Decision.Record.Value) }

// deliver passes a message as a reader does: not while it is blocked.
func (b *bridge) deliver(m *forward.Message) {
	e := b.Step(forward.Received{Message: m})
	if e.Reading == forward.Pause {
		b.blocked, b.reading = m, forward.Pause
		return
	}
	if m.Conn == b.conn && b.reading != forward.Disconnect {
		b.received = append(b.received, &copied{textOf(m)})
	}
	b.perform(e)
}

func (b *bridge) perform(e forward.Effects) {
	if e.Write != nil {
		b.writing = append(b.writing, e.Write)
	}
	if e.Acknowledge > 0 && e.Conn == b.conn {
		for _, c := range b.received[b.acked : b.acked+e.Acknowledge] {
			held := slices.ContainsFunc(b.writing, func(m *forward.Message) bool { return textOf(m) == c.text })
			if !b.stored[c.text] && !held {
				b.fatalf("%q is acknowledged, and neither Kafka nor the bridge has it", c.text)
			}
		}
		b.acked += e.Acknowledge
	}
	switch e.Reading {
	case forward.Resume:
		b.reading = forward.Unchanged
		if m := b.blocked; m != nil {
			b.blocked = nil
			b.deliver(m)
		}
	case forward.Disconnect, forward.Connect:
		b.reading = e.Reading
		b.reconnect()
	case forward.Unchanged, forward.Pause:
	}
}

func (b *bridge) reconnect() {
	if b.reading == forward.Disconnect {
		return
	}
	b.Step(forward.Lost{Conn: b.conn})
	b.conn++
	b.received, b.acked, b.blocked, b.reading = nil, 0, nil, forward.Unchanged
}

// write ends the i-th message under way.
func (b *bridge) write(i int) {
	m := b.writing[i]
	b.writing = slices.Delete(b.writing, i, i+1)
	b.stored[textOf(m)] = true
	b.perform(b.Step(forward.Written{Message: m}))
}

func (b *bridge) check() {
	c := b.Counts()
	if c.Accepted != c.Forwarded+c.DeadLetters+c.Buffered || c.Buffered < 0 {
		b.fatalf("the counts do not add up: %+v", c)
	}
	if c.Messages > b.limits.Messages+b.values || c.Oldest.IsZero() != (c.Buffered == 0) {
		b.fatalf("held: %+v, limits %+v", c, b.limits)
	}
}

// TestNothingIsLost: whatever comes, in whatever order Kafka takes it, is refused
// or repeated, and however often connections end: an acknowledged message is in
// Kafka or still in flight, acknowledgements are in the order of receipt, and in
// the end all are acknowledged and nothing is held.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBridge(t.Fatalf, forward.Limits{Messages: rapid.IntRange(1, 8).Draw(t, "limit"), Bytes: 1 << 20})
		kinds := []route.Kind{route.Event, route.Event, route.Event, route.Presence, route.DeadLetter}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2, 3:
				if b.reading == forward.Unchanged {
					b.deliver(message(b.conn, rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.SampledFrom([]string{"A", "B"}).Draw(t, "cp"), rapid.IntRange(1, 12).Draw(t, "seq")))
				}
			case 4, 5, 6:
				if len(b.writing) > 0 {
					b.write(rapid.IntRange(0, len(b.writing)-1).Draw(t, "written"))
				}
			case 7:
				if len(b.writing) > 0 {
					i := rapid.IntRange(0, len(b.writing)-1).Draw(t, "refused")
					m := b.writing[i]
					b.writing = slices.Delete(b.writing, i, i+1)
					b.stored[textOf(m)] = true // its dead letter will be
					if m.Decision.Kind == route.Presence {
						b.values++
					}
					b.perform(b.Step(forward.Refused{Message: m, Why: tooLarge}))
				}
			case 8:
				b.reconnect()
			case 9:
				if b.reading == forward.Pause {
					b.perform(b.Step(forward.PauseExpired{Conn: b.conn}))
				}
			}
			b.check()
		}
		for len(b.writing) > 0 {
			b.write(0)
			b.check()
		}
		if c := b.Counts(); c.Buffered != 0 || c.Messages != 0 || c.Bytes != 0 {
			t.Fatalf("at the end: %+v", c)
		}
		if b.acked != len(b.received) || b.reading != forward.Unchanged {
			t.Fatalf("%d of %d acknowledged at the end, reading %d", b.acked, len(b.received), b.reading)
		}
	})
}

// TestAcknowledgementsKeepTheOrder of receipt, in whatever order Kafka takes the
// messages.
func TestAcknowledgementsKeepTheOrder(t *testing.T) {
	t.Parallel()
	s := forward.New(forward.Limits{Messages: 10, Bytes: 1 << 20}, route.Router{})
	all := make([]*forward.Message, 6)
	for i := range all {
		all[i] = message(1, route.Event, "A", i+1)
		s.Step(forward.Received{Message: all[i]})
	}
	for _, step := range []struct{ written, acknowledged int }{{2, 0}, {1, 0}, {5, 0}, {0, 3}, {4, 0}, {3, 3}} {
		if e := s.Step(forward.Written{Message: all[step.written]}); e.Acknowledge != step.acknowledged {
			t.Errorf("message %d is written: %d acknowledged, want %d", step.written, e.Acknowledge, step.acknowledged)
		}
	}
}

// TestBackpressure is the life of a flood: pause at the high-water mark, resume at
// half of it; disconnect when the pause lasts too long, and connect at half again.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	for _, expires := range []bool{false, true} {
		s := forward.New(forward.Limits{Messages: 4, Bytes: 1 << 20}, route.Router{})
		var held []*forward.Message
		for i := range 4 {
			m := message(1, route.Event, "A", i+1)
			if e := s.Step(forward.Received{Message: m}); e.Write != m || e.Reading != forward.Unchanged {
				t.Fatalf("message %d: %+v", i, e)
			}
			held = append(held, m)
		}
		fifth := message(1, route.Event, "A", 5)
		if e := s.Step(forward.Received{Message: fifth}); e.Write != nil || e.Reading != forward.Pause || e.Conn != 1 {
			t.Fatalf("above the high-water mark: %+v, want a pause", e)
		}
		if m := message(1, route.Presence, "A", 1); s.Step(forward.Received{Message: m}).Write != m {
			t.Error("presence is not accepted, although the latest is enough")
		}
		want := forward.Resume
		if expires {
			if e := s.Step(forward.PauseExpired{Conn: 1}); e.Reading != forward.Disconnect {
				t.Fatalf("the pause lasts too long: %+v, want to disconnect", e)
			}
			if e := s.Step(forward.Received{Message: fifth}); e != (forward.Effects{}) {
				t.Errorf("a message of the connection that is ended: %+v, want nothing", e)
			}
			want = forward.Connect
		}
		if e := s.Step(forward.Written{Message: held[0]}); e.Reading != forward.Unchanged {
			t.Errorf("above the low-water mark: %+v", e)
		}
		if e := s.Step(forward.Written{Message: held[1]}); e.Reading != want {
			t.Errorf("at the low-water mark: %+v, want %d", e, want)
		}
		if c := s.Counts(); c.Accepted != 4 || c.Messages != 2 {
			t.Errorf("counts: %+v", c)
		}
	}
}

// TestALostConnectionEndsItsPause, and what it delivered is not acknowledged on
// the next one.
func TestALostConnectionEndsItsPause(t *testing.T) {
	t.Parallel()
	s := forward.New(forward.Limits{Messages: 1, Bytes: 1 << 20}, route.Router{})
	first := message(1, route.Event, "A", 1)
	s.Step(forward.Received{Message: first})
	if e := s.Step(forward.Received{Message: message(1, route.Event, "A", 2)}); e.Reading != forward.Pause {
		t.Fatalf("got %+v, want a pause", e)
	}
	s.Step(forward.Lost{Conn: 1})
	if e := s.Step(forward.PauseExpired{Conn: 1}); e != (forward.Effects{}) {
		t.Errorf("the pause of a lost connection expires: %+v", e)
	}
	again := message(2, route.Event, "A", 1)
	if e := s.Step(forward.Received{Message: again}); e.Reading != forward.Pause {
		t.Fatalf("redelivered while full: %+v, want a pause", e)
	}
	if e := s.Step(forward.Written{Message: first}); e.Acknowledge != 0 || e.Reading != forward.Resume {
		t.Errorf("written after the loss: %+v, want to resume and to acknowledge nothing", e)
	}
	if e := s.Step(forward.Received{Message: again}); e.Write != again {
		t.Errorf("redelivered: %+v, want it written again", e)
	}
}

// TestARepeatedEventIsHeldOnce: its copy is acknowledged behind it, so that the broker
// redelivers it before later ones; with other bytes both are forwarded.
func TestARepeatedEventIsHeldOnce(t *testing.T) {
	t.Parallel()
	s := forward.New(forward.Limits{Messages: 9, Bytes: 1 << 20}, route.Router{})
	first, again, other := message(1, route.Event, "A", 1), message(1, route.Event, "A", 1), message(1, route.Event, "A", 1)
	other.Decision.Record.Value = []byte("other")
	s.Step(forward.Received{Message: first})
	if e := s.Step(forward.Received{Message: again}); e.Write != nil || e.Acknowledge != 0 {
		t.Errorf("the copy: %+v, want nothing acknowledged and nothing written", e)
	}
	if e := s.Step(forward.Received{Message: other}); e.Write != other {
		t.Errorf("other bytes: %+v, want them written", e)
	}
	if e := s.Step(forward.Written{Message: first}); e.Acknowledge != 2 {
		t.Errorf("the event is written: %+v, want both copies acknowledged", e)
	}
	if c := s.Counts(); c.Accepted != 2 || c.Repeats != 1 || c.Forwarded != 1 || c.Buffered != 1 {
		t.Errorf("counts: %+v", c)
	}
}

// Why Kafka refuses a message, and why it is a dead letter then.
var (
	tooLarge = reason.Reason{Code: reason.RecordTooLarge}
	refused  = reason.Reason{Code: reason.KafkaRefuses, Cause: reason.RecordTooLarge}
)

// TestRefusedByKafka: the message becomes a dead letter, and is acknowledged when
// Kafka has that, or refuses even that.
func TestRefusedByKafka(t *testing.T) {
	t.Parallel()
	for _, kind := range []route.Kind{route.Event, route.Presence} {
		for _, even := range []bool{false, true} {
			s := forward.New(forward.Limits{Messages: 9, Bytes: 1 << 20}, route.Router{Kafka: route.DefaultTopics()})
			m := message(1, kind, "A", 1)
			s.Step(forward.Received{Message: m})
			e := s.Step(forward.Refused{Message: m, Why: tooLarge})
			if e.Write != m || m.Decision.Kind != route.DeadLetter || m.Decision.Why != refused || e.Acknowledge != 0 {
				t.Fatalf("refused: %+v of %+v", e, m.Decision)
			}
			if even {
				e = s.Step(forward.Refused{Message: m, Why: tooLarge})
			} else {
				e = s.Step(forward.Written{Message: m})
			}
			if c := s.Counts(); e.Acknowledge != 1 || c.DeadLetters != 1 || c.Buffered != 0 || c.Accepted != 1 || c.LastDeadLetter != refused {
				t.Errorf("its dead letter ends: %+v, counts %+v", e, c)
			}
		}
	}
}

// TestWithdrawn: what is not written when the bridge stops is neither counted nor
// acknowledged.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	s := forward.New(forward.Limits{Messages: 9, Bytes: 1 << 20}, route.Router{})
	m := message(1, route.Event, "A", 1)
	s.Step(forward.Received{Message: m})
	if e := s.Step(forward.Withdrawn{Message: m}); e != (forward.Effects{}) {
		t.Errorf("got %+v, want nothing", e)
	}
	if c := s.Counts(); c.Accepted != 0 || c.Buffered != 0 || c.Messages != 0 || !c.Oldest.IsZero() {
		t.Errorf("counts: %+v", c)
	}
}
