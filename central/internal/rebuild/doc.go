// Package rebuild makes a ledger again, into an empty database, from what is
// left when the database is lost: settings that were exported, and Kafka's log
// of journal records from its first retained one. What Kafka does not hold any
// more is said again by the agents to the Central that is started on the
// result, by the usual protocol: it acknowledges only what it knows.
//
// The records are folded in the order of the log, each at the time at which it
// was received then, so that what depends on time comes out as before. What an
// operator or a presence decided in the past and no record tells (holes that
// were passed, sessions that were settled) comes from the settings.
//
// Nothing is ordered and nothing is acknowledged meanwhile. Tickets have the
// same ids as before, since they derive from those of their sessions; one that
// Kafka does not show as told is told.
//
// A Rebuilder is safe for concurrent use; each call is one transaction. After
// an error it must not be used any more.
package rebuild
