// Package autonomy has tests of a charging point that is alone: the core and the
// journal of the agent on a disk in memory, and Central's ledger, in fake time.
// They measure what docs/PROTOCOL.md promises of the size of a session, of a power
// cut at any moment, and of 30 days without a connection.
package autonomy
