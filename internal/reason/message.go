package reason

import (
	"strconv"
	"strings"
)

// What is wrong with a message: with its text, or with the field that stands beside
// the code.
const (
	MessageEmpty   Code = "message_empty"
	JSONNotUTF8    Code = "json_not_utf8"
	JSONNoObject   Code = "json_no_object"
	JSONTrailing   Code = "json_trailing"
	JSONMalformed  Code = "json_malformed"
	JSONTooDeep    Code = "json_too_deep"
	FieldTwice     Code = "field_twice"
	FieldMissing   Code = "field_missing"
	FieldBytes     Code = "field_bytes"
	FieldEntries   Code = "field_entries"
	FieldRange     Code = "field_range"
	FieldVersion   Code = "field_version"
	FieldUnknown   Code = "field_unknown"
	NotText        Code = "not_text"
	NotBool        Code = "not_bool"
	NotWhole       Code = "not_whole"
	NotNatural     Code = "not_natural"
	NotList        Code = "not_list"
	NotObject      Code = "not_object"
	NotExpected    Code = "not_expected"
	NotID          Code = "not_id"
	NotName        Code = "not_name"
	NotHex         Code = "not_hex"
	NotEpoch       Code = "not_epoch"
	NotTime        Code = "not_time"
	NotSeconds     Code = "not_seconds"
	NotKWh         Code = "not_kwh"
	NotAmount      Code = "not_amount"
	SecondsUnit    Code = "seconds_unit"
	SecondsMissing Code = "seconds_missing"
	LifeTooLong    Code = "life_too_long"
	SeqAlone       Code = "seq_without_journal"
	EndBeforeStart Code = "end_before_start"
	BelowStart     Code = "register_below_start"
	TokenMissing   Code = "token_missing"
	AfterNull      Code = "after_null"
	AfterAlone     Code = "after_without_prev"
	AfterItself    Code = "after_itself"
	LimitEnergy    Code = "limit_kwh"
	LimitAmount    Code = "limit_cost"
	LimitElsewhere Code = "limit_elsewhere"
	TopicOther     Code = "topic_other"
	TopicKind      Code = "topic_kind"
)

// messageTexts are the texts of these codes. They stand apart from the others because
// agents have them too, for the messages that they refuse, and nothing else of them.
//
//nolint:gochecknoglobals // a table of constants
var messageTexts = map[Code]string{
	MessageEmpty:   "is empty",
	JSONNotUTF8:    "is not valid UTF-8",
	JSONNoObject:   "is not a JSON object",
	JSONTrailing:   "has data behind its end, at byte {first}",
	JSONMalformed:  "is cut off or malformed at byte {first}",
	JSONTooDeep:    "is nested more than {last} deep",
	FieldTwice:     "appears twice",
	FieldMissing:   "is missing",
	FieldBytes:     "has {value} bytes; {first} to {last} are allowed",
	FieldEntries:   "has {value} entries; {first} to {last} are allowed",
	FieldRange:     "{value} is out of range; {first} to {last} are allowed",
	FieldVersion:   "{value} is not a version; versions count from 1",
	FieldUnknown:   "{value} is unknown; one of these is expected: {allowed}",
	NotText:        "is not a text",
	NotBool:        "is neither true nor false",
	NotWhole:       "is not a whole number",
	NotNatural:     "is not a whole number from 0",
	NotList:        "is not a list",
	NotObject:      "is not an object",
	NotExpected:    "is of another kind than expected",
	NotID:          "{value} is not an id; use 1 to {last} of [A-Za-z0-9_-]",
	NotName:        "{value} is not a name; use 1 to {last} bytes without control characters",
	NotHex:         "is not {last} lower-case hex digits",
	NotEpoch:       "{value} is not an epoch; write a number from 1 to {last}, a hyphen and 16 lower-case hex digits",
	NotTime:        "{value} is not a time in UTC of the years 1970 to 9999; write it like 2026-11-22T10:00:00.000Z",
	NotSeconds:     "{value} is no moment; use seconds since 1970 with a fraction, such as 1795984071.695",
	NotKWh:         "{value} is no decimal; use a decimal number of kWh, such as 12.5",
	NotAmount:      "{value} is no decimal; use a decimal number in the main unit of the currency, such as 5.00",
	SecondsUnit:    "{value} looks like {allowed}; use seconds since 1970 with a fraction, such as 1795984071.695",
	SecondsMissing: "is missing; use seconds since 1970 with a fraction, such as 1795984071.695",
	LifeTooLong:    "is {value} after sent_at; at most {allowed} are allowed",
	SeqAlone:       "is {value} without a journal; 0 is expected",
	EndBeforeStart: "{value} is below first, {allowed}; 0 means to the end of the journal",
	BelowStart:     "{value} is below register_start_wh {allowed}; a register never goes back",
	TokenMissing:   "is missing, and id_token is not a token of 1 to {last} bytes without control characters",
	AfterNull:      "is null, and prev is the hash of a record; one of them is wrong",
	AfterAlone:     "names a record, and prev is empty; one of them is wrong",
	AfterItself:    "names a record of this journal; a journal follows another one",
	LimitEnergy:    "{value} is no limit; use 0.001 to {last}, or leave it out",
	LimitAmount:    "{value} is no limit; use an amount above 0, or leave it out",
	LimitElsewhere: "belongs to charging_started, which begins the session; leave it out here",
	TopicOther:     "{value} is not below {allowed}",
	TopicKind:      "{value} is of no known kind",
}

// Wrong is what is wrong with a message or with one of its fields: a code of those in
// this file, and the values that its text names.
type Wrong struct {
	Code    Code
	Value   string // what is there; a text is in quotation marks
	Allowed string // what may be there
	First   int64  // the first of a range that is allowed, or a byte, counted from 1
	Last    int64  // the last of that range
}

// String returns the text in English.
func (w Wrong) String() string {
	text := messageTexts[w.Code]
	for _, v := range [...]struct{ name, value string }{
		{"{first}", strconv.FormatInt(w.First, 10)}, {"{last}", strconv.FormatInt(w.Last, 10)}, {"{allowed}", w.Allowed}, {"{value}", w.Value},
	} {
		if before, after, ok := strings.Cut(text, v.name); ok {
			text = before + v.value + after
		}
	}
	return text
}

// OfMessage returns the reason of what is wrong with a field of a message. field is ""
// for the message as a whole.
func OfMessage(message, field string, w Wrong) Reason {
	return Reason{
		Code: w.Code, Message: message, Field: field, Value: w.Value, Allowed: w.Allowed, First: w.First, Last: w.Last,
	}
}
