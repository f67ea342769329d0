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
//	{"v":1,"op":"read","connector":1}
//	{"reading":{…},"at_ns":…}  or  {"error":"…","kind":"unreadable"}
//
// The ops are info, read, identity, plug, unplug, inject (with "fault"),
// repair and snapshot; after the reply the connection is closed. One
// connection per call means that a slow meter delays no other call.
//
// The op control keeps its connection. After the reply the agent sends
// commands of four bytes and the board sends a state every 10 ms:
//
//	command: op (C close, O open, A open all, K kick, P offer, W withdraw), connector, 0, 0
//	state:   'S', the board's monotonic time in ns (8 bytes), stop (1), and per
//	         connector: contact, pilot, trip (1 byte each)
//
// A byte of 255 is an input that could not be read. stop is 0 or 1; contact is
// hal.ContactState; pilot is the letter; trip is 0 or 1 + the place in
// charge.Faults.
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
// four bytes that waits for no reply. If a board is silent for half a second, the
// client closes the connection, which opens the contactors as soon as the board
// can act again, and dials until it answers.
//
// # Concurrency
//
// Serve owns one goroutine per connection and one more per control connection;
// it returns when they have ended. A Client owns one goroutine, from Dial to
// Close.
package board
