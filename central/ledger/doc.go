// Package ledger is Central's knowledge of one charging point. It folds the
// records of the charging point's journals into state: which records are known,
// what the connectors do, how much each driver charged, what is missing, and the
// tickets.
//
// # Model
//
// An agent writes one journal per boot. A record names the hash of the record
// before it, and record 1 of a journal names the last record of the journal
// before it, so all journals of one storage form a chain. Agents repeat records, so
// Central reads each at least once; after an outage, or once a storage or a
// database was rolled back, in any order. Apply therefore classifies each record
// first (duplicate, next in its journal, out of order, in a gap, not fitting
// the chain) and changes state only for a record that is next or fills a gap.
// The agent repeats a record until Central acknowledges it, so a record that is
// out of order is dropped: it comes again, after the one it follows.
//
// A gap is a range of records that the agent no longer has. Central passes it only
// when the agent's presence, its record 1 or an operator states that the records
// cannot come. A gap is a row with a cause, raises an alarm, and is filled when
// the records turn up after all.
//
// At most two boots have connector state: the current one, and a pending one whose
// record 1 has arrived although presence does not name it yet. Records of earlier
// boots change sessions, meters and tickets only: they are late.
//
// The accounts (meters, sessions, tickets) do not follow the current boot, which
// presence names, but the newest one by the records: see newest.go. So they follow
// from the records alone.
//
// # Purity and ownership
//
// The package does no I/O and reads no clock. Time, tariffs and everything that
// is only in the database come in through Env. Apply changes the *CP it is given
// and returns what changed as values, one per database row. A CP has one owner
// (Central's writer goroutine); nothing that Apply returns points into it. If the
// transaction with the changes fails, the owner discards the CP and loads it again.
//
// # Guarantees
//
// A property test checks each of them:
//
//   - A record is applied once, in the order of its journal, for every order and
//     number of deliveries. Nothing is passed over except through a Gap.
//   - Positions, registers and the account of a meter only grow. A session has
//     at most one ticket, which never changes, and at most one correction ticket
//     if an operator settled it; together they hold what its records state.
//   - For each meter, at all times: register growth = energy on tickets + energy
//     of the running session + unaccounted energy.
//   - Apply never panics, whatever the records contain.
//
// # Orphaned and settled sessions
//
// A session is orphaned when its charging point comes back on storage that does
// not know it. It gets no ticket automatically: it disappears from its connector,
// is listed, and its energy counts as unaccounted until a late record ends it or
// an operator settles it up to its last known register. So a ticket never has to
// change. An operator may also settle an open session whose charging point is
// silent.
//
// # Limit
//
// If a storage is rolled back during a session, records of the lost branch can
// arrive after the session has its ticket. They are applied as late records, and
// the alarm ticket_differs states what they would have changed. If they had
// arrived earlier, they would be in the ticket. The billed energy is the same
// either way, because the stop repeats the register of the grant.
package ledger
