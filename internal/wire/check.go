package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// message is implemented by every type that decode can read.
type message interface {
	validate(c *check)
}

// decode decodes one message strictly into v. kind names it in errors; prefix
// precedes field names, as in "data.".
func decode(kind, prefix string, raw []byte, v message) error {
	if len(raw) > MaxMessage {
		return &DecodeError{kind, prefix, tooLarge(len(raw), MaxMessage)}
	}
	keys, odd, serr := scanObject(raw)
	if serr != nil {
		return &DecodeError{kind, join(prefix, serr.field), serr.wrong}
	}
	if err := json.Unmarshal(hideOddKeys(raw, odd, depthOf(v)), v); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return &DecodeError{kind, join(prefix, te.Field), mismatch(te)}
		}
		return &DecodeError{kind, prefix, reason.Wrong{Code: reason.JSONMalformed}} // the scan refuses it before
	}
	c := &check{kind: kind, prefix: prefix, keys: keys}
	v.validate(c)
	if c.err != nil {
		return c.err
	}
	return nil
}

// depthOf returns how deep decode interprets a message itself. What lies deeper
// is kept as it is, and decoded by a decode of its own.
func depthOf(v message) int {
	switch v.(type) {
	case *Record, *Command, *CommandAccepted:
		return 1
	}
	return maxDepth
}

// encode validates v, encodes it, and refuses it if it is too large.
func encode(kind string, v message) ([]byte, error) {
	c := &check{kind: kind, all: true}
	v.validate(c)
	if c.err != nil {
		return nil, c.err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if len(raw) > MaxMessage {
		return nil, &DecodeError{kind, "", tooLarge(len(raw), MaxMessage)}
	}
	return raw, nil
}

// join composes the path of a field.
func join(prefix, field string) string {
	switch {
	case prefix == "":
		return field
	case field == "":
		return prefix
	}
	return prefix + "." + field
}

// check collects the first fault of a message.
type check struct {
	kind, prefix string
	keys         []string // the non-null keys of the top-level object
	all          bool     // every field is present, as in encoding
	err          *DecodeError
}

// fail records a fault, unless there is one already.
func (c *check) fail(field string, w reason.Wrong) {
	if c.err == nil {
		c.err = &DecodeError{c.kind, join(c.prefix, field), w}
	}
}

// nested records the fault of a message that stands in a field of this one.
func (c *check) nested(field string, err error) {
	if e, ok := errors.AsType[*DecodeError](err); ok {
		c.fail(join(field, e.Field), e.Wrong)
	}
}

// require demands that the top-level fields are present and not null.
func (c *check) require(fields ...string) {
	if c.all {
		return
	}
	for _, f := range fields {
		if !slices.Contains(c.keys, f) {
			c.fail(f, reason.Wrong{Code: reason.FieldMissing})
		}
	}
}

// requireOr is require for one field, with a reason of its own.
func (c *check) requireOr(field string, code reason.Code) {
	if !c.all && !slices.Contains(c.keys, field) {
		c.fail(field, reason.Wrong{Code: code})
	}
}

// version demands a version of messages.
func (c *check) version(v int) {
	c.require("v")
	if v < 1 {
		c.fail("v", reason.Wrong{Code: reason.FieldVersion, Value: strconv.Itoa(v)})
	}
}

// id demands an identifier.
func (c *check) id(field, v string) {
	if !charge.ValidID(v) {
		c.fail(field, notID(v))
	}
}

func (c *check) optionalID(field, v string) {
	if v != "" {
		c.id(field, v)
	}
}

// epoch demands that there is an epoch. Its form was checked by its decoding.
func (c *check) epoch(field string, v charge.Epoch) {
	if _, err := charge.ParseEpoch(v.String()); err != nil {
		c.fail(field, notEpoch(quoted(v.String())))
	}
}

// name demands a name, such as that of a driver.
func (c *check) name(field, v string) {
	if !charge.ValidName(v) {
		c.fail(field, reason.Wrong{Code: reason.NotName, Value: quoted(v), Last: charge.MaxNameLength})
	}
}

func (c *check) optionalUsername(v charge.Username) {
	if v != "" {
		c.name("username", string(v))
	}
}

// within demands a number within a range.
func (c *check) within(field string, v, lo, hi int64) {
	if v < lo || v > hi {
		c.fail(field, reason.Wrong{Code: reason.FieldRange, Value: strconv.FormatInt(v, 10), First: lo, Last: hi})
	}
}

// register demands a reading that a meter can have.
func (c *check) register(field string, v charge.WattHours) {
	c.within(field, int64(v), 0, int64(charge.MaxRegister))
}

func (c *check) connector(v charge.ConnectorID, least charge.ConnectorID) {
	c.within("connector", int64(v), int64(least), charge.MaxConnectors)
}

// time demands a moment that RFC 3339 can express.
func (c *check) time(field string, v charge.Time) {
	if v < 0 || v > charge.MaxTime {
		c.fail(field, reason.Wrong{Code: reason.NotTime, Value: strconv.FormatInt(int64(v), 10)})
	}
}

// text demands a text of at most so many bytes.
func (c *check) text(field, v string, most int) {
	if len(v) > most {
		c.fail(field, tooLarge(len(v), most))
	}
}

// reason bounds the texts of a reason. A code may be of a later version.
func (c *check) reason(field string, r reason.Reason) {
	for _, v := range []string{
		string(r.Code), r.Part, r.Bridge, r.Address, r.Topic, r.Central, r.Journal, r.Session, r.Other, r.Driver, r.Fault, r.Since, string(r.Cause), r.Detail, r.Note,
		r.Message, r.Field, r.Value, r.Allowed,
	} {
		c.text(field, v, maxReason)
	}
}

// oneOf demands one of a closed list.
func (c *check) oneOf(field, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		c.fail(field, unknown(v, allowed))
	}
}

// entries demands a list of so many entries.
func (c *check) entries(field string, n, least, most int) {
	if n < least || n > most {
		c.fail(field, reason.Wrong{Code: reason.FieldEntries, Value: strconv.Itoa(n), First: int64(least), Last: int64(most)})
	}
}

// typeName demands the name of a type of messages.
func (c *check) typeName(field, v string) {
	if v == "" || len(v) > maxType {
		c.fail(field, reason.Wrong{Code: reason.FieldBytes, Value: strconv.Itoa(len(v)), First: 1, Last: maxType})
	}
}
