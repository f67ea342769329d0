// Package board puts a simulated charging point into a process of its own, so
// that contactor, register and vehicle outlive the agent as real ones do.
// Serve offers it on a socket; Dial is the agent's side, a hal.Board; Simulator
// and Inspect are for tests and tools, beside the agent or without one.
//
// # Protocol
//
// Numbers are big-endian. Each connection begins with one request, a JSON
// object behind its length in four bytes (at most 64 KiB), and one reply of
// the same form (at most 64 MiB, for a long trace):
//
//	{"v":2,"op":"read","connector":1}
//	{"reading":{…},"at_ns":…}  or  {"error":"…","kind":"unreadable"}
//
// The ops are info, read, identity, plug, unplug, inject (with "fault"), break
// (with "defect"), repair, present (with "uid"), press, ambient, self_test,
// reset_trip, clock, set_clock and snapshot; after the reply the connection is
// closed. One connection per call means that a slow meter delays no other call.
// A side of another version is refused, and Dial returns that as ErrRefused.
//
// The op control keeps its connection. After the reply the agent sends
// commands of eight bytes, and the board sends a state every 10 ms and each card
// and press as it comes:
//
//	command: op, connector, 0, 0, value (4 bytes); the ops are C close, O open,
//	         P offer, W withdraw, I limit the current to value mA, L lock,
//	         U unlock, D show light value; without a connector A open all,
//	         K kick the keeper, G kick and H disarm the watchdog
//	state:   'S', the board's monotonic time in ns (8 bytes), stop, reader, and
//	         per connector: contact, pilot, trip, lock, cable (1 byte each), and
//	         the temperature in m°C (4 bytes)
//	card:    'T', time (8), the length of the identifier and the identifier
//	press:   'B', time (8), connector
//
// A byte of 255, and a temperature of -2³¹, is an input that could not be read.
// stop is 0 or 1; reader is 0; contact is hal.ContactState; pilot is the letter;
// trip is 0 or 1 + the place in charge.Faults; lock is hal.LockState; cable is in
// amperes.
//
// # When contactors open
//
// There is one control connection; a second one is refused while the first
// is open. The board opens all contactors when a control connection begins and
// when it ends, and its keeper does when no kick comes for its timeout. So the
// contactors of a killed agent are open after the contact's own delay, those of a
// hung one after the keeper's timeout and that delay.
//
// The agent's side never waits for the board to read an input: it answers
// from the last state, with the stamp of its measurement, and once that is
// older than hal.MaxSafetyAge with hal.ErrUnreadable. Opening is one write of
// eight bytes that waits for no reply. If a board is silent for half a second, the
// client closes the connection, which opens the contactors as soon as the board
// can act again, and dials until it answers.
//
// # Concurrency
//
// Serve owns one goroutine per connection and one more per control connection;
// it returns when they have ended. A Client owns one goroutine, from Dial to
// Close.
package board
