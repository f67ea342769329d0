// Package crashpoint names the places where a program that dies has the most to
// lose, so that a test can let it die exactly there. In a build without the tag
// crashpoints nothing happens at them, and the compiler leaves nothing of them.
//
// In a build with it, the environment variable CARGA_CRASH_FILE names a file;
// the first program to reach the place whose name is in it removes the file and
// kills itself, as a power cut would. So each arming kills once. Behind the name
// may stand a number N, for the N-th passage, and behind that "after": then the
// program goes on for a moment, into what follows the place.
package crashpoint

// Point is one place.
type Point string

// The places in Central.
const (
	Requested    Point = "c1" // a request is accepted, and not yet in a transaction
	Ordering     Point = "c2" // in the transaction with what is wanted
	Ordered      Point = "c3" // committed, before anything is produced
	Produced     Point = "c4" // produced, before the outbox is marked
	Fetched      Point = "c5" // a record was fetched, before the transaction
	Applying     Point = "c6" // in the transaction with records
	Applied      Point = "c7" // committed, before the acknowledgement leaves
	Ticketing    Point = "c8" // in the transaction, the ticket is written
	Received     Point = "b1" // bridge: received by MQTT, before it is produced
	Producing    Point = "b2" // a produce is in flight
	Kept         Point = "b3" // Kafka has it, before the acknowledgement to MQTT
	OrderFetched Point = "b4" // a command was fetched, before it is published
	Published    Point = "b5" // published, before the PUBACK
	Confirmed    Point = "b6" // PUBACK, before the place in the log moves on
)

// The places in the agent.
const (
	Commanded    Point = "a1"  // a command is received
	Written      Point = "a2"  // records are written, not synced
	Synced       Point = "a3"  // an accepted command is synced, before its effect
	Done         Point = "a4"  // its effect is there, before its result is written
	Plugged      Point = "a5"  // the plug was seen
	Granted      Point = "a6"  // the session is synced, the contactor still open
	Closed       Point = "a7"  // the contactor is closed, the record not yet written
	Metered      Point = "a8"  // between reading the meter and writing it down
	Stopping     Point = "a9"  // a stop is decided, the contactor still closed
	Opened       Point = "a10" // the contactor is open, the last register not read
	Ending       Point = "a11" // the last record is written, not synced
	Sent         Point = "a12" // published, no PUBACK
	Acknowledged Point = "a13" // an acknowledgement is received, before the clean-up
	NewSegment   Point = "a14" // a new segment is synced, before it has its name
)

// All are the places in the order of their names' numbers: Central's, the
// bridge's, the agent's.
func All() []Point {
	return []Point{
		Requested, Ordering, Ordered, Produced, Fetched, Applying, Applied, Ticketing,
		Received, Producing, Kept, OrderFetched, Published, Confirmed,
		Commanded, Written, Synced, Done, Plugged, Granted, Closed, Metered, Stopping, Opened, Ending, Sent, Acknowledged, NewSegment,
	}
}
