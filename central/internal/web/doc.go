// Package web is Central's face: the JSON API under /api/v1, the live stream
// and the operator's page.
//
// It owns no state of the network. What it shows comes from a Live and an
// Archive, what it is told to do goes to a Desk; central/app passes them in. An
// answer of 202 means that the order is in the database, not that a charging
// point has obeyed: its life can be followed under /api/v1/commands/{id}.
//
// There are no accounts yet, so Server refuses to be reached from other
// machines: it accepts loopback addresses in the Host header only, unless it is
// told to be insecure, and no request that another site's page made.
package web
