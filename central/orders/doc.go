// Package orders compares what is wanted with what the records say, and orders
// until they agree: reservations and their assignment, sessions to start and to
// stop, availability, the drivers' protocol, and commands with their visible
// life.
//
// The package is pure. Step changes the *State it is given and returns effects
// in order; time and new ids come in with the event. State has one owner (the
// writer goroutine). Save… and Tell are rows of the transaction; SendCommand
// and Reply leave after its commit and may be lost: a command is written down,
// is said again, and ends by itself. If the transaction fails the owner throws
// the State away and loads it again.
//
// Guarantees, each checked by a property test: one active reservation per
// connector and at most N per driver; every reservation ends by itself at its
// expiry; every driver's request is answered within 5 s whatever charging
// points do; no command is sent at or past its end; what is wanted comes about
// when the charging point obeys; who was idle longest is asked first.
package orders
