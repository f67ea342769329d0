// Package ledger is what Central knows of one charging point, as a fold of its
// journal records: which records are known, what its connectors do, who
// charged how much, what is missing, and the tickets.
//
// The package is pure. Apply changes the *CP it is given, and returns what
// changed as values that map to one row each; time, the tariff and everything
// that is only in the database come in through Env. A CP has one owner (the
// writer goroutine); nothing that Apply returns points into it. If the
// transaction that should keep the changes fails, the owner throws the CP away
// and loads it again.
//
// Guarantees, each checked by a property test:
//
//   - A record is applied once, in the order of its journal, whatever is
//     delivered how often in which order. Nothing is skipped except through a
//     Hole, which is a row, has a cause and is shown.
//   - Positions, registers and the account of a meter only grow; a session has
//     at most one ticket, which never changes, and if an operator settled it at
//     most one correction ticket; together they hold what its records say.
//   - Register growth = energy on tickets + energy of the running session +
//     unaccounted energy, for each meter, always.
//   - Apply never panics, whatever the records say.
//
// An orphaned session (its charging point came back on storage that does not
// know it) gets no ticket by itself: it is closed to view, shown, and its
// energy counts as unaccounted until a late record closes it or an operator
// settles it up to its last known register. So a ticket never has to change. An
// operator may also settle an open session whose charging point is not heard.
//
// One thing cannot be had: when a storage goes back in mid-session, and records
// of the branch it lost arrive only after the session has its ticket, they are
// applied to the past and an alarm says what they would have changed; had they
// come before, they would be in the ticket. Its energy is the same either way,
// for the stop repeats the register of the grant.
package ledger
