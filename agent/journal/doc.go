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
// an error when none of them will ever be read back. What Open finds is a prefix
// of what was appended, never anything else: a torn tail, which was never
// announced, is dropped; damage before it is found by checksum and named. Records
// that Central has not acknowledged are never deleted.
//
// Concurrency. All methods may be called from any goroutine. Appends of several
// callers share one fsync: whoever comes first commits for all who wait. There
// are no goroutines and no timers here.
//
// At boot every frame is read and checked, about 200 MB a second on a laptop:
// what is kept is bounded, and damage must be known before record 1 is written.
package journal
