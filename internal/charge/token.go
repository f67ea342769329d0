package charge

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
)

// IDToken is the identity a card or an app shows at the charging point. It is
// personal data: printing or logging it shows a mark in its place, and it is
// stored and sent as its Hash alone.
type IDToken string

const redacted = "(token)"

// LogValue keeps the token out of logs.
func (IDToken) LogValue() slog.Value { return slog.StringValue(redacted) }

// String keeps the token out of formatted text.
func (IDToken) String() string { return redacted }

// Hash returns the hash that names the token. For a card the token is its UID in
// upper-case hexadecimal digits.
func (t IDToken) Hash() TokenHash {
	sum := sha256.Sum256([]byte(t))
	return TokenHash(hex.EncodeToString(sum[:]))
}

// TokenHash names a card: the lower-case hex SHA-256 of its token. It keeps the
// token out of disks and messages, and cannot protect it from a search of all
// UIDs; so it is kept out of logs too.
type TokenHash string

// Valid reports whether h has the form of a hash.
func (h TokenHash) Valid() bool {
	if len(h) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(h) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// LogValue keeps the hash out of logs.
func (TokenHash) LogValue() slog.Value { return slog.StringValue(redacted) }

// String keeps the hash out of formatted text; only encoding uses string(h).
func (TokenHash) String() string { return redacted }
