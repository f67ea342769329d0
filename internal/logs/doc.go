// Package logs makes the logger of every program, with the fixed set of keys
// that log lines have.
//
// A line is logged for each transition (connected, lost, blocked), never for
// each message or tick, so that logs stay readable and small for years. Keys
// lists all keys with their meaning; the attributes of the common ones have
// constructors, so that a charging point is cp_id everywhere.
//
// The package keeps no global state and starts no goroutine: main makes the
// logger and passes it on.
package logs
