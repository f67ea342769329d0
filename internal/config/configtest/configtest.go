// Package configtest holds what every program's configuration must pass: its
// sample file has each key with its default, and a bad value is reported with its
// key.
//
// Only tests import it.
package configtest

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/carga-ev/carga/internal/config"
)

// SampleIsDefault loads the sample over the result of defaults, which returns a
// new pointer each time. The values must be the defaults, and each key must be
// in the sample, at least as a comment.
func SampleIsDefault(t *testing.T, path string, defaults func() any) {
	t.Helper()
	got, want := defaults(), defaults()
	if err := config.Load(got, config.Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	// A copy of the sample changes nothing.
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sample has\n%s\nthe defaults are\n%s", config.Dump(got), config.Dump(want))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// An operator finds every key in the sample.
	for _, m := range regexp.MustCompile(`(?m)^ *([a-z_]+):`).FindAllSubmatch(config.Dump(got), -1) {
		if !strings.Contains(string(text), string(m[1])+":") {
			t.Errorf("the sample does not have %s", m[1])
		}
	}
}

// NamesTheKey sets one environment variable at a time over the defaults. For
// each key, its variable without the prefix must cause one fault with that key.
func NamesTheKey(t *testing.T, prefix string, defaults func() any, cases map[string]string) {
	t.Helper()
	for key, set := range cases {
		err := config.Load(defaults(), config.Options{EnvPrefix: prefix, Environ: []string{prefix + set}})
		faults, ok := errors.AsType[*config.Error](err)
		if !ok || len(faults.Faults) != 1 || faults.Faults[0].Key != key {
			t.Errorf("%s: got %v, want one fault of %s", set, err, key)
		}
	}
}
