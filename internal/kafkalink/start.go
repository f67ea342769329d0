package kafkalink

import "time"

// startKind is one of the ways to begin.
type startKind int

const (
	startFirst startKind = iota
	startOffset
	startTime
	startEnd
	startLast
)

// Start says where a reader begins. The zero value is FromFirst.
type Start struct {
	kind  startKind
	next  int64
	crc   uint32
	since time.Time
}

// FromFirst begins with the first record there is.
func FromFirst() Start { return Start{} }

// FromOffset goes on at next. crc is the fingerprint of the record before it,
// by which a replaced log is recognised. A next of 0 is FromFirst.
func FromOffset(next int64, crc uint32) Start {
	if next <= 0 {
		return FromFirst()
	}
	return Start{kind: startOffset, next: next, crc: crc}
}

// FromTime begins with the first record of that time or later. If there is none
// it begins at the end seen, so that nothing written later is missed.
func FromTime(since time.Time) Start { return Start{kind: startTime, since: since} }

// FromEnd begins with what is written from now on.
func FromEnd() Start { return Start{kind: startEnd} }

// FromLast begins with the last n records that are there; if there are fewer,
// with the first. No clock decides what is read.
func FromLast(n int64) Start { return Start{kind: startLast, next: n} }

// Reason is why a reader could not go on where it was.
type Reason string

// The reasons of a Replaced.
const (
	ReasonShorter   Reason = "shorter"   // the log ends before our place
	ReasonDifferent Reason = "different" // another record is where our last one was
	ReasonExpired   Reason = "expired"   // records before the first were deleted unread
)

// Replaced tells that a reader began anew at the first record.
type Replaced struct {
	Topic     string
	Partition int
	Reason    Reason
	Was, Now  int64 // the place before and after
}

// Opened tells where a reader stands after it has found, or found again, its
// place.
type Opened struct {
	Topic     string
	Partition int
	Next      int64
	End       int64 // the end of the log seen then
}
