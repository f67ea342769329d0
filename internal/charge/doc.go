// Package charge is Carga's vocabulary: identifiers, units, statuses and stop
// reasons, as docs/GLOSSARY.md maps them to OCPP and IEC 61851.
//
// Everything here is a value. The package is pure: it does no I/O, reads no
// clock, draws no random numbers and starts no goroutine, so the state
// machines, the simulation and the message contracts can all build on it.
//
// Quantities are integers in the unit their type names. Energy is always a
// cumulative register in watt-hours, never a delta: what a session used is the
// difference of two registers.
package charge
