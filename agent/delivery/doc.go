// Package delivery decides what an agent sends to Central, and what its
// acknowledgements and commands mean. It is pure: time and random values come in
// with the events, the core of the charging point (agent/point) passes the effects
// on in their order.
//
// # Sending
//
// State sends the journal's records in the order of writing until Central
// acknowledges them. At most MaxWindow are in flight beyond the position, which
// is the last acknowledged record. A PUBACK is a hint and moves nothing. Without
// progress the first unacknowledged record is sent alone, as a probe; progress
// lets the window grow again.
//
// # Acknowledgements
//
// An acknowledgement carries the epoch of its Central, and Step follows the table
// in docs/PROTOCOL.md: a lower epoch is ignored, the same one moves the position
// forward only, a higher one sets it, backward or forward, because that Central
// may have been restored from a backup.
//
// # Commands
//
// Commands decides each command once: it must be for this boot, in order, not
// expired, and not for a session or reservation that has ended. It forgets no id
// that could still be executed.
//
// # Presence
//
// PresenceSchedule decides when the presence must be published again.
//
// Nothing here is safe for concurrent use; every value has one owner. No value
// shares memory with the caller that could be changed through it.
package delivery
