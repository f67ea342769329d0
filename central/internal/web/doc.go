// Package web is Central's HTTP server: the JSON API under /api/v1, the live
// stream of server-sent events, and the operator's page.
//
// It owns no state of the network. central/app gives it three interfaces:
//
//   - Live is the present state, in memory;
//   - Archive reads history from the database;
//   - Orders executes what an operator orders.
//
// An answer of 202 means that the order is committed to the database, not that a
// charging point has obeyed. Each command that follows from it has a state under
// /api/v1/commands/{id}. The OpenAPI description under /api/v1/openapi.json is
// generated from the types of this package.
//
// # The page
//
// The web page is built from ui/src by Vite and embedded from ui/dist. Each view has
// an address of its own, at which its index.html is served. Its API's types come from
// docs/openapi.json, which a test compares with what is served.
//
// # A request
//
// A request passes these handlers in order; each may refuse it with a problem
// (RFC 9457, see kinds):
//
//  1. guard sets headers and checks host, scheme, method and query;
//  2. cross-origin protection refuses requests that a page of another origin made;
//  3. identify finds the account or token of the request, see Accounts;
//  4. readBody reads the whole body, within a limit of size and time;
//  5. withIdempotency reads the Idempotency-Key and takes a fingerprint;
//  6. authorise asks for the permission of the operation, see permissions;
//  7. the operation itself, which validates against its schema.
//
// # Access
//
// permissions is the one table of what an operation needs; what is not in it is
// refused. A driver is limited to its own items by Query.Owner and the owner that
// methods of Archive receive, which the database checks. Without Config.Accounts
// every request acts for one operator: central/app allows that on loopback alone.
//
// The server accepts only loopback names in the Host header, those of its
// certificate, and Config.PublicURL; a name server of an attacker can then not make a
// browser send requests here under another name.
//
// # Concurrency
//
// A Server serves any number of requests at once. The stream has one goroutine,
// which makes frames, and one per open page, which writes them; see hub.
package web
