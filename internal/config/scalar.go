package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// isDuration reports whether a value is a time.Duration, which is decoded from
// text with a unit.
func isDuration(v reflect.Value) bool { return v.Type() == reflect.TypeFor[time.Duration]() }

// isScalar reports whether a type is decoded from one text.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map:
		return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	default:
		return true
	}
}

// wantOf describes the form of values of v's type.
func wantOf(v reflect.Value) string {
	switch {
	// Such a type explains its own errors; see setText.
	case isText(v):
		return "want a value of another form"
	case isDuration(v):
		return "want a duration with a unit, such as 250ms, 5s, 2m, 1h30m or 35d, not negative"
	}
	switch v.Kind() {
	case reflect.String:
		return "want a text"
	case reflect.Bool:
		return "want true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if bits := v.Type().Bits(); bits < 64 {
			return fmt.Sprintf("want a whole number from %d to %d", -1<<(bits-1), 1<<(bits-1)-1)
		}
		return "want a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if bits := v.Type().Bits(); bits < 64 {
			return fmt.Sprintf("want a whole number from 0 to %d", uint64(1)<<bits-1)
		}
		return "want a whole number from 0"
	case reflect.Float32, reflect.Float64:
		return "want a number"
	default:
		return "cannot be configured: unsupported type " + v.Type().String()
	}
}

// setText decodes text into v, or leaves v unchanged and returns a hint.
func setText(v reflect.Value, text string) (hint string, ok bool) {
	switch {
	case isText(v):
		// Into a new value: a type may change itself before it returns an error.
		fresh := reflect.New(v.Type())
		u, _ := fresh.Interface().(encoding.TextUnmarshaler)
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err.Error(), false
		}
		v.Set(fresh.Elem())
		return "", true
	case isDuration(v):
		d, err := parseDuration(text)
		// No setting has a use for a negative duration.
		if err != nil || d < 0 {
			return "", false
		}
		v.SetInt(int64(d))
		return "", true
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		// YAML 1.1 has more words for it (yes, on); they are refused.
		if text != "true" && text != "false" {
			return "", false
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || octal(text) {
			return "", false
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil || octal(text) {
			return "", false
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return "", false
		}
		v.SetFloat(n)
	default:
		return "", false
	}
	return "", true
}

// setList decodes scalars that are separated by commas into the list v. An empty
// text is an empty list.
func setList(v reflect.Value, text string) (hint string, ok bool) {
	list := reflect.Zero(v.Type())
	for item := range strings.SplitSeq(text, ",") {
		// SplitSeq returns one empty item for an empty text.
		if text == "" {
			break
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if hint, ok := setText(elem, strings.TrimSpace(item)); !ok {
			return hint, false
		}
		list = reflect.Append(list, elem)
	}
	v.Set(list)
	return "", true
}

// octal reports whether a number begins with a zero, which YAML 1.1 reads as
// octal and YAML 1.2 as decimal. A fault is better than a wrong guess.
func octal(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0'
}

// parseDuration parses Go's durations and whole days, such as 35d. A bare 0 is
// refused: it has no unit.
func parseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, strconv.ErrRange
		}
		return time.Duration(n) * day, nil
	}
	if text == "0" {
		return 0, strconv.ErrSyntax
	}
	return time.ParseDuration(text)
}
