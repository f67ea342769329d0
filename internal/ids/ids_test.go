package ids_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/internal/ids"
)

var form = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func zeros() io.Reader { return bytes.NewReader(make([]byte, 64)) }

func ones() io.Reader { return bytes.NewReader(bytes.Repeat([]byte{0xff}, 64)) }

func TestNewHasTheLayoutOfVersion7(t *testing.T) {
	// The time of the example in RFC 9562, appendix A.6.
	at := time.UnixMilli(0x017F22E279B0)
	if got, want := ids.New(at, zeros()), "017f22e2-79b0-7000-8000-000000000000"; got != want {
		t.Errorf("zero random bits: got %s, want %s", got, want)
	}
	if got, want := ids.New(at, ones()), "017f22e2-79b0-7fff-bfff-ffffffffffff"; got != want {
		t.Errorf("all random bits: got %s, want %s", got, want)
	}
}

func TestTimesOutsideTheRangeMoveToItsEnds(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Unix(-5, 0), "00000000-0000-7000-8000-000000000000"},
		{time.Time{}, "00000000-0000-7000-8000-000000000000"},
		{time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), "ffffffff-ffff-7000-8000-000000000000"},
	} {
		if got := ids.New(c.at, zeros()); got != c.want {
			t.Errorf("New(%v): got %s, want %s", c.at, got, c.want)
		}
	}
}

func TestEveryIDIsWellFormedAndKeepsItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 1<<48-1).Draw(t, "ms")
		id := ids.New(time.UnixMilli(ms), rand.Reader)
		if !form.MatchString(id) {
			t.Fatalf("got %s, want the form of a UUIDv7", id)
		}
		at, err := ids.Time(id)
		if err != nil || at.UnixMilli() != ms {
			t.Fatalf("Time(%s): got %v %v, want %d ms", id, at, err, ms)
		}
	})
}

func TestIDsCompareAsTheirTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, 1<<48-2).Draw(t, "a")
		b := rapid.Int64Range(a+1, 1<<48-1).Draw(t, "b")
		early, late := ids.New(time.UnixMilli(a), ones()), ids.New(time.UnixMilli(b), zeros())
		if early >= late {
			t.Fatalf("got %s >= %s, want the earlier one smaller", early, late)
		}
	})
}

// Each restart of Central must speak louder than all its lives before, with
// the clock stopped, going back or jumping.
func TestAfterIsGreaterWhateverTheClockSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prev := ""
		for _, ms := range rapid.SliceOfN(rapid.Int64Range(-1000, 1<<47), 1, 20).Draw(t, "clock") {
			next, err := ids.After(prev, time.UnixMilli(ms), rand.Reader)
			if err != nil {
				t.Fatalf("After(%s): %v", prev, err)
			}
			if next <= prev || !form.MatchString(next) {
				t.Fatalf("got %s after %s, want a greater UUIDv7", next, prev)
			}
			prev = next
		}
	})
}

func TestAfterUsesTheClockWhereItCan(t *testing.T) {
	prev := ids.New(time.UnixMilli(1000), ones())
	got, err := ids.After(prev, time.UnixMilli(5000), zeros())
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := ids.Time(got); at.UnixMilli() != 5000 {
		t.Errorf("got the time %d ms, want 5000", at.UnixMilli())
	}
	got, err = ids.After(prev, time.UnixMilli(1000), zeros())
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := ids.Time(got); at.UnixMilli() != 1001 {
		t.Errorf("same millisecond: got the time %d ms, want 1001", at.UnixMilli())
	}
}

func TestAfterRefusesWhatCannotBeFollowed(t *testing.T) {
	now := time.UnixMilli(1000)
	if got, err := ids.After("ffffffff-ffff-7fff-bfff-ffffffffffff", now, rand.Reader); got != "" || !errors.Is(err, ids.ErrExhausted) {
		t.Errorf("last UUIDv7: got %q %v, want ErrExhausted", got, err)
	}
	if got, err := ids.After("zebra", now, rand.Reader); got != "" || !errors.Is(err, ids.ErrNotUUIDv7) {
		t.Errorf("not an id: got %q %v, want ErrNotUUIDv7", got, err)
	}
}

func TestTimeRefusesOtherTexts(t *testing.T) {
	good := "017f22e2-79b0-7abc-8000-00000000000f"
	if _, err := ids.Time(good); err != nil {
		t.Fatalf("Time(%s): %v", good, err)
	}
	for name, id := range map[string]string{
		"empty":         "",
		"upper case":    strings.ToUpper(good),
		"version 4":     "017f22e2-79b0-4abc-8000-00000000000f",
		"other variant": "017f22e2-79b0-7abc-c000-00000000000f",
		"no hyphens":    strings.ReplaceAll(good, "-", ""),
		"other hyphens": strings.ReplaceAll(good, "-", "_"),
		"not hex":       "017f22e2-79b0-7abc-8000-00000000000g",
		"too long":      good + "0",
		"braces":        "{" + good[1:35] + "}",
	} {
		if _, err := ids.Time(id); !errors.Is(err, ids.ErrNotUUIDv7) {
			t.Errorf("%s: got %v, want ErrNotUUIDv7", name, err)
		}
	}
}

func TestAFailingSourceIsNotHidden(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got an id from an empty random source, want a panic")
		}
	}()
	ids.New(time.UnixMilli(0), strings.NewReader("abc"))
}
