package wire

import (
	"bytes"
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/charge"
)

// canonical reads a record in the form in which Encode writes it: fields in
// their order, no spaces, no escapes in the envelope. It reports false for
// everything else, and r is then of no use: whoever called decodes the general
// way, which also knows what is wrong.
//
// Every record passes bridge and Central, nearly all in this form, and the
// general way costs several times as much.
func (r *Record) canonical(raw []byte) bool {
	if len(raw) > MaxMessage || !utf8.Valid(raw) {
		return false
	}
	p := plainReader{b: raw}
	r.V = int(p.number(`{"v":`))
	r.CPID = charge.CPID(p.text(`,"cp_id":"`))
	r.Journal = charge.JournalID(p.text(`,"journal":"`))
	r.Seq = charge.Seq(p.number(`,"seq":`))
	r.Prev = p.text(`,"prev":"`)
	r.Type = RecordType(p.text(`,"type":"`))
	if p.next(`,"connector":`) {
		r.Connector = charge.ConnectorID(p.number(`,"connector":`))
	}
	if p.next(`,"session_id":"`) {
		r.SessionID = charge.SessionID(p.text(`,"session_id":"`))
	}
	at := p.text(`,"at":"`)
	if p.next(`,"clock":"`) {
		r.Clock = charge.ClockQuality(p.text(`,"clock":"`))
	}
	r.UptimeMS = p.number(`,"uptime_ms":`)
	if p.next(`,"data":{`) {
		r.Data = p.object(`,"data":`)
	}
	p.skip(`}`)
	if p.other || p.i != len(raw) {
		return false
	}
	var err error
	if r.At, err = charge.ParseTime(at); err != nil {
		return false
	}
	c := &check{all: true} // the fields are there
	r.validate(c)
	return c.err == nil
}

// plainReader reads a text of known form from left to right.
type plainReader struct {
	b     []byte
	i     int
	other bool // the text has another form; nothing is read any more
}

// next reports whether the text goes on like this.
func (p *plainReader) next(word string) bool {
	return !p.other && len(p.b)-p.i >= len(word) && string(p.b[p.i:p.i+len(word)]) == word
}

func (p *plainReader) skip(word string) {
	if !p.next(word) {
		p.other = true
		return
	}
	p.i += len(word)
}

// maxDigits is how many an int64 holds for sure.
const maxDigits = 18

// number reads a whole number from 0 up behind a word.
func (p *plainReader) number(word string) (n int64) {
	p.skip(word)
	start := p.i
	for ; !p.other && p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9'; p.i++ {
		if p.i-start == maxDigits {
			p.other = true
			return 0
		}
		n = n*10 + int64(p.b[p.i]-'0')
	}
	if digits := p.i - start; digits == 0 || digits > 1 && p.b[start] == '0' {
		p.other = true
	}
	return n
}

// text reads a string of printable ASCII without escapes behind a word, which
// ends with the opening quote, and its closing quote.
func (p *plainReader) text(word string) string {
	p.skip(word)
	if p.other {
		return ""
	}
	start := p.i
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return string(p.b[start : p.i-1])
		case c < 0x20 || c > 0x7e || c == '\\':
			p.other = true
			return ""
		}
	}
	p.other = true
	return ""
}

// object reads an object inside the outermost behind a word, with every check
// of the general way, and returns a copy of it.
func (p *plainReader) object(word string) []byte {
	p.skip(word)
	if p.other {
		return nil
	}
	s := &scanner{b: p.b, i: p.i, depth: 1}
	if s.object() != nil {
		p.other = true
		return nil
	}
	start := p.i
	p.i = s.i
	return bytes.Clone(p.b[start:s.i])
}
