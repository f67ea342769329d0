// Package store is Central's only durability: one SQLite database that holds
// what the records said (charging points, sessions, tickets, holes), what is
// wanted (reservations, wishes, commands, answers), what is still to be told
// (outbox) and how far Kafka was read (offsets). All that one batch changes is
// one transaction, so a process may die between any two instructions.
//
// There is one writer connection, used by Write, and a pool of readers. Write
// calls run one after the other; everything else may be called concurrently.
// Readers see the last commit and never wait for the writer.
//
// A transaction that fails (disk full, file locked, I/O error) is rolled back
// as a whole: nothing of it is visible, the caller may simply try again. The
// database is synced to disk (WAL, synchronous FULL) before Write returns.
//
// Quantities are integers: milliseconds, watt-hours, cents. Ids are text.
// History costs nothing: ended sessions, old records and finished commands are
// reached through indices only and are not loaded at start.
package store
