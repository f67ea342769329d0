package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// mask replaces a secret in messages.
const mask = "(secret)"

// Fault is one fault of the configuration. Fields that are not known are zero.
type Fault struct {
	// File is the file, or "$NAME" for an environment variable.
	File string
	// Line and Col count from 1.
	Line, Col int
	// Key is the full name, such as "mqtt.url" or "connectors[1].power_w".
	Key string
	// Value is the value found, without secrets.
	Value string
	// Want is what was expected, or what is wrong.
	Want string
	// Hint is what to do.
	Hint string
}

// String returns one line: place, key, value, what was expected, what to do.
func (f Fault) String() string {
	place := f.File
	if f.Line > 0 {
		place += fmt.Sprintf(":%d", f.Line)
	}
	if f.Col > 0 {
		place += fmt.Sprintf(":%d", f.Col)
	}
	words := make([]string, 0, 4)
	for _, w := range []string{place, f.Key} {
		if w != "" {
			words = append(words, w)
		}
	}
	if f.Value != "" {
		words = append(words, fmt.Sprintf("%.60q", f.Value))
	}
	words = append(words, f.Want)
	if f.Hint == "" {
		return strings.Join(words, ": ")
	}
	return strings.Join(words, ": ") + " (" + f.Hint + ")"
}

// Error has all faults: those of the file in its order, those of the
// environment, and those without a place.
type Error struct{ Faults []Fault }

// Error returns one line per fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// sortFaults sorts faults as Error has them.
func sortFaults(faults []Fault) {
	// File first, then the environment, then faults without a place.
	layer := func(f Fault) int {
		switch {
		case f.Line > 0:
			return 0
		case strings.HasPrefix(f.File, "$"):
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(layer(a), layer(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			cmp.Compare(a.File, b.File), cmp.Compare(a.Key, b.Key))
	})
}

// Problems collects the problems that Validate finds. It knows where each key
// was set.
type Problems struct {
	l      *loader
	prefix string
}

// In returns a collector for the keys below key, for a struct that several
// configurations contain.
func (p *Problems) In(key string) *Problems {
	return &Problems{l: p.l, prefix: join(p.prefix, key)}
}

// Addf adds a problem with a key, such as "mqtt.url" or "connectors[1].id". The
// text is what was expected: "want a port from 1 to 65535". Place and value are
// those of the key; without a place of its own, that of the innermost group
// around it that has one.
func (p *Problems) Addf(key, format string, args ...any) {
	key = join(p.prefix, key)
	for _, f := range p.l.faults[:p.l.unread] {
		if f.Key != "" && (within(f.Key, key) || within(key, f.Key)) {
			return // its value could not be decoded, so that a second fault would not help
		}
	}
	f := Fault{File: p.l.file, Key: key}
	if o, ok := p.l.origins[key]; ok {
		f = o.fault(key)
	} else {
		for outer := parent(key); outer != ""; outer = parent(outer) {
			if o, ok := p.l.origins[outer]; ok {
				f.File, f.Line, f.Col = o.file, o.line, o.col
				break
			}
		}
	}
	f.Want = fmt.Sprintf(format, args...)
	p.l.faults = append(p.l.faults, f)
}
