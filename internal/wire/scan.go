package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/reason"
)

// MaxMessage is the largest message that is accepted or written, in bytes.
// Brokers are configured to more, so that a message that is too large is refused
// here, with a reason, and does not end a connection there.
const MaxMessage = 32 << 10

// maxDepth bounds nesting. The deepest message of Carga has 5 levels.
const maxDepth = 16

// scanner checks the structure of a JSON text: one object, valid UTF-8, no
// repeated keys, bounded depth, nothing behind it. encoding/json accepts all
// violations of these.
type scanner struct {
	b     []byte
	i     int
	depth int
	path  []string
	keys  []string // the non-null keys of the top-level object
	odd   []oddKey // of all objects
}

// oddKey is a key that encoding/json would match to a field although it differs
// in case, as "SEQ" would match "seq".
type oddKey struct{ begins, depth int }

type scanError struct {
	field string
	wrong reason.Wrong
}

func (e *scanError) Error() string { return e.field + ": " + e.wrong.String() }

// scanObject checks raw. It returns the keys of the top-level object whose
// values are not null, and the odd keys of all objects.
func scanObject(raw []byte) (keys []string, odd []oddKey, err *scanError) {
	s := &scanner{b: raw, keys: make([]string, 0, 16)}
	if err := s.whole(); err != nil {
		return nil, nil, err
	}
	return s.keys, s.odd, nil
}

// hideOddKeys returns raw with its odd keys changed to unknown ones, down to a
// depth, so that encoding/json matches names exactly.
func hideOddKeys(raw []byte, odd []oddKey, depth int) []byte {
	if len(odd) == 0 {
		return raw
	}
	raw = slices.Clone(raw)
	for _, k := range odd {
		if k.depth <= depth {
			raw[k.begins] = '-' // no field begins with it
		}
	}
	return raw
}

// whole scans the text.
func (s *scanner) whole() *scanError {
	if !utf8.Valid(s.b) {
		return &scanError{"", reason.Wrong{Code: reason.JSONNotUTF8}}
	}
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != '{' {
		return &scanError{"", reason.Wrong{Code: reason.JSONNoObject}}
	}
	if err := s.object(); err != nil {
		return err
	}
	s.space()
	if s.i < len(s.b) {
		return &scanError{"", reason.Wrong{Code: reason.JSONTrailing, First: int64(s.i + 1)}}
	}
	return nil
}

// fail returns an error at the present field.
func (s *scanner) fail(w reason.Wrong) *scanError { return &scanError{strings.Join(s.path, "."), w} }

// malformed is an error at the byte of an index.
func (s *scanner) malformed(i int) *scanError {
	return s.fail(reason.Wrong{Code: reason.JSONMalformed, First: int64(i + 1)})
}

// tooDeep is an error at the present field.
func (s *scanner) tooDeep() *scanError {
	return s.fail(reason.Wrong{Code: reason.JSONTooDeep, Last: maxDepth})
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\n' || s.b[s.i] == '\r') {
		s.i++
	}
}

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// value skips any value.
func (s *scanner) value() *scanError {
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == '"':
		_, err := s.quoted()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if string(s.b[s.i:min(len(s.b), s.i+len(word))]) == word {
			s.i += len(word)
			return nil
		}
	}
	return s.malformed(s.i)
}

// object skips an object and collects its keys.
func (s *scanner) object() *scanError {
	if s.depth++; s.depth > maxDepth {
		return s.tooDeep()
	}
	s.i++
	seen := newKeySet()
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			break
		}
		begins := s.i + 1
		key, err := s.text()
		if err != nil {
			return err
		}
		s.path = append(s.path, key)
		plain := folded(key)
		if !seen.add(plain) {
			return s.fail(reason.Wrong{Code: reason.FieldTwice})
		}
		if plain != key {
			s.odd = append(s.odd, oddKey{begins, s.depth})
		}
		s.space()
		if s.peek() != ':' {
			return s.malformed(s.i)
		}
		s.i++
		s.space()
		null := s.peek() == 'n'
		if err := s.value(); err != nil {
			return err
		}
		if s.depth == 1 && !null {
			s.keys = append(s.keys, key)
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		c := s.peek()
		if c == '}' {
			break
		}
		if c != ',' {
			return s.malformed(s.i)
		}
		s.i++
	}
	s.i++
	s.depth--
	return nil
}

// array skips an array.
func (s *scanner) array() *scanError {
	if s.depth++; s.depth > maxDepth {
		return s.tooDeep()
	}
	s.i++
	for n := 0; ; n++ {
		s.space()
		if s.peek() == ']' && n == 0 {
			break
		}
		s.path = append(s.path, strconv.Itoa(n))
		if err := s.value(); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		s.space()
		c := s.peek()
		if c == ']' {
			break
		}
		if c != ',' {
			return s.malformed(s.i)
		}
		s.i++
	}
	s.i++
	s.depth--
	return nil
}

// text scans a string and returns its decoded value.
func (s *scanner) text() (string, *scanError) {
	start := s.i
	plain, err := s.quoted()
	if err != nil {
		return "", err
	}
	if plain {
		return string(s.b[start+1 : s.i-1]), nil
	}
	var v string
	if json.Unmarshal(s.b[start:s.i], &v) != nil {
		return "", s.malformed(start)
	}
	return v, nil
}

// quoted skips a string and reports whether it has no escapes.
func (s *scanner) quoted() (plain bool, err *scanError) {
	if s.peek() != '"' {
		return false, s.malformed(s.i)
	}
	start := s.i
	plain = true
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			if !plain && !json.Valid(s.b[start:s.i]) {
				return false, s.malformed(start)
			}
			return plain, nil
		case c == '\\':
			plain = false
			s.i++
		case c < 0x20:
			return false, s.malformed(s.i)
		}
	}
	return false, s.malformed(s.i)
}

// number skips a number.
func (s *scanner) number() *scanError {
	start, digits := s.i, true
	for s.i < len(s.b) && strings.IndexByte("+-.0123456789eE", s.b[s.i]) >= 0 {
		digits = digits && s.b[s.i] >= '0' && s.b[s.i] <= '9'
		s.i++
	}
	if digits && (s.b[start] != '0' || s.i == start+1) {
		return nil
	}
	if !json.Valid(s.b[start:s.i]) {
		return s.malformed(start)
	}
	return nil
}

// folded returns the form of a key that is common to all keys that encoding/json
// matches to one field: lower case, with the ASCII letter for each of its
// Unicode variants, so that "ſeq" is "seq".
func folded(key string) string {
	for i := range len(key) {
		if key[i] >= utf8.RuneSelf {
			return strings.Map(plainest, key)
		}
	}
	return strings.ToLower(key)
}

// plainest returns the letter that stands for all its case variants.
func plainest(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least >= 'A' && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// keySet detects repeated keys: with a short list first, and with a map once
// that is long, so that neither usual nor hostile messages are slow.
type keySet struct {
	few  []string
	many map[string]bool
}

func newKeySet() *keySet { return &keySet{few: make([]string, 0, 8)} }

// add returns false if the key was added before.
func (k *keySet) add(key string) bool {
	if k.many != nil {
		if k.many[key] {
			return false
		}
		k.many[key] = true
		return true
	}
	if slices.Contains(k.few, key) {
		return false
	}
	k.few = append(k.few, key)
	if len(k.few) > 16 {
		k.many = make(map[string]bool, 32)
		for _, have := range k.few {
			k.many[have] = true
		}
	}
	return true
}

// Check refuses a JSON text that is not one object of valid UTF-8 without
// repeated keys, nested at most 16 deep and with nothing behind it. This is the
// rule for all messages; other decoders, such as that of the operator API, apply
// it too. It does not bound the size.
func Check(raw []byte) error {
	if _, _, err := scanObject(raw); err != nil {
		return &DecodeError{"body", err.field, err.wrong}
	}
	return nil
}
