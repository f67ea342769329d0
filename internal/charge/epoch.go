package charge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// MaxEpochNumber is the highest number an Epoch can have.
const MaxEpochNumber = 1_000_000_000_000

// epochRun is the number of digits of Run in a numbered epoch.
const epochRun = 16

// Epoch names one run of Central and ranks it among all others: by Number, then by
// Run as text. A restart gets a higher number from its database. No clock is part
// of it, so a wrong one cannot change the rank.
//
// In text it is "<number>-<run>", such as "12-7f3a9c01d2e4b6a8". An earlier
// version used a UUIDv7: that is an epoch of the number 0 whose run is the UUID,
// so each numbered epoch is above all of them, whatever date they carry.
//
// It is a struct so that the compiler refuses "<" and max, which would compare
// "9-…" above "10-…". The zero value is below all others and means none.
type Epoch struct {
	Number uint64 // 1 to MaxEpochNumber; 0: of an earlier version, or none
	Run    string // one start of Central: 16 random hex digits, or a UUIDv7
}

// ParseEpoch parses the text of an epoch.
func ParseEpoch(s string) (Epoch, error) {
	if isUUIDv7(s) {
		return Epoch{Run: s}, nil
	}
	number, run, ok := strings.Cut(s, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || n < 1 || n > MaxEpochNumber || number[0] == '0' || number[0] == '+' || len(run) != epochRun || !isHex(run) {
		return Epoch{}, fmt.Errorf("%.40q is not an epoch; write a number from 1 to %d, a hyphen and %d lower-case hex digits", s, uint64(MaxEpochNumber), epochRun)
	}
	return Epoch{n, run}, nil
}

// IsZero reports whether e is no epoch.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// Compare returns a negative number if e ranks below o, a positive one if above.
func (e Epoch) Compare(o Epoch) int {
	return cmp.Or(cmp.Compare(e.Number, o.Number), cmp.Compare(e.Run, o.Run))
}

// Less reports whether e ranks below o.
func (e Epoch) Less(o Epoch) bool { return e.Compare(o) < 0 }

// Highest returns the epoch that ranks highest; the zero Epoch if there is none.
func Highest(all ...Epoch) (best Epoch) {
	for _, e := range all {
		if best.Less(e) {
			best = e
		}
	}
	return best
}

// String returns the text of the epoch; "" for none.
func (e Epoch) String() string {
	if e.Number == 0 {
		return e.Run
	}
	return strconv.FormatUint(e.Number, 10) + "-" + e.Run
}

// MarshalText returns the text of the epoch, empty for the zero value. An epoch
// that ParseEpoch would refuse is an error.
func (e Epoch) MarshalText() ([]byte, error) {
	s := e.String()
	if e.IsZero() {
		return nil, nil
	}
	if _, err := ParseEpoch(s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// UnmarshalText parses the text of an epoch; an empty one is the zero value. Its
// error is a *json.UnmarshalTypeError, the only kind to which encoding/json adds
// the name of the field.
func (e *Epoch) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*e = Epoch{}
		return nil
	}
	v, err := ParseEpoch(string(b))
	if err != nil {
		return &json.UnmarshalTypeError{Value: fmt.Sprintf("%.40q", b), Type: reflect.TypeFor[Epoch]()}
	}
	*e = v
	return nil
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isUUIDv7(s string) bool {
	return len(s) == MaxIDLength && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:]) &&
		s[14] == '7' && strings.IndexByte("89ab", s[19]) >= 0
}
