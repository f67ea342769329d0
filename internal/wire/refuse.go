package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// DecodeError is why a message was refused, and where.
type DecodeError struct {
	Message string       // the kind of message, as in "record" or "command"
	Field   string       // the path of the field, as in "data.register_wh"; empty for the message as a whole
	Wrong   reason.Wrong // what is wrong and what would be right
}

// Error names message, field and reason.
func (e *DecodeError) Error() string {
	if e.Field == "" {
		return e.Message + ": " + e.Wrong.String()
	}
	return e.Message + ": field " + e.Field + ": " + e.Wrong.String()
}

// Why returns the reason of an error of this package, and of any other error its text.
func Why(err error) reason.Reason {
	if e, ok := errors.AsType[*DecodeError](err); ok {
		return reason.OfMessage(e.Message, Cut(e.Field, maxField), e.Wrong)
	}
	return reason.Words(err.Error())
}

// NotCPID returns the reason of a text that is no cp_id; message names where it stands.
func NotCPID(message, text string) reason.Reason {
	return reason.OfMessage(message, "cp_id", notID(text))
}

// EncodeWhy returns a reason as the value of HeaderWhy.
func EncodeWhy(r reason.Reason) string {
	raw, err := json.Marshal(cutReason(r))
	if err != nil { // texts and numbers alone
		panic(err)
	}
	return string(raw)
}

// DecodeWhy returns the reason of a dead letter from the values of HeaderWhy and
// HeaderReason: older programs write the second one alone, and the first one may have a
// code of a later version.
func DecodeWhy(why []byte, text string) reason.Reason {
	var r reason.Reason
	if json.Unmarshal(why, &r) != nil {
		return reason.Words(text)
	}
	return cutReason(r).Or(text)
}

// maxField bounds the path of a field in a reason: the keys of a message that is refused
// can be of any length.
const maxField = 120

// quoted returns the beginning of a text that stands in a message.
func quoted[S ~string](s S) string { return fmt.Sprintf("%.40q", string(s)) }

// notID is what is wrong with a text that is no id.
func notID[S ~string](s S) reason.Wrong {
	return reason.Wrong{Code: reason.NotID, Value: quoted(s), Last: charge.MaxIDLength}
}

// notEpoch is what is wrong with a value that is no epoch.
func notEpoch(value string) reason.Wrong {
	return reason.Wrong{Code: reason.NotEpoch, Value: value, Last: charge.MaxEpochNumber}
}

// tooLarge is what is wrong with a text of n bytes of which at most so many are allowed.
func tooLarge(n, most int) reason.Wrong {
	return reason.Wrong{Code: reason.FieldBytes, Value: strconv.Itoa(n), Last: int64(most)}
}

// unknown is what is wrong with a value that is not one of those allowed.
func unknown[S, A ~string](v S, allowed []A) reason.Wrong {
	var b strings.Builder
	for i, a := range allowed {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(a))
	}
	return reason.Wrong{Code: reason.FieldUnknown, Value: quoted(v), Allowed: b.String()}
}

// notHex is what is wrong with a text that is not so many hex digits.
func notHex(digits int) reason.Wrong { return reason.Wrong{Code: reason.NotHex, Last: int64(digits)} }
