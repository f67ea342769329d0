// Package view holds what Central shows: the present state of the network, and
// the items of the lists. Package ingest fills the first and package store the
// second; package web serves both as they are.
//
// The JSON names of the types are the API: its description is generated from
// them. A name or a field is never removed or given another meaning.
//
// The package is pure. Functions that end in Of show a value of package ledger or
// orders; nothing else converts between the two.
package view
