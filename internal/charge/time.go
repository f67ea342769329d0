package charge

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
)

// Time is a moment in UTC with the precision of a millisecond, counted from
// the Unix epoch. The zero value means "not set". It is an integer so that
// states holding it stay comparable and a database stores it as it is.
type Time int64

// MaxTime is the last moment accepted: the end of the year 9999.
const MaxTime Time = 253402300799999

const timeLayout = "2006-01-02T15:04:05.000Z"

// At converts from the standard library's time, truncated to milliseconds.
func At(t time.Time) Time { return Time(t.UnixMilli()) }

// ParseTime parses RFC 3339 in UTC, "2026-11-22T10:00:00.000Z". The fraction may
// have any length and is truncated to milliseconds. Years 1970 to 9999.
func ParseTime(s string) (Time, error) {
	if len(s) == 0 || s[len(s)-1] != 'Z' {
		return 0, fmt.Errorf("%q is not RFC 3339 in UTC; write it like %s", s, timeLayout)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return 0, fmt.Errorf("%q is not a time of the years 1970 to 9999; write it like %s", s, timeLayout)
	}
	return At(t), nil
}

// Std converts to the standard library's time, in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String returns RFC 3339 with milliseconds.
func (t Time) String() string { return string(t.append(make([]byte, 0, len(timeLayout)))) }

// append appends t as timeLayout has it. Package time formats only RFC 3339 without a
// fraction on a short path, and a time is written for each record that passes.
func (t Time) append(b []byte) []byte {
	at := t.Std()
	b = at.AppendFormat(b, time.RFC3339)
	ms := at.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// Add returns t+d, truncated to milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub returns t-u, at most the longest duration: 292 years.
func (t Time) Sub(u Time) time.Duration { return Milliseconds(int64(t - u)) }

// Milliseconds returns a duration of n ms, at most the longest one.
func Milliseconds(n int64) time.Duration {
	const most = int64(math.MaxInt64 / time.Millisecond)
	return time.Duration(min(max(n, -most), most)) * time.Millisecond
}

// MarshalText returns RFC 3339 with milliseconds; a time outside the years 1970 to
// 9999 is an error.
func (t Time) MarshalText() ([]byte, error) {
	if t < 0 || t > MaxTime {
		return nil, fmt.Errorf("time %d ms is outside the years 1970 to 9999", int64(t))
	}
	return t.append(nil), nil
}

// UnmarshalText calls ParseTime. Its error is a *json.UnmarshalTypeError, the only
// kind to which encoding/json adds the name of the field.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := ParseTime(string(b))
	if err != nil {
		return &json.UnmarshalTypeError{Value: fmt.Sprintf("%.40q", b), Type: reflect.TypeFor[Time]()}
	}
	*t = v
	return nil
}
