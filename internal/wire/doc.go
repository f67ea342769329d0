// Package wire holds every message between Carga's parts as a Go type: journal
// records, commands, acknowledgements, presence, telemetry, signs of life and
// the drivers' protocol. docs/PROTOCOL.md describes them for somebody who has
// no Go at hand; testdata/ has one golden message of each.
//
// Decoding is strict about what it knows and forward-compatible about what it
// does not: an unknown field is ignored, an unknown record or command type is
// kept with its raw bytes; a wrong type, unit, range or time, a duplicate key,
// trailing data, too deep or too large a message is refused with a
// *DecodeError that names the field. Nothing here does I/O or reads a clock.
package wire
