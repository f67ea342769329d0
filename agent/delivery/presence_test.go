package delivery_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

func pos(journal charge.JournalID, seq charge.Seq) *wire.Position {
	return &wire.Position{Journal: journal, Seq: seq}
}

func TestPresenceDue(t *testing.T) {
	published := wire.Presence{V: 1, Online: true, Journal: "C", Conn: 1, First: pos("A", 5), Next: pos("B", 1), Last: pos("C", 2), Central: epoch(1), At: 1}
	const then = time.Minute
	for _, tc := range []struct {
		name   string
		change func(*wire.Presence)
		due    time.Duration
	}{
		{"nothing changed", func(*wire.Presence) {}, then + delivery.PresenceEvery},
		{"a record more", func(p *wire.Presence) { p.Last = pos("C", 3); p.At = 9 }, then + delivery.PresenceEvery},
		{"acknowledged", func(p *wire.Presence) { p.Next = pos("C", 1) }, then + 10*time.Second},
		{"retention", func(p *wire.Presence) { p.First = pos("A", 6) }, 0},
		{"nothing held", func(p *wire.Presence) { p.First = nil }, 0},
		{"ordered by another Central", func(p *wire.Presence) { p.Ordered = epoch(2) }, 0},
		{"another Central", func(p *wire.Presence) { p.Central = epoch(2) }, 0},
		{"another connection", func(p *wire.Presence) { p.Conn = 2 }, 0},
		{"another boot", func(p *wire.Presence) { p.Journal = "D" }, 0},
		{"gone", func(p *wire.Presence) { p.Online = false }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := published
			tc.change(&p)
			if got := (delivery.PresenceSchedule{}).Published(published, then).Due(p); got != tc.due {
				t.Errorf("due at %s, want %s", got, tc.due)
			}
		})
	}
	if got := (delivery.PresenceSchedule{}).Due(published); got != 0 {
		t.Errorf("on a new connection it is due at %s, want at once", got)
	}
}

func TestDescribe(t *testing.T) {
	s, _ := delivery.Step(delivery.State{}, delivery.Booted{Held: disk(), Position: delivery.Position{Central: epoch(1), Journal: "A", Seq: 8}})
	p := s.Describe(disk(), charge.Epoch{}, wire.Presence{})
	if *p.First != *pos("A", 5) || *p.Next != *pos("A", 11) || *p.Last != *pos("C", 2) || p.Central != epoch(1) {
		t.Errorf("got first %v next %v last %v central %s", p.First, p.Next, p.Last, p.Central)
	}
	s, _ = delivery.Step(s, delivery.AckReceived{Ack: ack(epoch(1), "C", 2), Held: disk()})
	if p := s.Describe(disk(), charge.Epoch{}, wire.Presence{}); *p.Next != *pos("C", 3) {
		t.Errorf("all is acknowledged and next is %v, want one beyond the last", p.Next)
	}
	for _, tc := range []struct{ ordered, want charge.Epoch }{{epoch(2), epoch(2)}, {epoch(1), charge.Epoch{}}, {charge.Epoch{}, charge.Epoch{}}} {
		if p := s.Describe(disk(), tc.ordered, wire.Presence{}); p.Central != epoch(1) || p.Ordered != tc.want {
			t.Errorf("ordered by %s: got central %s, ordered by %s, want the latter %s", tc.ordered, p.Central, p.Ordered, tc.want)
		}
	}
}
