package charge

import "log/slog"

// IDToken is the identity a card or an app shows at the charging point. It is
// personal data: printing or logging it shows a mark in its place; only
// encoding a message uses string(token).
type IDToken string

const redacted = "(token)"

// LogValue keeps the token out of logs.
func (IDToken) LogValue() slog.Value { return slog.StringValue(redacted) }

// String keeps the token out of formatted text.
func (IDToken) String() string { return redacted }
