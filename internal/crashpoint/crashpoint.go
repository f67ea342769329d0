// Package crashpoint names the places at which a crash is most dangerous, so that a
// test can make a program crash exactly there. Without the build tag crashpoints
// the functions are empty, and the compiler removes the calls.
//
// In a build with the tag, the environment variable CARGA_CRASH_FILE names a file.
// The first program that reaches the place whose name is in the file removes the
// file and kills itself with SIGKILL, as a power cut would. So each file kills once.
// A number N after the name means the N-th passage, and "after" behind that makes
// the program crash a moment later, in what follows the place.
package crashpoint

// Point is one place.
type Point string

// The places in Central, and in the bridge.
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
	Producing    Point = "b2" // bridge: a produce request is in flight
	Kept         Point = "b3" // bridge: Kafka has it, before the acknowledgement to MQTT
	OrderFetched Point = "b4" // bridge: a command was fetched, before it is published
	Published    Point = "b5" // bridge: published, before the PUBACK
	Confirmed    Point = "b6" // bridge: PUBACK received, before the offset moves on
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

// All returns the places in the order of their names: Central's, the bridge's,
// the agent's.
func All() []Point {
	return []Point{
		Requested, Ordering, Ordered, Produced, Fetched, Applying, Applied, Ticketing,
		Received, Producing, Kept, OrderFetched, Published, Confirmed,
		Commanded, Written, Synced, Done, Plugged, Granted, Closed, Metered, Stopping, Opened, Ending, Sent, Acknowledged, NewSegment,
	}
}
