// Package reason has why something in the network is as it is: a code of a closed
// list with its values, for programs and for pages in any language, and a text in
// English, for logs and command lines. It decides nothing.
package reason

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Reason is why a part is down, an alarm was raised, or records are missing. Only
// the fields that the text of its code names are set, and those that stand in every
// text: Part and Bridge before it, Cause, Detail, More and Note behind it, Message and
// Field before what is wrong with them. Reasons are compared with ==, so none has a
// figure that changes while the reason stays the same.
type Reason struct {
	Code Code `json:"code"`

	Part    string `json:"part,omitempty"`       // the part of the network that it is about
	Bridge  string `json:"bridge,omitempty"`     // the bridge that it is about, if there are several
	Address string `json:"address,omitempty"`    // of brokers
	Topic   string `json:"topic,omitempty"`      // of Kafka
	Central string `json:"central,omitempty"`    // the epoch of another Central
	Journal string `json:"journal,omitempty"`    // of a charging point
	Session string `json:"session_id,omitempty"` // which it is about
	Other   string `json:"other,omitempty"`      // the other journal, session or bridge
	Driver  string `json:"username,omitempty"`   // of the session
	Fault   string `json:"fault,omitempty"`      // charge.Fault
	Since   string `json:"since,omitempty"`      // a time, RFC 3339

	First  int64 `json:"first,omitempty"`     // a record, or the first of a range
	Last   int64 `json:"last,omitempty"`      // of the range; 0: its end is not known
	Count  int64 `json:"count,omitempty"`     // of what the text names
	Wanted int64 `json:"wanted,omitempty"`    // how many there should be
	Energy int64 `json:"energy_wh,omitempty"` // Wh
	From   int64 `json:"from_wh,omitempty"`   // a register before, Wh
	To     int64 `json:"to_wh,omitempty"`     // and after it

	Message string `json:"message,omitempty"` // the kind of a message that is wrong, as in "record"
	Field   string `json:"field,omitempty"`   // of that message: its path, as in "data.register_wh"
	Value   string `json:"value,omitempty"`   // what is there; a text is in quotation marks
	Allowed string `json:"allowed,omitempty"` // what may be there

	Cause  Code   `json:"cause,omitempty"`  // why that is so, if it is known
	Detail string `json:"detail,omitempty"` // a text of another program or device, or of a decoder; nothing translates it
	Note   string `json:"note,omitempty"`   // of an operator
	More   int64  `json:"more,omitempty"`   // how many other reasons there are
}

// Words is a reason that another program gave in words alone.
func Words(text string) Reason {
	if text == "" {
		return Reason{}
	}
	return Reason{Code: Reported, Detail: text}
}

// IsZero reports that there is no reason.
func (r Reason) IsZero() bool { return r == Reason{} }

// Known reports whether the codes are in the list of this program. Those of a later
// version may not be.
func (r Reason) Known() bool {
	return r.Code.text() != "" && (r.Cause == "" || r.Cause.text() != "")
}

// Or returns the reason if it is known, and otherwise a text that stands beside it: a
// program of another version, or a row of an older one, may have that alone.
func (r Reason) Or(text string) Reason {
	if r.Known() {
		return r
	}
	return Words(text)
}

// Because returns a reason with its cause, which may be zero. The two share one set of
// values: those that only the cause has are added.
func (r Reason) Because(cause Reason) Reason {
	r.Cause, r.Detail = cause.Code, cause.Detail
	if r.Cause == Reported { // Detail has it
		r.Cause = ""
	}
	r.Session, r.Journal, r.Other = cmp.Or(r.Session, cause.Session), cmp.Or(r.Journal, cause.Journal), cmp.Or(r.Other, cause.Other)
	r.First, r.Last, r.Count = cmp.Or(r.First, cause.First), cmp.Or(r.Last, cause.Last), cmp.Or(r.Count, cause.Count)
	r.From, r.To = cmp.Or(r.From, cause.From), cmp.Or(r.To, cause.To)
	r.Message, r.Field, r.Value, r.Allowed = cause.Message, cause.Field, cause.Value, cause.Allowed
	return r
}

// With returns a reason that is the first of several.
func (r Reason) With(others int) Reason {
	r.More = int64(others)
	return r
}

// Of returns a reason about one of several bridges.
func (r Reason) Of(bridge string) Reason {
	r.Bridge = bridge
	return r
}

// String returns the text in English; "" of the zero Reason.
func (r Reason) String() string {
	if r.IsZero() {
		return ""
	}
	var b strings.Builder
	if r.Part != "" {
		b.WriteString(r.Part + ": ")
	}
	if r.Bridge != "" {
		b.WriteString("bridge " + r.Bridge + ": ")
	}
	text, about := r.Code.text(), r.about()
	if r.Code == Reported {
		text = ""
	}
	if r.Cause == "" {
		b.WriteString(about)
		about = ""
	}
	parts := slices.DeleteFunc([]string{r.fill(text), about + r.fill(r.Cause.text()), r.Detail}, func(s string) bool { return s == "" })
	b.WriteString(strings.Join(parts, ": "))
	if r.More > 0 {
		fmt.Fprintf(&b, " (and %d more)", r.More)
	}
	if r.Note != "" {
		b.WriteString("; " + r.Note)
	}
	return b.String()
}

// about names the message and the field that are wrong, as the beginning of what is
// wrong with them.
func (r Reason) about() string {
	switch {
	case r.Field != "":
		return r.Message + ": field " + r.Field + ": "
	case r.Message != "":
		return r.Message + ": "
	}
	return ""
}

// fill puts the values into a text.
func (r Reason) fill(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	last := "the end"
	if r.Last != 0 {
		last = number(r.Last)
	}
	return strings.NewReplacer(
		"{address}", r.Address, "{topic}", r.Topic, "{central}", r.Central, "{journal}", r.Journal, "{session_id}", r.Session, "{other}", r.Other,
		"{username}", r.Driver, "{fault}", r.Fault, "{since}", r.Since, "{first}", number(r.First), "{last}", last, "{count}", number(r.Count), "{wanted}", number(r.Wanted),
		"{energy_wh}", number(r.Energy), "{from_wh}", number(r.From), "{to_wh}", number(r.To),
		"{value}", r.Value, "{allowed}", r.Allowed,
	).Replace(text)
}

// Join returns the texts of several reasons, as one line.
func Join(all []Reason) string {
	words := make([]string, 0, len(all))
	for _, r := range all {
		words = append(words, r.String())
	}
	return strings.Join(words, "; ")
}
