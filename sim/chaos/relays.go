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
	openWithin = time.Second // contactor after the end of its right, or of its agent
	clockGrain = 2 * time.Millisecond
)

// flow is a time during which a contact was closed, by the wall's clock.
type flow struct {
	connector  charge.ConnectorID
	from, till time.Time // till is zero while it is closed
}

// flows are all of a board, as its own process measured them.
func flows(s *sim.Snapshot) ([]flow, error) {
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

// withoutRight says which times of power had no grant in the journal.
func withoutRight(cp charge.CPID, list []flow, sessions map[charge.SessionID]*told) (broken []string) {
	for _, f := range list {
		right := slices.ContainsFunc(sortedSessions(sessions), func(s *told) bool {
			if s.connector != f.connector || s.granted.Std().After(f.from.Add(clockGrain)) {
				return false
			}
			return s.stops == 0 || !f.from.After(s.stopped.Std()) && !f.till.IsZero() && !f.till.After(s.stopped.Std().Add(openWithin))
		})
		if !right {
			broken = append(broken, fmt.Sprintf("%s connector %d: closed from %s to %s without a grant in the journal",
				cp, f.connector, f.from.Format(stamp), f.till.Format(stamp)))
		}
	}
	return broken
}

const stamp = "15:04:05.000"

func sortedSessions(sessions map[charge.SessionID]*told) []*told {
	list := make([]*told, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *told) int { return int(a.granted - b.granted) })
	return list
}

// opened is when the contact opened that was closed at a time; false if it was
// open then.
func opened(list []flow, n charge.ConnectorID, at time.Time) (time.Time, bool) {
	for _, f := range list {
		if f.connector == n && f.from.Before(at) && (f.till.IsZero() || f.till.After(at)) {
			return f.till, true
		}
	}
	return time.Time{}, false
}
