package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// What is wrong with a message is a code, with its field, what is there and what is
// allowed as values.
func TestWhatIsWrong(t *testing.T) {
	const most = 1 << 53
	for _, c := range []struct {
		was, is string // in a good record
		want    reason.Reason
	}{
		{good, "[]", reason.Reason{Code: reason.JSONNoObject}},
		{good, good + "x", reason.Reason{Code: reason.JSONTrailing, First: int64(len(good) + 1)}},
		{good, good[:20], reason.Reason{Code: reason.JSONMalformed, Field: "cp_id", First: 21}},
		{"CP_001", "CP\xff", reason.Reason{Code: reason.JSONNotUTF8}},
		{`"seq":2`, `"seq":2,"seq":3`, reason.Reason{Code: reason.FieldTwice, Field: "seq"}},
		{`"seq":2,`, ``, reason.Reason{Code: reason.FieldMissing, Field: "seq"}},
		{`"seq":2`, `"seq":0`, reason.Reason{Code: reason.FieldRange, Field: "seq", Value: "0", First: 1, Last: most}},
		{`"seq":2`, `"seq":"2"`, reason.Reason{Code: reason.NotNatural, Field: "seq"}},
		{`"v":1`, `"v":-1`, reason.Reason{Code: reason.FieldVersion, Field: "v", Value: "-1"}},
		{`CP_001`, `+`, reason.Reason{Code: reason.NotID, Field: "cp_id", Value: `"+"`, Last: 36}},
		{`"prev":""`, `"prev":"XYZ"`, reason.Reason{Code: reason.NotHex, Field: "prev", Last: 64}},
		{`synced`, `ntp`, reason.Reason{Code: reason.FieldUnknown, Field: "clock", Value: `"ntp"`, Allowed: "synced, set, unset"}},
		{`2026-11-22T10:00:00.000Z`, `yesterday`, reason.Reason{Code: reason.NotTime, Field: "at", Value: `"yesterday"`}},
		{`"2026-11-22T10:00:00.000Z"`, `5`, reason.Reason{Code: reason.NotTime, Field: "at", Value: "…"}},
		{`"meter_read"`, `""`, reason.Reason{Code: reason.FieldBytes, Field: "type", Value: "0", First: 1, Last: 64}},
	} {
		_, err := wire.DecodeRecord([]byte(strings.Replace(good, c.was, c.is, 1)))
		if err == nil {
			t.Fatalf("%s for %s is accepted", c.is, c.was)
		}
		c.want.Message = "record"
		if got := wire.Why(err); got != c.want {
			t.Errorf("%s for %s: got %+v, want %+v", c.is, c.was, got, c.want)
		}
	}
	if got := wire.Why(errors.New("of another package")); got != reason.Words("of another package") {
		t.Errorf("got %+v", got)
	}
}

// The reason of a dead letter is read as it was written. Older programs write the text
// alone, later ones may have other codes, and any program can write anything.
func TestReasonOfADeadLetter(t *testing.T) {
	long := reason.Reason{Code: reason.NotID, Message: "record", Field: strings.Repeat("f", 200), Value: strings.Repeat("v", 1000), Last: 36}
	cut := long
	cut.Value = cut.Value[:256]
	words := reason.Words("in words")
	for why, want := range map[string]reason.Reason{
		wire.EncodeWhy(reason.Reason{Code: reason.Retained}): {Code: reason.Retained},
		wire.EncodeWhy(long):                cut,
		"":                                  words,
		"{}":                                words,
		"[1]":                               words,
		`{"code":"of_2031"}`:                words,
		`{"code":"retained","cause":"x"}`:   words,
		`{"code":"retained","first":"one"}`: words,
	} {
		if got := wire.DecodeWhy([]byte(why), "in words"); got != want {
			t.Errorf("%.80s: got %+v, want %+v", why, got, want)
		}
	}
}
