// Package audit checks that the rows of a Central's database follow from its
// records. Its checks are:
//
//   - file: SQLite finds no damage;
//   - references: no row refers to one that does not exist, and each ended session
//     has its ticket;
//   - chain: each record has its hash and follows the record before it;
//   - gaps: each journal is complete but for what gaps and pruning account for;
//   - energy: every Wh of a meter is on one ticket, in one running session, or
//     unaccounted;
//   - tickets: each ticket is what its session costs;
//   - replay: the records, applied again to an empty ledger, make the same ledger;
//   - orders: no reservation, command or request is past its end.
//
// The audit only reads. It holds the records' hashes of one charging point in
// memory at a time. Give it a snapshot: rows of different commits do not match.
//
// # Pruned records
//
// Records that were pruned cannot be replayed. For a charging point with pruned
// records the audit still checks positions, the chain from the oldest record that
// is stored, and each session whose grant is stored; everything else is checked by
// its rows alone.
package audit
