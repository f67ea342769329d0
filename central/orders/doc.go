// Package orders decides what Central commands. It compares the desired state
// with the state that the records report, and issues commands until they agree:
// reservations and their assignment, sessions to start and to stop, availability.
// It also serves the drivers' requests and the operator API.
//
// # Model
//
// A control loop. Reservations and Desired items are the desired state. The
// ledger holds the reported state. reconcile compares both for one charging point
// after each event that concerns it, and when a deadline passes. It issues a
// command for each difference, unless one for it is under way. A command is
// written to the database, sent until the charging point's record accepts it,
// and ends with the record of its result, or at its expiry. The desired state
// outlives its commands: after an expiry or a restart of the charging point
// reconcile issues a new command.
//
// A driver's request for a connector (AUTHORIZATION_REQUEST) is assigned to the
// connector that has been idle longest. Its charging point gets a RESERVE and
// ConfirmTimeout to confirm it; then the next one is tried, up to MaxTried. The
// request is answered when a charging point confirms, or after answerTimeout.
//
// # Purity and ownership
//
// The package does no I/O and reads no clock: time and new ids come in with each
// event. Step changes the *State it is given and returns effects in order. State
// has one owner (Central's writer goroutine). The Save… and PublishEvent effects
// are rows of the transaction; SendCommand and Reply are carried out after its
// commit and may be lost: a command is repeated and ends at its expiry, an operator
// repeats the request. If the transaction fails, the owner discards the State and
// loads it again.
//
// # Guarantees
//
// A property test checks each of them:
//
//   - One active reservation per connector, and at most Config.PerDriver per driver.
//   - Every reservation ends at its expiry, with or without its charging point.
//   - Every driver's request is answered within 5 s, whatever charging points do.
//   - No command is sent at or after its expiry.
//   - The desired state comes about once the charging point obeys.
//   - The connector that has been idle longest is tried first.
//
// # Several Centrals
//
// A Central that sees a message of a higher epoch is fenced: Step then issues no
// command, answers no request, and publishes no ticket until an operator lifts the
// fence. Requests it reads meanwhile are recorded, so that a repeat has no second
// effect.
package orders
