// Package journal is the agent's durable log: what it holds has happened, and
// is told until Central has it.
//
// A Log holds the journals of all boots of one charging point that are still
// kept, in one directory, as segments of frames (docs/adr/0005-journal-format.md
// has the bytes). Records are opaque here: the caller makes their bytes when it
// is told their number and the hash of the record before. Each boot begins a new
// segment; no boot writes into an older journal.
//
// Guarantees. Append returns when its records are on disk, all of them, or with
// an error when none of them is held. What Open finds is what was announced, and
// perhaps the beginning of the last group that was not; that is made durable
// before it is handed out. What was announced and cannot be read any more is
// named, and nothing else is. Two things leave no trace on the disk, and Central
// sees them: the last group alone damaged before anything was written behind
// it, and a storage that was set back as a whole. Records that Central has not
// acknowledged are never deleted.
//
// Room. Records have a Class: what makes way when the quota or the disk is used
// up (docs/adr/0007-reserve-for-the-end.md).
//
// How recovery works, in the order of the files: scan takes every good frame of
// a segment, load reads the directory and changes nothing, judge says where each
// segment ends, name says what is missing before that. A segment begins with the
// name of the record it follows and with its first records, so only the last
// segment can have a torn tail.
//
// Concurrency. All methods may be called from any goroutine. Appends of several
// callers share one fsync: whoever comes first commits for all who wait. There
// are no goroutines and no timers here.
//
// At boot every frame is read and checked, two million records a second on a
// server: what is kept is bounded, and damage must be known before record 1 is
// written.
package journal
