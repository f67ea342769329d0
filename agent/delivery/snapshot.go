package delivery

import (
	"maps"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// CommandsSnapshot is Commands as plain data, at one moment. The ids are in the order
// in which they were added.
type CommandsSnapshot struct {
	Central           charge.Epoch
	LastN             map[charge.ConnectorID]uint64
	KnownIDs          []charge.CommandID
	EndedSessions     []charge.SessionID
	EndedReservations []charge.ReservationID
	Counts            CommandCounts
}

// Snapshot returns a copy.
func (c *Commands) Snapshot() CommandsSnapshot {
	return CommandsSnapshot{
		Central: c.central, LastN: maps.Clone(c.lastN), KnownIDs: c.knownIDs.list(),
		EndedSessions: c.endedSessions.list(), EndedReservations: c.endedReservations.list(), Counts: c.Counts,
	}
}

// RestoreCommands returns the Commands of a snapshot.
func RestoreCommands(cp charge.CPID, journal charge.JournalID, v CommandsSnapshot) *Commands {
	c := NewCommands(cp, journal)
	c.central, c.Counts = v.Central, v.Counts
	maps.Copy(c.lastN, v.LastN)
	c.knownIDs.addAll(v.KnownIDs)
	c.endedSessions.addAll(v.EndedSessions)
	c.endedReservations.addAll(v.EndedReservations)
	return c
}

// list returns the members, the oldest first.
func (r *boundedSet[T]) list() []T { return slices.Concat(r.ring[r.next:], r.ring[:r.next]) }

func (r *boundedSet[T]) addAll(all []T) {
	for _, v := range all {
		r.add(v)
	}
}
