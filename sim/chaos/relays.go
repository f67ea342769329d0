package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Times of the relay's rules. The contact itself takes up to 60 ms to move, and
// a record says its time to the millisecond.
const (
	openWithin     = time.Second // contactor after the end of its right, or of its agent
	clockTolerance = 2 * time.Millisecond
)

// flow is a time during which a contact was closed, by the wall's clock.
type flow struct {
	connector  charge.ConnectorID
	from, till time.Time // till is zero while it is closed
}

// readFlows are all of a board, as its own process measured them.
func readFlows(s *sim.Snapshot) ([]flow, error) {
	if s.TraceGone > 0 {
		return nil, fmt.Errorf("board %s has forgotten %d switchings", s.Serial, s.TraceGone)
	}
	var list []flow
	running := map[charge.ConnectorID]int{}
	for _, m := range s.Trace {
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

// unauthorizedFlows says which times of power had no grant in the journal.
func unauthorizedFlows(cp charge.CPID, list []flow, sessions map[charge.SessionID]*journalSession) (broken []string) {
	for _, f := range list {
		right := slices.ContainsFunc(sortedSessions(sessions), func(s *journalSession) bool {
			if s.connector != f.connector || s.authorizedAt.Std().After(f.from.Add(clockTolerance)) {
				return false
			}
			return s.stops == 0 || !f.from.After(s.stoppedAt.Std()) && !f.till.IsZero() && !f.till.After(s.stoppedAt.Std().Add(openWithin))
		})
		if !right {
			broken = append(broken, fmt.Sprintf("%s connector %d: closed from %s to %s without a grant in the journal",
				cp, f.connector, f.from.Format(timeFormat), f.till.Format(timeFormat)))
		}
	}
	return broken
}

const timeFormat = "15:04:05.000"

func sortedSessions(sessions map[charge.SessionID]*journalSession) []*journalSession {
	list := make([]*journalSession, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *journalSession) int { return int(a.authorizedAt - b.authorizedAt) })
	return list
}

// openedAt is when the contact opened that was closed at a time; false if it was
// open then.
func openedAt(list []flow, n charge.ConnectorID, at time.Time) (time.Time, bool) {
	for _, f := range list {
		if f.connector == n && f.from.Before(at) && (f.till.IsZero() || f.till.After(at)) {
			return f.till, true
		}
	}
	return time.Time{}, false
}
