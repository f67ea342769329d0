package delivery

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Times of the presence.
const (
	// PresenceEvery is the longest time between two publications of the presence.
	PresenceEvery = 5 * time.Minute
	// presenceGap is the least time between two that differ only in the next
	// record: that changes with every acknowledgement.
	presenceGap = 10 * time.Second
)

// PresenceSchedule remembers which presence was published last, and when. The
// zero value is that of a new connection, on which none was.
type PresenceSchedule struct {
	Some bool          // one was published
	Last wire.Presence // the last one
	At   time.Duration // when
}

// Published returns the schedule after p was published at the time at.
func (PresenceSchedule) Published(p wire.Presence, at time.Duration) PresenceSchedule {
	p.First, p.Next, p.Last = clone(p.First), clone(p.Next), clone(p.Last)
	return PresenceSchedule{Some: true, Last: p, At: at}
}

// Due is when p, the present state, must be published; a time in the past means
// now. That is at once on a new connection and when a field other than next and
// last has changed; after presenceGap when next has; and every PresenceEvery.
func (s PresenceSchedule) Due(p wire.Presence) time.Duration {
	switch {
	case !s.Some, p.Online != s.Last.Online, p.Journal != s.Last.Journal, p.Conn != s.Last.Conn,
		p.Central != s.Last.Central, p.Ordered != s.Last.Ordered, !same(p.First, s.Last.First):
		return 0
	case !same(p.Next, s.Last.Next):
		return s.At + presenceGap
	}
	return s.At + PresenceEvery
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

// Describe fills in the fields of a presence about records: the first one held,
// the first one not acknowledged (one beyond the last when all are), the last
// one, the epoch of the position, and that of the commands (Commands.Central) if
// it is higher.
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
