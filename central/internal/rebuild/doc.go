// Package rebuild makes the ledger of a lost database again, in an empty database,
// from two sources: the settings that were exported (see Settings), and the
// journal records that Kafka still retains. What Kafka does not retain any more,
// agents may still hold: a Central that is started on the result acknowledges only
// what it knows, so agents publish the rest again by the usual protocol.
//
// # How records are applied
//
// Records are applied in the order of Kafka's log, each at the time at which it was
// received originally, so that everything that depends on time has the same result
// as before. Decisions that no record contains (gaps that were passed, sessions
// that were settled) come from the settings.
//
// The log is read in passes. A record may come before what it follows, if a
// partition was written out of order; then Rebuilder.NextPass reports that another
// pass can apply more.
//
// # What is published
//
// No command and no acknowledgement is sent meanwhile. Tickets get the same ids as
// before, because an id derives from that of the session. A ticket that Kafka does
// not show as published is put into the outbox, so its driver receives it once.
//
// # Use
//
// Published and Presences first, then Records until NextPass returns false, then
// Finish. A Rebuilder is safe for concurrent use; each call is one transaction.
// After an error it must not be used any more.
package rebuild
