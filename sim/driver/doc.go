// Package driver is a driver of the network, as the drivers' protocol
// (docs/PROTOCOL.md) sees one: it asks for a charging point on driver-events,
// says that it is plugged in, and follows on central-events what becomes of
// it until its ticket.
//
// Conversation is the protocol: pure, one service from the request to its end.
// Line is the plain Kafka connection that several conversations share. Run
// brings the two together.
//
// # Every wait has an end
//
// A request that is not answered is said again under the same message_id, with
// a fresh timestamp, until Config.Deadline; Kafka away is no reason to stop
// asking, only to say so. An authorisation ends with its reservation. A
// session of which nothing is heard for Config.Patience is given up.
//
// # Concurrency
//
// A Conversation has one owner. Line is safe for concurrent use; it owns one
// goroutine per partition and one more, from Run to its return.
package driver
