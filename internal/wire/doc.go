// Package wire holds every message between Carga's programs as a Go type: journal
// records, commands, acknowledgements, presence, telemetry, heartbeats and the
// drivers' protocol. docs/PROTOCOL.md describes the same messages without Go, and
// testdata/ has a golden file of each.
//
// Decoding is strict about what this version knows, and forward-compatible about
// what it does not:
//
//   - An unknown field is ignored. An unknown type of record or command is kept with
//     its raw bytes.
//   - A wrong type, unit, range or time, a repeated key, trailing data, and a message
//     that is too deep or too large are refused with a *DecodeError that names the
//     field.
//
// Encoding validates by the same rules, so that no program writes what another one
// refuses.
//
// The rules live in the validate method of each message; they run after the
// structure of the JSON text was checked (scan.go). Records, of which there are by
// far the most, have a faster decoder for the usual form (plain.go), which tests
// compare with the general one.
//
// The package does no I/O and reads no clock. Its functions may be called
// concurrently.
package wire
