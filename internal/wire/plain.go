package wire

import (
	"bytes"
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/charge"
)

// plain decodes a record in one pass, without encoding/json: its fields in any
// order, with spaces, and with fields that this version does not know. It
// returns false for any record that it cannot handle, and r then is undefined:
// the caller decodes in the general way, which is the specification and has the
// errors. A record that plain accepts has the same value in the general way.
//
// Every record passes through bridge and Central, so that its cost arises per
// message. The general way costs ten times as much.
func (r *Record) plain(raw []byte) bool {
	if len(raw) > MaxMessage || !utf8.Valid(raw) {
		return false
	}
	p := plainReader{b: raw}
	var have recordFields
	p.space()
	if !p.accept('{') {
		return false
	}
	var unknown plainKeys
	for {
		p.space()
		key := p.key()
		p.space()
		if p.failed || !p.accept(':') {
			return false
		}
		p.space()
		field := recordField(key)
		if field == 0 && !unknown.add(key) || have&field != 0 {
			return false // repeated, or more unknown keys than plain compares
		}
		have |= field
		switch field { //nolint:exhaustive // requiredFields is a set of fields
		case fieldV:
			r.V = int(p.number())
		case fieldCPID:
			r.CPID = charge.CPID(p.text())
		case fieldJournal:
			r.Journal = charge.JournalID(p.text())
		case fieldSeq:
			r.Seq = charge.Seq(p.number())
		case fieldPrev:
			r.Prev = string(p.text())
		case fieldType:
			r.Type = RecordType(p.text())
		case fieldConnector:
			r.Connector = charge.ConnectorID(p.number())
		case fieldSessionID:
			r.SessionID = charge.SessionID(p.text())
		case fieldAt:
			at, err := charge.ParseTime(string(p.text()))
			if err != nil {
				return false
			}
			r.At = at
		case fieldClock:
			r.Clock = charge.ClockQuality(p.text())
		case fieldUptimeMS:
			r.UptimeMS = p.number()
		case fieldData:
			start := p.i
			if p.peek() != '{' {
				return false
			}
			p.value()
			r.Data = bytes.Clone(p.b[start:p.i])
		default:
			p.value()
		}
		p.space()
		if p.failed {
			return false
		}
		if p.accept('}') {
			break
		}
		if !p.accept(',') {
			return false
		}
	}
	p.space()
	if p.i != len(raw) || have&requiredFields != requiredFields {
		return false
	}
	c := check{all: true} // the required fields are there
	r.validate(&c)
	return c.err == nil
}

// recordFields is a set of the fields of a Record.
type recordFields uint16

const (
	fieldV recordFields = 1 << iota
	fieldCPID
	fieldJournal
	fieldSeq
	fieldPrev
	fieldType
	fieldAt
	fieldConnector
	fieldSessionID
	fieldClock
	fieldUptimeMS
	fieldData

	// requiredFields are those that Record.validate requires.
	requiredFields = fieldV | fieldCPID | fieldJournal | fieldSeq | fieldPrev | fieldType | fieldAt
)

// recordField returns the field of a key; 0 for an unknown one.
func recordField(key []byte) recordFields {
	switch string(key) { // compared in place, not copied
	case "v":
		return fieldV
	case "cp_id":
		return fieldCPID
	case "journal":
		return fieldJournal
	case "seq":
		return fieldSeq
	case "prev":
		return fieldPrev
	case "type":
		return fieldType
	case "at":
		return fieldAt
	case "connector":
		return fieldConnector
	case "session_id":
		return fieldSessionID
	case "clock":
		return fieldClock
	case "uptime_ms":
		return fieldUptimeMS
	case "data":
		return fieldData
	}
	return 0
}

// plainKeys detects repeated keys of one object without allocating. Its capacity
// is the number of keys that it compares. The zero value is an object without
// keys.
type plainKeys struct {
	keys [12][]byte
	n    int
}

// add returns false if the key was added before, or if the capacity is used up.
func (k *plainKeys) add(key []byte) bool {
	for _, have := range k.keys[:k.n] {
		if bytes.Equal(have, key) {
			return false
		}
	}
	if k.n == len(k.keys) {
		return false
	}
	k.keys[k.n] = key
	k.n++
	return true
}

// plainReader reads a JSON text from left to right. It is stricter than JSON:
// keys are lower-case ASCII, and decoded values have no escapes and no
// fractions. On everything else it sets failed, and the general way decides.
type plainReader struct {
	b      []byte
	i      int
	failed bool // the record has to be decoded in the general way
}

// fail gives up.
func (p *plainReader) fail() { p.failed, p.i = true, len(p.b) }

func (p *plainReader) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\t' || p.b[p.i] == '\n' || p.b[p.i] == '\r') {
		p.i++
	}
}

// peek returns the next byte, 0 at the end.
func (p *plainReader) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

// accept skips one byte, if it is this one.
func (p *plainReader) accept(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.i++
	return true
}

// key reads a key that encoding/json matches to no other name: without capitals,
// letters outside ASCII and escapes.
func (p *plainReader) key() []byte {
	key := p.text()
	for _, c := range key {
		if c >= 'A' && c <= 'Z' {
			p.fail()
			return nil
		}
	}
	return key
}

// text reads a string of printable ASCII without escapes. It points into the
// message.
func (p *plainReader) text() []byte {
	if !p.accept('"') {
		p.fail()
		return nil
	}
	start := p.i
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return p.b[start : p.i-1]
		case c < 0x20 || c > 0x7e || c == '\\':
			p.fail()
			return nil
		}
	}
	p.fail()
	return nil
}

// maxDigits is how many digits any int64 can hold.
const maxDigits = 18

// number reads a whole number that is not negative. The caller notices what
// follows the digits, as in 1.5.
func (p *plainReader) number() (n int64) {
	start := p.i
	for ; p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9'; p.i++ {
		if p.i-start == maxDigits {
			p.fail()
			return 0
		}
		n = n*10 + int64(p.b[p.i]-'0')
	}
	if digits := p.i - start; digits == 0 || digits > 1 && p.b[start] == '0' {
		p.fail()
	}
	return n
}

// value skips any value inside the outermost object, with every check of the
// general way.
func (p *plainReader) value() {
	s := scanner{b: p.b, i: p.i, depth: 1}
	if s.value() != nil {
		p.fail()
		return
	}
	p.i = s.i
}
