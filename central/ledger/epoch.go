package ledger

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// Epoch is the one with which Central, whose own is given, speaks to the
// charging point. It is above Central's own where the charging point obeys a
// higher one that this database does not know: of a run after the backup that
// it was restored from, of a copy, or of a fault. That concerns no other
// charging point, and not Central's own epoch.
//
// Invariant: it grows with Central's own, so a restart is above it.
func (p *Point) Epoch(own charge.Epoch) charge.Epoch {
	own.Number = min(own.Number+p.EpochLead, charge.MaxEpochNumber)
	return own
}

// exceedEpoch puts the epoch for this charging point above one that it obeys. Only a
// Central that is active does so: of two, each would exceed the other, until one
// of them fences the other.
func (f *fold) exceedEpoch(obeyed charge.Epoch) {
	env, p := f.env, &f.cp.Point
	if !env.Active || !p.Epoch(env.Central).Less(obeyed) {
		return
	}
	if obeyed.Number >= charge.MaxEpochNumber {
		f.raiseAlarm(AlarmEpoch, "end", 0, fmt.Sprintf("the charging point obeys the epoch %s, which cannot be exceeded: "+
			"delete its position file, or give it an empty storage", obeyed))
	}
	p.EpochLead = min(obeyed.Number+1, charge.MaxEpochNumber) - env.Central.Number
}

// positionIsOurs reports whether the position of the charging point is what this run of
// Central acknowledged.
func (f *fold) positionIsOurs() bool {
	return !f.env.Central.IsZero() && f.cp.Position.Run == f.env.Central.Run
}
