// Package recorder is the flight recorder of a charging point: the last hours of the
// inputs of its core (agent/point), in a ring of files, with a digest of what the
// core did, and what the control loop measured before each trip. Replay runs the same
// core and the same rules (agent/safety) over them, on any machine.
//
// The core is pure, so its inputs are enough: its state at the begin of a file, and
// each event behind it with its time and random number.
//
// # Files
//
// A ring is a folder of files NNNNNNNNNNNN.ring. The oldest are removed when all
// together exceed Capacity. Each line is a checksum (CRC-32, 8 hex digits), a space and
// a JSON object (line). A file begins with a head and with the state of the core, so
// that a replay can start at each of them. A boot begins a file, and so does a
// recorder that had to leave steps out.
//
// # Goroutines
//
// The core calls Boot and Step, and the control loop's Assist calls Trip. They never
// wait: when its queue is full a step or a trip is left out and counted. Run encodes
// and writes. It writes every FlushEvery, at once at a fault and a trip, and syncs only
// then. A disk that cannot be written costs records of the recorder, nothing else: it
// is retried every RetryEvery, and Trouble reports it.
package recorder
