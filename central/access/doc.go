// Package access is the vocabulary of access to Central's page and API, and its
// rules: roles and their permissions, accounts, log-ins, tokens and entries of the
// audit log.
//
// It has no I/O and no clock. The database keeps the values (central/internal/store),
// central/internal/accounts finds the principal of a request with them, and
// central/internal/web asks for a permission before each operation.
package access
