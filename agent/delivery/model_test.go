package delivery_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// rec is a journal record in the model; after is the record before it.
type rec struct{ at, after wire.Position }

// central is a simple correct Central: it applies a record when the one
// before it is known, and answers with what it knows of the record's journal.
type central struct {
	life  int
	known map[charge.JournalID]charge.Seq
}

func (c *central) receive(r rec) wire.Ack {
	switch {
	case c.has(r.at):
	case r.after == wire.Position{} || c.has(r.after):
		c.known[r.at.Journal] = r.at.Seq
	}
	a := wire.Ack{V: 1, Central: epoch(c.life)}
	if seq, ok := c.known[r.at.Journal]; ok {
		a.Journal, a.Seq = new(r.at.Journal), seq
	}
	return a
}

func (c *central) has(p wire.Position) bool { return c.known[p.Journal] >= p.Seq && p.Seq > 0 }

func (c *central) copy() map[charge.JournalID]charge.Seq {
	return maps.Clone(c.known)
}

// network is an agent, a transport that may do anything to messages, and Central.
type network struct {
	t       *rapid.T
	now     time.Duration
	disk    []rec
	synced  delivery.Position
	boot    int
	s       delivery.State
	up      []rec
	down    []wire.Ack
	central central
	backup  map[charge.JournalID]charge.Seq
}

func (n *network) held() delivery.Held {
	h := delivery.Held{Present: n.journal()}
	for i, r := range n.disk {
		if last := len(h.Ranges) - 1; last >= 0 && h.Ranges[last].Journal == r.at.Journal {
			h.Ranges[last].Last = r.at.Seq
			continue
		}
		h.Ranges = append(h.Ranges, delivery.Range{Journal: r.at.Journal, First: r.at.Seq, Last: r.at.Seq, Index: delivery.Index(i + 1)})
	}
	return h
}

func (n *network) journal() charge.JournalID { return charge.JournalID(fmt.Sprintf("J%03d", n.boot)) }

func (n *network) append() {
	var before wire.Position
	if len(n.disk) > 0 {
		before = n.disk[len(n.disk)-1].at
	}
	r := rec{at: wire.Position{Journal: n.journal(), Seq: 1}, after: before}
	if before.Journal == n.journal() {
		r.at.Seq = before.Seq + 1
	}
	n.disk = append(n.disk, r)
}

func (n *network) restart() {
	n.boot++
	n.append()
	n.s = delivery.State{}
	n.step(delivery.Booted{Held: n.held(), Position: n.synced})
}

func (n *network) at() delivery.Now { return delivery.Now{At: n.now, Rand: uint64(n.now) * 2654435761} }

func (n *network) step(e delivery.Event) {
	var effects []delivery.Effect
	n.s, effects = delivery.Step(n.s, e)
	for _, f := range effects {
		switch f := f.(type) {
		case delivery.Send:
			if !n.s.Up {
				n.t.Fatal("sends without a connection")
			}
			n.up = append(n.up, n.disk[f.First-1:f.Last]...)
		case delivery.SavePosition:
			n.synced = f.Position
		case delivery.Reconnect:
			n.step(delivery.Disconnected{})
			n.step(delivery.Connected{Now: n.at()})
		case delivery.RolledBack, delivery.SetTimer:
		}
	}
	n.check()
}

// check states what must hold after every step.
func (n *network) check() {
	s := n.s
	if s.InFlight() > delivery.MaxWindow || s.InFlight() < 0 || s.Next > s.End+1 {
		n.t.Fatalf("acked %d next %d end %d breaks the window", s.Acked, s.Next, s.End)
	}
	if int(s.End) != len(n.disk) {
		n.t.Fatalf("end is %d, the disk holds %d", s.End, len(n.disk))
	}
	// What Central acknowledged in an epoch that is still valid is in its database.
	if s.Acked > 0 && s.Position.Central == epoch(n.central.life) {
		for _, r := range n.disk[:s.Acked] {
			if !n.central.has(r.at) {
				n.t.Fatalf("%v counts as acknowledged and Central does not hold it", r.at)
			}
		}
	}
	if s.Up && s.InFlight() > 0 && s.Deadline == 0 {
		n.t.Fatal("something is under way and nothing would probe")
	}
}

// deliver lets one message arrive: at either end, from any place.
func (n *network) deliver(i int, upwards bool) {
	if upwards && len(n.up) > 0 {
		i %= len(n.up)
		r := n.up[i]
		n.up = slices.Delete(n.up, i, i+1)
		n.down = append(n.down, n.central.receive(r))
	}
	if !upwards && len(n.down) > 0 {
		i %= len(n.down)
		a := n.down[i]
		n.down = slices.Delete(n.down, i, i+1)
		if n.s.Up {
			n.step(delivery.AckReceived{Now: n.at(), Ack: a, Held: n.held()})
		}
	}
}

// fault causes one fault of the transport or of one of its ends.
func (n *network) fault() {
	switch what := rapid.IntRange(0, 15).Draw(n.t, "what"); what {
	case 0, 1, 2:
		for range rapid.IntRange(1, 40).Draw(n.t, "records") {
			n.append()
		}
		n.step(delivery.Appended{Now: n.at(), End: n.held().Last()})
	case 3:
		n.step(delivery.Disconnected{})
	case 4:
		n.step(delivery.Connected{Now: n.at()})
	case 5:
		n.restart()
	case 6: // a life of Central ends
		n.central.life++
	case 7:
		n.backup = n.central.copy()
	case 8: // Central is put back to its backup
		n.central.known = map[charge.JournalID]charge.Seq{}
		maps.Copy(n.central.known, n.backup)
		n.central.life++
	case 9: // lost
		n.up = n.up[:len(n.up)/2]
		n.down = nil
	case 10: // doubled
		n.up = append(n.up, n.up...)
		n.up = n.up[:min(len(n.up), 300)]
	case 11:
		n.synced = delivery.Position{}
	case 12:
		n.now += time.Duration(rapid.IntRange(0, 90).Draw(n.t, "seconds")) * time.Second
		n.step(delivery.TimerFired{Now: n.at()})
	default:
		for range 20 {
			n.deliver(rapid.IntRange(0, 100).Draw(n.t, "which"), rapid.Bool().Draw(n.t, "upwards"))
		}
	}
}

// heal lets everything work, in order, and expects the end in bounded time.
func (n *network) heal() {
	n.step(delivery.Disconnected{})
	n.step(delivery.Connected{Now: n.at()})
	for range 3000 {
		for len(n.up) > 0 || len(n.down) > 0 {
			n.deliver(0, true)
			n.deliver(0, false)
		}
		if n.s.Unacked() == 0 && n.s.Position.Central == epoch(n.central.life) {
			return
		}
		if n.s.Deadline == 0 { // nothing is under way: the presence makes Central speak
			a := n.central.receive(n.disk[len(n.disk)-1])
			n.down = append(n.down, a)
			continue
		}
		n.now = n.s.Deadline
		n.step(delivery.TimerFired{Now: n.at()})
	}
	n.t.Fatalf("not delivered: acked %d of %d", n.s.Acked, n.s.End)
}

// TestEverythingIsDelivered drives an agent and a Central through faults, and
// expects all records in Central's database once the faults end.
func TestEverythingIsDelivered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := &network{t: t, central: central{life: 1, known: map[charge.JournalID]charge.Seq{}}}
		n.restart()
		n.step(delivery.Connected{Now: n.at()})
		for range rapid.IntRange(0, 40).Draw(t, "faults") {
			n.fault()
		}
		n.heal()
		for _, r := range n.disk {
			if !n.central.has(r.at) {
				t.Fatalf("%v is lost", r.at)
			}
		}
	})
}
