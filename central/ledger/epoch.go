package ledger

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// maxEpochStep is how far above the epoch that Central uses for a charging point
// one presence may raise it. A single presence that is forged or damaged must not
// use up the numbers.
const maxEpochStep = 1_000_000

// claimRepeatedFor is how long presences must name an epoch farther above than
// that before it is believed. It is longer than an agent's pause between two
// presences, so the presence of an agent that obeys Central comes in between.
const claimRepeatedFor = 6 * time.Minute

// maxEpochLead is the highest lead. The rest is for restarts of Central: each of
// them must outrank all epochs that Central sent before, whatever presences named.
const maxEpochLead = charge.MaxEpochNumber - 1_000_000_000

// epochAtItsEnd as the lead stands for maxEpochLead, and the alarm AlarmEpoch.
const epochAtItsEnd = maxEpochLead + 1

// farClaim is an epoch too far above to be believed at once. Each presence since
// then names it.
type farClaim struct {
	epoch charge.Epoch
	since charge.Time // when the first presence with it came, by Central's clock
	at    charge.Time // when that one was written, by the agent's clock: copies of it have the same
}

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
	own.Number = min(own.Number+min(p.EpochLead, maxEpochLead), charge.MaxEpochNumber)
	return own
}

// exceedEpoch raises EpochLead until Central outranks the epoch that the charging
// point obeys, as its presence states. A standby must not do so: two Centrals would
// outrank each other in turn, until one fences the other. An epoch that cannot be
// outranked raises an alarm, which names the remedy.
func (f *fold) exceedEpoch(p *wire.Presence) {
	env, cp := f.env, f.cp
	if !env.Active || !p.Online {
		return
	}
	claimed, used := charge.Highest(p.Central, p.Ordered), cp.Epoch(env.Central)
	if !used.Less(claimed) {
		f.dropFarClaim(p)
		if cp.EpochLead >= epochAtItsEnd {
			cp.EpochLead = maxEpochLead
			f.clearAlarm(AlarmEpoch, "end", 0)
		}
		return
	}
	lead := claimed.Number + 1 - env.Central.Number
	if (claimed.Number > used.Number+maxEpochStep || lead > maxEpochLead) && !f.repeated(claimed, p.At) {
		return
	}
	cp.farClaim = farClaim{}
	if lead > maxEpochLead {
		lead = epochAtItsEnd
		f.raiseAlarm(AlarmEpoch, "end", 0, reason.Reason{Code: reason.EpochAtItsEnd, Central: claimed.String()})
	} else if cp.EpochLead >= epochAtItsEnd {
		f.clearAlarm(AlarmEpoch, "end", 0)
	}
	cp.EpochLead = lead
}

// dropFarClaim forgets a far epoch when a presence shows that the charging point
// obeys Central. A presence that is older than the latest one shows it, too: a
// forged one may name a connection that the agent does not reach.
func (f *fold) dropFarClaim(p *wire.Presence) {
	if p.Online && !f.cp.Epoch(f.env.Central).Less(charge.Highest(p.Central, p.Ordered)) {
		f.cp.farClaim = farClaim{}
	}
}

// repeated reports whether presences name a far epoch for long enough, so that the
// charging point really ignores Central's messages. Copies of one presence, as a
// broker delivers a retained one, count as one.
func (f *fold) repeated(claimed charge.Epoch, at charge.Time) bool {
	c := &f.cp.farClaim
	if c.epoch != claimed || f.env.Now < c.since {
		*c = farClaim{epoch: claimed, since: f.env.Now, at: at}
	}
	return at != c.at && f.env.Now >= c.since.Add(claimRepeatedFor)
}

// positionIsOurs reports whether this run of Central acknowledged the position
// that the agent's presence names. Only then does the agent lack nothing that
// Central still needs before it.
func (f *fold) positionIsOurs() bool {
	return !f.env.Central.IsZero() && f.cp.Position.Run == f.env.Central.Run
}
