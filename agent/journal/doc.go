// Package journal is the agent's durable log. A record in it has happened, and is
// sent until Central acknowledges it.
//
// A Log holds the journals of all boots of one charging point that are still
// kept, in one directory, as segments of frames (docs/adr/0005-journal-format.md
// has the bytes). Records are opaque here: an encoder makes the bytes of a
// record from its number and the hash of the record before. Each boot begins a
// new segment; no boot writes into an older journal.
//
// # Guarantees
//
// Append returns when all of its records are on disk, or with an error when none
// of them is held. Announced records are those of an Append that has returned.
// Open finds all of them, and perhaps the beginning of the last group that was
// not announced; that is made durable before it is returned. Announced records
// that cannot be read any more are reported as damage, and no others are. Two
// kinds of damage leave no trace on the disk, and Central detects them: the last
// group alone damaged before anything was written after it, and a storage that
// was set back as a whole. Records that Central has not acknowledged are never
// deleted.
//
// # Space
//
// Records have a Class, which decides what is refused first when the quota or the
// disk is used up (docs/adr/0007-reserve-for-the-end.md).
//
// # Recovery
//
// In the order of the files: scan collects every good frame of a segment, load
// reads the directory and changes nothing, decideEnds determines where each
// segment ends, nameDamage reports the records missing before that. A segment
// begins with the name of the record it follows and with its first records, so
// only the last segment can have a torn tail.
//
// # Concurrency
//
// All methods may be called from any goroutine. Appends of several callers share
// one fsync: the first caller commits for all that wait (group commit). The
// package has no goroutines and no timers.
//
// # Cost
//
// At boot every frame is read and checked, two million records a second on a
// server. The amount kept is bounded, and damage must be known before record 1
// is written.
package journal
