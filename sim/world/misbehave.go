package world

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/wire"
)

// What follows helps planted bugs to misbehave.

// bridgeGap makes the ledger take a record though what is before it is missing.
func bridgeGap(cp *ledger.CP, rec *wire.Record) {
	if j := cp.Journals[rec.Journal]; j != nil && rec.Seq > j.Last+1 {
		j.Last, j.Hash = rec.Seq-1, rec.Prev
	}
}

// applyAgain applies a record that is known as if it were not.
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
