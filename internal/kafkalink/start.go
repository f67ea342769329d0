package kafkalink

import "time"

// startKind is how a Start is given.
type startKind int

const (
	startFirst startKind = iota
	startOffset
	startTime
	startEnd
	startLast
)

// Start is where a reader begins. The zero value is FromFirst.
type Start struct {
	kind  startKind
	next  int64 // an offset, or the number of records of FromLast
	crc   uint32
	since time.Time
}

// FromFirst begins with the first record of the log.
func FromFirst() Start { return Start{} }

// FromOffset continues at next. crc is the Fingerprint of the record before it, by
// which the reader detects that the log was replaced. A next of 0 is FromFirst.
func FromOffset(next int64, crc uint32) Start {
	if next <= 0 {
		return FromFirst()
	}
	return Start{kind: startOffset, next: next, crc: crc}
}

// FromTime begins with the first record of that time or later, by the timestamps
// in the log. Without such a record it begins at the end of the log as seen before
// the question, so that nothing written later is missed.
func FromTime(since time.Time) Start { return Start{kind: startTime, since: since} }

// FromEnd begins with the records that are written from now on.
func FromEnd() Start { return Start{kind: startEnd} }

// FromLast begins with the last n records, or with the first if there are fewer.
// Unlike FromTime it does not depend on clocks.
func FromLast(n int64) Start { return Start{kind: startLast, next: n} }

// Reason is why a reader could not continue at its offset.
type Reason string

// The reasons of a Replaced.
const (
	ReasonShorter   Reason = "shorter"   // the log ends before the offset
	ReasonDifferent Reason = "different" // the record before the offset is another one
	ReasonExpired   Reason = "expired"   // records at the offset were deleted unread
)

// Replaced reports that the log of a partition was replaced, and that the reader
// started again at its first record.
type Replaced struct {
	Topic     string
	Partition int
	Reason    Reason
	Was, Now  int64 // the offset to read next, before and after
}

// Opened reports the position of a reader each time it has located it: at the
// start, and after each interruption.
type Opened struct {
	Topic     string
	Partition int
	Next      int64 // the offset to read next
	End       int64 // the end of the log at that moment
}
