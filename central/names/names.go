// Package names decides which strings may name a driver. It is asked wherever a
// name enters Central: drivers' requests, the operator's API and the configured
// list of drivers. What exists already, in the database or in a record, is not
// judged: it is a fact and stays readable.
//
// A name is one or more parts with a single blank between them, each part in the
// form of the profile UsernameCasePreserved of RFC 8265. A string in another form
// is refused, not mapped: so two strings are one driver only if they are equal,
// and every answer carries the name as the driver wrote it.
package names

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/carga-ev/carga/internal/charge"
)

// Check says why s cannot be the name of a driver, and what can; nil if it can.
func Check(s string) error {
	switch {
	case strings.Trim(s, " ") == "":
		return fmt.Errorf("is empty; use 1 to %d bytes", charge.MaxNameLength)
	case len(s) > charge.MaxNameLength:
		return fmt.Errorf("has %d bytes; use 1 to %d", len(s), charge.MaxNameLength)
	case !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError):
		return errors.New("is not valid UTF-8")
	}
	for part := range strings.SplitSeq(s, " ") {
		if part == "" {
			return errors.New("begins or ends with a blank, or has two in a row; use single blanks between words")
		}
		form, err := precis.UsernameCasePreserved.String(part)
		if err != nil {
			return fault(part)
		}
		if form != part {
			return differs(part, form)
		}
	}
	return nil
}

// differs says where a part of a name is not in the form of the profile.
func differs(part, form string) error {
	is, should := []rune(part), []rune(form)
	i := 0
	for i < min(len(is), len(should))-1 && is[i] == should[i] {
		i++
	}
	return fmt.Errorf("is written with %U where its normal form (NFC, no letters of full width) has %U", is[i:min(i+2, len(is))], should[i])
}

// fault finds out what the profile refuses in a part of a name.
func fault(part string) error {
	// The characters of the profile, without its mappings and the rule about
	// directions of writing.
	alone := precis.NewIdentifier()
	for _, r := range part {
		if _, err := alone.String(string(r)); err == nil {
			continue
		}
		kind := "character"
		switch {
		case unicode.IsControl(r):
			kind = "control character"
		case unicode.Is(unicode.Cf, r):
			kind = "invisible character"
		case unicode.IsSpace(r):
			kind = "blank"
		}
		return fmt.Errorf("has the %s %U; use letters, digits, ASCII punctuation and single blanks", kind, r)
	}
	return errors.New("mixes directions of writing, so that it could be read as another name")
}
