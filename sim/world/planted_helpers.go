package world

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// This file implements planted bugs that need more than one line in the shells.

// publishTicketsEarly publishes tickets that are not committed: BugTicketOutside.
func (r *centralRun) publishTicketsEarly(u *unit) {
	for i := range u.events {
		e := &u.events[i]
		if raw, err := e.Encode(); err == nil && e.EventType == wire.CentralTicket {
			r.publish(wire.TopicCentralEvents, string(e.Username), "", raw, nil)
		}
	}
}

// storeStatuses stores the statuses that the page shows: BugStoredStatus.
func (r *centralRun) storeStatuses(u *unit) {
	for _, c := range u.changes {
		if c, ok := c.(ledger.ConnectorChanged); ok {
			if cp := r.cps[c.CPID]; cp.Connectors[c.Connector.ID] != nil {
				r.storedStatuses[connectorKey{journalKey{cp: c.CPID}, c.Connector.ID}] = cp.Status(c.Connector.ID, r.central.now())
			}
		}
	}
}

// pretendContiguous makes the ledger believe that it knows the predecessors of a
// record: BugGapApplied.
func pretendContiguous(cp *ledger.CP, rec *wire.Record) {
	if j := cp.Journals[rec.Journal]; j != nil && rec.Seq > j.Last+1 {
		j.Last, j.Hash = rec.Seq-1, rec.Prev
	}
}

// applyAgain applies a record that is already applied: BugNoDedupe.
func applyAgain(cp *ledger.CP, env *ledger.Env, in ledger.Input) (ledger.Outcome, []ledger.Change) {
	j := cp.Journals[in.Record.Journal]
	if j == nil {
		return ledger.Outcome{Verdict: ledger.Duplicate}, nil
	}
	last, hash := j.Last, j.Hash
	j.Last, j.Hash = in.Record.Seq-1, in.Record.Prev
	out, changes := ledger.Apply(cp, env, in)
	j.Last, j.Hash = last, hash
	return out, changes
}

// forkAtOnce quarantines a charging point after one record: BugForgedForks.
func forkAtOnce(cp *ledger.CP, now charge.Time) ledger.Change {
	cp.ForkedAt, cp.Fork = now, reason.Reason{Code: reason.NotFollowingFork}
	return ledger.PointChanged{Point: cp.Point}
}

// ownSession hides sessions of other charging points: BugForeignSession.
func (u *unit) ownSession(id charge.SessionID) (ledger.Session, bool) {
	s, ok := u.Session(id)
	return s, ok && s.CPID == u.cp
}
