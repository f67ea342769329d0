// Package driver is a driver of the network as the drivers' protocol
// (docs/PROTOCOL.md) defines one. A driver requests a charging point on
// driver-events, reports that its vehicle is plugged in, and follows its
// service on central-events until the ticket.
//
// Conversation is the protocol: a pure state machine for one service, from the
// request to its end. Client is the Kafka connection that several conversations
// share. Run drives a Conversation over a Client (or another Transport).
//
// # Timeouts
//
// Every wait ends. An unanswered request is retried under the same message_id,
// with a fresh timestamp, until Config.Deadline; an outage of Kafka is reported
// and does not end the retries. An authorization ends with its reservation. A
// session without messages for Config.SessionTimeout ends as TimedOut; Central
// makes its ticket all the same.
//
// # Concurrency
//
// A Conversation has one owner. A Client is safe for concurrent use; from Run
// to its return it owns one goroutine per partition and one more.
package driver
