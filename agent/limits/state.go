// Package limits owns the limits of the current that people and programs set: those
// of the installer, and SET_LIMIT of Central with its end. It is pure. The limits
// that are measured (hardware, cable, temperature) join them in agent/safety, which
// applies the lowest of all.
//
// A SET_LIMIT ends by the monotonic clock, so that a wrong wall clock prolongs none. A
// wall clock may only lower the current: it ends a limit above the safe current early,
// and no other. Where a limit ends, and before the first one of a boot, the safe
// current applies: a group of charging points counts with it for members that Central
// does not reach.
package limits

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// clockSkew is how far a synced wall clock must be past the end of a limit above the
// safe current to end it before the monotonic clock does.
const clockSkew = 30 * time.Second

// maxLife is the longest life of a SET_LIMIT: none lasts for ever by accident.
const maxLife = 366 * 24 * time.Hour

// Life is how long a SET_LIMIT that was sent at a moment lasts from its receipt on;
// not above 0: it is over.
func Life(o *wire.SetLimit, sentAt charge.Time) time.Duration {
	return min(o.Until.Sub(sentAt), maxLife)
}

// Policy is what the installer set, per connector and phase.
type Policy struct {
	// Most is never exceeded; 0: what the hardware carries.
	Most charge.MilliAmps
	// Safe applies while no SET_LIMIT is in force; 0: Most does.
	Safe charge.MilliAmps
}

// State is the limits of a charging point in one boot. New makes it.
type State struct {
	Policy   Policy
	Commands []Command // by connector; 0: of each connector
}

// Command is a SET_LIMIT in force; EndsAt is since the boot, 0: there is none.
type Command struct {
	Current charge.MilliAmps
	Until   charge.Time
	EndsAt  time.Duration
}

// New restores the limits of so many connectors at the boot. A limit of an earlier
// boot may only lower the current: for how long there was no agent is not known, and
// above the safe current its group may count with less by now.
func New(p Policy, saved Saved, connectors int, at time.Duration) State {
	s := State{Policy: p, Commands: make([]Command, connectors+1)}
	for _, l := range saved {
		if int(l.Connector) <= connectors && l.LeftMS > 0 && (p.Safe == 0 || l.Current <= p.Safe) {
			s.Commands[l.Connector] = Command{l.Current, l.Until, at + time.Duration(l.LeftMS)*time.Millisecond}
		}
	}
	return s
}

// Set puts a SET_LIMIT in force until endsAt since the boot, in place of the one of
// the same connector.
func (s *State) Set(n charge.ConnectorID, o wire.SetLimit, endsAt time.Duration) {
	s.Commands[n] = Command{o.Limit, o.Until, endsAt}
}

// Over reports whether a limit is over that lasts for left more by the monotonic clock,
// and until a moment by the wall clock. One that holds the connector below its safe
// current lasts its whole time whatever the wall clock shows: others of its group may
// have what it leaves.
func (s *State) Over(current charge.MilliAmps, left time.Duration, until, wall charge.Time, clock charge.ClockQuality) bool {
	lowers := s.Policy.Safe > 0 && current > s.Policy.Safe
	return left <= 0 || lowers && clock == charge.ClockSynced && wall.Sub(until) > clockSkew
}

// End ends what is over. at is since the boot.
func (s *State) End(at time.Duration, wall charge.Time, clock charge.ClockQuality) {
	for i := range s.Commands {
		if c := &s.Commands[i]; c.EndsAt != 0 && s.Over(c.Current, c.EndsAt-at, c.Until, wall, clock) {
			*c = Command{}
		}
	}
}

// Next is when the next limit ends, since the boot; 0: none does.
func (s *State) Next() (next time.Duration) {
	for _, c := range s.Commands {
		if c.EndsAt != 0 && (next == 0 || c.EndsAt < next) {
			next = c.EndsAt
		}
	}
	return next
}

// Of is the lowest limit that was set for a connector.
func (s *State) Of(n charge.ConnectorID) charge.Limit {
	outside := s.Commands[0].limit().Lowest(s.Commands[n].limit())
	if outside.None() && s.Policy.Safe > 0 {
		outside = charge.Limit{Current: s.Policy.Safe, By: charge.LimitSafe}
	}
	if s.Policy.Most == 0 {
		return outside
	}
	return charge.Limit{Current: s.Policy.Most, By: charge.LimitConfigured}.Lowest(outside)
}

func (c *Command) limit() charge.Limit {
	if c.EndsAt == 0 {
		return charge.Limit{}
	}
	return charge.Limit{Current: c.Current, By: charge.LimitCommand}
}
