package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Tolerances of the relay rules. A contact takes up to 60 ms to move, and a
// record states its time in whole milliseconds.
const (
	openWithin     = time.Second // from the end of the session, or of the agent, to the open contact
	clockTolerance = 2 * time.Millisecond
)

// flow is a period during which a contact was closed, by the wall clock.
type flow struct {
	connector  charge.ConnectorID
	from, till time.Time // till is zero while the contact is closed
}

// readFlows returns all flows in a board's trace, in order. Times are those of
// the board's monotonic clock, moved to the wall clock at the snapshot.
func readFlows(s *sim.Snapshot) ([]flow, error) {
	if s.TraceGone > 0 {
		return nil, fmt.Errorf("the trace of board %s has lost %d switchings", s.Serial, s.TraceGone)
	}
	var list []flow
	running := map[charge.ConnectorID]int{}
	for _, m := range s.Trace {
		// A step of the wall clock during the run does not matter: only the
		// snapshot's pair of times is used.
		at := s.At.Add(m.Mono - s.Mono)
		if m.Closed {
			running[m.Connector] = len(list)
			list = append(list, flow{connector: m.Connector, from: at})
		} else if i, some := running[m.Connector]; some {
			list[i].till = at
			delete(running, m.Connector)
		}
	}
	return list, nil
}

// unauthorizedFlows describes the flows that no authorized session of the
// journal covers.
func unauthorizedFlows(cp charge.CPID, list []flow, sessions map[charge.SessionID]*journalSession) (broken []string) {
	for _, f := range list {
		covered := slices.ContainsFunc(sortedSessions(sessions), func(s *journalSession) bool {
			if s.connector != f.connector || s.authorizedAt.Std().After(f.from.Add(clockTolerance)) {
				return false
			}
			// A session without an end covers everything after its grant;
			// checkTickets reports it.
			return s.stops == 0 || !f.from.After(s.stoppedAt.Std()) && !f.till.IsZero() && !f.till.After(s.stoppedAt.Std().Add(openWithin))
		})
		if !covered {
			broken = append(broken, fmt.Sprintf("%s connector %d: closed from %s to %s without a grant in the journal",
				cp, f.connector, f.from.Format(timeFormat), f.till.Format(timeFormat)))
		}
	}
	return broken
}

// timeFormat is the time of day in violations.
const timeFormat = "15:04:05.000"

// sortedSessions returns the sessions in the order of their authorization.
func sortedSessions(sessions map[charge.SessionID]*journalSession) []*journalSession {
	list := make([]*journalSession, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *journalSession) int { return int(a.authorizedAt - b.authorizedAt) })
	return list
}

// openedAt returns when the contact opened that was closed at a time, zero if
// it never did; false if it was open at that time.
func openedAt(list []flow, n charge.ConnectorID, at time.Time) (time.Time, bool) {
	for _, f := range list {
		if f.connector == n && f.from.Before(at) && (f.till.IsZero() || f.till.After(at)) {
			return f.till, true
		}
	}
	return time.Time{}, false
}
