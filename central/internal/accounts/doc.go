// Package accounts finds the principal of a request: it signs in, checks cookies and
// tokens, and changes accounts and tokens.
//
// The database is the one owner of accounts, log-ins and tokens: every request reads
// them there, and every change is read, decided and written in one transaction. So
// the command line may change them while Central runs, and a disabled account or a
// revoked token is refused by the next request. In memory are only the rate limits,
// the code of the first start, and the key of the demo.
//
// Each change writes its entry of the audit log in its own transaction. The entries
// of orders are written by package ingest, in the transactions of their effects.
//
// # Secrets
//
// A password is stored as argon2id hash (19 MiB, 2 passes, 1 lane, the minimum of
// OWASP). At most two are computed at once; an unknown name costs as much as a known
// one. The secrets of log-ins and tokens are 256 random bits, so their SHA-256 is
// enough.
//
// # Concurrency
//
// A Keeper has no goroutine. Its methods may be called concurrently.
package accounts
