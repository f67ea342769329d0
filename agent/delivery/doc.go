// Package delivery decides what an agent sends to Central and what it does
// with what Central says. It is pure: time and random values come in with the
// events, the shell performs the effects in their order.
//
// # Sending
//
// State says the journal's records in the order of writing until Central
// confirms them: at most MaxWindow beyond the position, which is what Central
// acknowledged last. A PUBACK is a hint and moves nothing. Without progress for
// a while the first unacknowledged record is said alone, as a probe; progress
// lets the window grow again.
//
// # Acknowledgements
//
// An acknowledgement carries the epoch of the Central that gave it, and
// Step follows the table of docs/PROTOCOL.md: a lower epoch is nothing,
// the same one moves the position forward only, a higher one puts it where it
// says, back or forth, because that Central may have come from a backup.
//
// # Commands
//
// Commands judges each command once: for this boot, in order, fresh, and not
// for something that has already ended. It forgets no id that could still run.
//
// # Presence
//
// PresenceSaid tells when the presence must be said again.
//
// Nothing here is safe for concurrent use; every value has one owner. No value
// shares memory with the caller that could be changed through it.
package delivery
