// Package names decides which strings may name a driver. Central checks every name
// that enters it: in drivers' requests, in the operator API and in the configured
// list of drivers. Names in the database or in a record are not checked: they are
// facts and stay readable.
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

// Check returns nil if s may name a driver. Its error states what is wrong with s,
// without s itself, and what is allowed.
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

// differs returns the error for a part of a name that is not in the form of the
// profile, with the first character that differs.
func differs(part, form string) error {
	is, should := []rune(part), []rune(form)
	i := 0
	for i < min(len(is), len(should))-1 && is[i] == should[i] {
		i++
	}
	return fmt.Errorf("is written with %U where its normal form (NFC, no letters of full width) has %U", is[i:min(i+2, len(is))], should[i])
}

// fault returns the error for a part of a name that the profile refuses.
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
