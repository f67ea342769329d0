package delivery

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Times of the presence.
const (
	// PresenceEvery is how long a presence may stand unrepeated.
	PresenceEvery = 5 * time.Minute
	// presenceGap is the least time between two that differ only in what is
	// acknowledged: that moves with every acknowledgement of a busy point.
	presenceGap = 10 * time.Second
)

// PresenceSchedule remembers what presence was said last, and when. The zero value
// has said nothing on this connection.
type PresenceSchedule struct {
	published bool
	last      wire.Presence
	at        time.Duration
}

// Published remembers that p was said.
func (PresenceSchedule) Published(p wire.Presence, at time.Duration) PresenceSchedule {
	p.First, p.Next, p.Last = clone(p.First), clone(p.Next), clone(p.Last)
	return PresenceSchedule{published: true, last: p, at: at}
}

// Due is the time at which p, which is true now, must be said; a time in the
// past means now. On a new connection, when a field other than last has
// changed, and every five minutes; a change of next alone waits a little.
func (s PresenceSchedule) Due(p wire.Presence) time.Duration {
	switch {
	case !s.published, p.Online != s.last.Online, p.Journal != s.last.Journal, p.Conn != s.last.Conn,
		p.Central != s.last.Central, p.Ordered != s.last.Ordered, !same(p.First, s.last.First):
		return 0
	case !same(p.Next, s.last.Next):
		return s.at + presenceGap
	}
	return s.at + PresenceEvery
}

func same(a, b *wire.Position) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func clone(p *wire.Position) *wire.Position {
	if p == nil {
		return nil
	}
	return new(*p)
}

// Describe fills in what a presence says about the records: the first held,
// the first not acknowledged (one beyond the last when all are), the last, the
// epoch of the position, and that of commands, Commands.Central, if it is above.
func (s State) Describe(h Held, ordered charge.Epoch, p wire.Presence) wire.Presence {
	p.First, p.Last = h.Position(h.First()), h.Position(h.Last())
	p.Next = h.Position(s.Acked + 1)
	if p.Next == nil && p.Last != nil {
		p.Next = &wire.Position{Journal: p.Last.Journal, Seq: p.Last.Seq + 1}
	}
	p.Central = s.Position.Central
	if p.Central.Less(ordered) {
		p.Ordered = ordered
	}
	return p
}
