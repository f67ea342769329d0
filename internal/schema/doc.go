// Package schema makes a JSON Schema of each message from its Go type in
// internal/wire: structure and ranges from the types, which fields must be
// there by asking the decoder. So a schema cannot say otherwise than the
// decoder does; tests compare the two at every limit.
//
// A schema does not say everything. What depends on two fields (a register at
// the end below the one at the start), the size of a message, repeated keys and
// lengths counted in bytes are the decoder's alone. Fields that are not named
// are allowed: messages are extended by optional fields.
package schema

//go:generate go run ./generate ../wire/testdata ../../docs/schema
