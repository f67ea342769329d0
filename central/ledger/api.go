package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// NewCP returns a charging point of which nothing is known yet.
func NewCP(id charge.CPID) *CP {
	return &CP{
		Point:      Point{ID: id},
		Journals:   map[charge.JournalID]*Journal{},
		Connectors: map[charge.ConnectorID]*Connector{},
		Waiting:    map[charge.ConnectorID]*Connector{},
		Meters:     map[charge.ConnectorID]*Meter{},
		Sessions:   map[charge.SessionID]*Session{},
		Holes:      map[string]*Hole{},
	}
}

// Apply folds one delivered record into cp. A record of another charging point
// must not be given to it.
func Apply(cp *CP, env *Env, in Input) (Outcome, []Change) {
	return Outcome{Verdict: Gap, Hash: wire.Hash(in.Raw)}, nil
}

// Heard folds a presence into cp.
func Heard(cp *CP, env *Env, p wire.Presence) (Outcome, []Change) {
	return Outcome{}, nil
}

// Answer is the acknowledgement for a record or a presence that names journal:
// Journal and Seq are set, the rest is the caller's. Journal is nil when
// nothing is known of it.
func Answer(cp *CP, journal charge.JournalID) wire.Ack {
	j := cp.Journals[journal]
	if j == nil {
		return wire.Ack{V: wire.Version}
	}
	id := j.ID
	return wire.Ack{V: wire.Version, Journal: &id, Seq: j.Last}
}

// Admit lets a charging point be reserved and ordered, or takes that back.
func Admit(cp *CP, admitted bool) []Change {
	if cp.Admitted == admitted {
		return nil
	}
	cp.Admitted = admitted
	return []Change{PointChanged{cp.Point}}
}

// PassNext makes a hole of exactly the record that the latest presence calls
// next, at an operator's word: a dead letter holds up its charging point. It
// answers an error when what precedes it is not known.
func PassNext(cp *CP, env *Env) ([]Change, error) { return nil, nil }

// Release ends the quarantine of an identity, at an operator's word.
func Release(cp *CP) []Change { return nil }

// Settle ends an orphaned session at an operator's word, with a ticket up to its
// last known register.
func Settle(cp *CP, env *Env, id charge.SessionID) ([]Change, error) { return nil, nil }

// MakeTicket prices a session: a pure function of what its records say and of
// the tariff.
func MakeTicket(s *Session, t Tariff) Ticket { return Ticket{ID: TicketID(s.ID)} }

// TicketID is the id of a session's ticket.
func TicketID(id charge.SessionID) string { return "t." + string(id) }

// Status is what a connector of the present boot does at the moment now,
// computed from facts: "reserved" ends by itself.
func (cp *CP) Status(id charge.ConnectorID, now charge.Time) charge.Status {
	return charge.StatusUnavailable
}

// Hash is one value over the accounts of charging points: journal positions,
// meters, sessions and tickets, independent of the order in which records came.
// Sessions and tickets are all there are of these charging points, in any order.
func Hash(cps []*CP, sessions []Session, tickets []Ticket) string { return "" }

// Liveness says whether a charging point is there.
type Liveness string

// The values of Liveness.
const (
	Online        Liveness = "online"
	Offline       Liveness = "offline"
	UnknownIsLive Liveness = "unknown" // the way to it is not fresh: nobody can tell
)

// Signs are the signs of life of one charging point; nothing of it is stored.
type Signs struct {
	HeardAt    charge.Time   // last telemetry, record or presence, by Central's clock; zero: never
	Interval   time.Duration // that its telemetry promises; zero: not known
	Gone       bool          // its last will came and nothing after it
	StaleSince charge.Time   // since when its pipeline is not fresh; zero: it is fresh
}

// Live judges the signs of life at the moment now. since is when it became so,
// zero if it never was otherwise.
func Live(s Signs, now charge.Time) (l Liveness, since charge.Time) {
	return UnknownIsLive, s.StaleSince
}
