package wire_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// goldens are the golden messages whose names begin so.
func goldens(f *testing.F, begin string) (all [][]byte) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", begin+"*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden %s: %v", begin, err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, bytes.TrimSpace(raw))
	}
	return all
}

// clean reports, by the tokens of encoding/json, whether no key is repeated in
// an object, in whatever case, and nothing is nested deeper than 16.
func clean(raw []byte) bool {
	type level struct {
		keys   []string
		object bool
		key    bool // a key is next
	}
	var open []level
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return len(open) == 0
		}
		top := len(open) - 1
		if word, ok := token.(string); ok && top >= 0 && open[top].object && open[top].key {
			for _, have := range open[top].keys {
				if strings.EqualFold(have, word) {
					return false
				}
			}
			open[top].keys, open[top].key = append(open[top].keys, word), false
			continue
		}
		if top >= 0 {
			open[top].key = true
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open = append(open, level{object: token == json.Delim('{'), key: true})
		case json.Delim('}'), json.Delim(']'):
			open = open[:top]
		}
		if len(open) > 16 {
			return false
		}
	}
}

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// plainAck decodes an acknowledgement by the words of docs/PROTOCOL.md, each
// field by itself.
func plainAck(raw []byte) (a wire.Ack, ok bool) {
	var fields map[string]json.RawMessage
	if len(raw) > wire.MaxMessage || !utf8.Valid(raw) || json.Unmarshal(raw, &fields) != nil || fields == nil || !clean(raw) {
		return a, false
	}
	id := func(name string) (string, bool) {
		var s string
		err := json.Unmarshal(fields[name], &s)
		return s, err == nil && s != "" && len(s) <= 36 && strings.Trim(s, idLetters) == ""
	}
	number := func(name string, least int64) (int64, bool) {
		n, err := strconv.ParseInt(string(fields[name]), 10, 64)
		return n, err == nil && n >= least && n <= 1<<53 && string(fields[name]) != "-0"
	}
	v, ok1 := number("v", 1)
	name, ok2 := id("central")
	central, err := charge.ParseEpoch(name)
	ok2 = ok2 && err == nil
	seq, ok3 := number("seq", 0)
	var at string
	ok4 := json.Unmarshal(fields["at"], &at) == nil
	moment, err := charge.ParseTime(at)
	a = wire.Ack{V: int(v), Central: central, Seq: charge.Seq(seq), At: moment}
	if j := fields["journal"]; len(j) > 0 && string(j) != "null" {
		name, some := id("journal")
		a.Journal = new(charge.JournalID(name))
		return a, some && ok1 && ok2 && ok3 && ok4 && err == nil
	}
	return a, ok1 && ok2 && ok3 && ok4 && err == nil && seq == 0
}

// FuzzAck: an acknowledgement is decoded as plainAck decodes it, or refused if
// that refuses it. Encoded again, it decodes to the same.
func FuzzAck(f *testing.F) {
	for _, raw := range goldens(f, "ack") {
		f.Add(raw)
		f.Add(bytes.Replace(raw, []byte(`"seq":`), []byte(`"ſeq":7,"seq":`), 1))
		f.Add(bytes.Replace(raw, []byte(`{`), []byte(`{"Journal":"x","SEQ":7,`), 1))
		f.Add(bytes.Replace(raw, []byte(`"journal":`), []byte(`"Journal":`), 1))
		f.Add(bytes.Replace(raw, []byte(`"seq":`), []byte(`"\u0053eq":`), 1))
		f.Add(bytes.Replace(raw, []byte(`{`), []byte(`{"x":{"a":[1,{"b":null}],"c":"\ud83d\ude00"},`), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := wire.DecodeAck(raw)
		want, ok := plainAck(raw)
		if (err == nil) != ok || ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\nis read as %+v (%v)\n    want %+v (%t)", raw, got, err, want, ok)
		}
		if err != nil {
			return
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatalf("%q cannot be written: %v", raw, err)
		}
		if back, err := wire.DecodeAck(again); err != nil || !reflect.DeepEqual(back, got) {
			t.Fatalf("%s is read back as %+v (%v), want %+v", again, back, err, got)
		}
	})
}

// matches is the rule of MQTT for filters without "#".
func matches(filter, topic string) bool {
	want, have := strings.Split(filter, "/"), strings.Split(topic, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "+" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// FuzzTopic: a topic is that of one charging point and one kind, or of none, as
// one regular expression defines. It can be composed of them again, and a broker
// delivers it to subscribers of its kind and to no others.
func FuzzTopic(f *testing.F) {
	kinds := []wire.Kind{wire.KindEvent, wire.KindTelemetry, wire.KindPresence, wire.KindCommand, wire.KindAck}
	for _, k := range kinds {
		f.Add("", "cp/CP_001/"+string(k))
		f.Add("site/cp", "site/cp/CP_001/"+string(k))
	}
	for _, topic := range []string{"cp//up/event", "cp/+/up/event", "cp/a/up/event/", "cp/a\x00/up/event", "cp/cp/up/event", "$SYS/a/up/event", "cp/СP/up/event"} {
		f.Add("", topic)
	}
	f.Fuzz(func(t *testing.T, prefix, topic string) {
		topics := wire.Topics{Prefix: prefix}
		if topics.Validate() != nil {
			return
		}
		first := prefix
		if prefix == "" {
			first = wire.DefaultPrefix
		}
		want := regexp.MustCompile(`^` + regexp.QuoteMeta(first) + `/([A-Za-z0-9_-]{1,36})/(up/(?:event|telemetry|presence)|down/(?:command|ack))$`).
			FindStringSubmatch(topic)
		cp, kind, err := topics.Parse(topic)
		if (err == nil) != (want != nil) || want != nil && (string(cp) != want[1] || string(kind) != want[2]) {
			t.Fatalf("prefix %q: %q is read as %q, %q (%v), want %q", prefix, topic, cp, kind, err, want)
		}
		if err != nil {
			if cp != "" || kind != "" {
				t.Fatalf("refused, and read as %q, %q", cp, kind)
			}
			return
		}
		if again := topics.Of(cp, kind); again != topic {
			t.Fatalf("%q is made again as %q", topic, again)
		}
		for _, k := range kinds {
			if got := matches(topics.All(k), topic); got != (k == kind) {
				t.Fatalf("%q fits the filter %q: %t", topic, topics.All(k), got)
			}
		}
	})
}
