package ledger

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// Epoch returns the epoch that Central, whose own epoch is given, puts into
// messages to the charging point.
//
// An agent ignores messages with a lower epoch than the highest it accepted. If
// that one is not in this database (the database was restored from a backup, a
// copy of it ran elsewhere, or the agent's position file was damaged), Central's
// own epoch is too low for this charging point. EpochLead then raises it, for
// this charging point alone.
//
// Invariant: the result grows with Central's own epoch, so a restart outranks
// the run before it.
func (p *Point) Epoch(own charge.Epoch) charge.Epoch {
	own.Number = min(own.Number+p.EpochLead, charge.MaxEpochNumber)
	return own
}

// exceedEpoch raises EpochLead until Central outranks the epoch that the charging
// point obeys. A standby must not do so: two Centrals would outrank each other in
// turn, until one fences the other. At the highest epoch number it is impossible,
// and an alarm names the remedy.
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

// positionIsOurs reports whether this run of Central acknowledged the position
// that the agent's presence names. Only then does the agent lack nothing that
// Central still needs before it.
func (f *fold) positionIsOurs() bool {
	return !f.env.Central.IsZero() && f.cp.Position.Run == f.env.Central.Run
}
