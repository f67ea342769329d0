// Package schema makes a JSON Schema of each message from its Go type in
// internal/wire. Structure and ranges come from the types; whether a field is
// required is found by decoding the example without it. So a schema cannot
// contradict the decoder; tests compare the two at every limit.
//
// A schema does not contain every rule. Only the decoder checks what depends on two
// fields (a final register below the first one), the size of a message, repeated
// keys, and lengths in bytes. Unknown fields are allowed, because messages are
// extended by optional fields.
//
// docs/schema is generated from this package; a test compares the files with it.
package schema

//go:generate go run ./generate ../wire/testdata ../../docs/schema
