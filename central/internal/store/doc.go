// Package store is Central's only durable storage: one SQLite database. It
// holds four kinds of rows:
//
//   - what records report: charging points, journals, connectors, meters,
//     sessions, tickets, gaps, alarms, and the records themselves;
//   - what is wanted: reservations, desired states, commands, drivers' requests
//     and their answers, and replies to orders with an Idempotency-Key;
//   - what is still to be published on Kafka: the outbox;
//   - how far each partition of Kafka was read: the offsets.
//
// # Transactions
//
// All that one batch of Kafka records changes, with its offset and its rows of
// the outbox, is one transaction. So the process may be killed between any two
// instructions: after a restart the batch was either applied and is not read
// again, or it was not applied and is read again.
//
// A transaction that fails (disk full, file locked, I/O error) is rolled back as
// a whole; nothing of it is visible. Diagnose classifies the error: whether one
// row is to be left out, the transaction is to be retried, or nothing more may be
// written. The database is synced to disk (WAL, synchronous FULL) before Write
// returns nil.
//
// # Concurrency
//
// There is one writer connection, used by Write, and a pool of readers. Write
// calls run one after the other; all other methods may be called concurrently.
// Readers see the last commit and never wait for the writer. A lock on a file
// beside the database keeps a second Central out.
//
// # Schema
//
// Times are milliseconds since 1970, energy is watt-hours, prices are
// ten-thousandths of a currency's minor unit and costs are minor units. All of
// them are integers. Ids are text. There is no NULL: a text that is not known is
// "", a time that is not known is 0, a list is JSON.
//
// The schema is the sum of the files in migrations, applied in order. A file that
// was released is never edited; a change is a new file. A database of any earlier
// version opens; one of a later version is refused.
//
// History does not slow down a start: ended sessions, old records and finished
// commands are reached through indices and are not loaded into memory.
package store
