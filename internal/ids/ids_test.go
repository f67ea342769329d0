package ids_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"regexp"
	"strconv"
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
		if at, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64); err != nil || at != ms {
			t.Fatalf("%s: got %v %v, want %d ms", id, at, err, ms)
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

func TestAFailingSourceIsNotHidden(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got an id from an empty random source, want a panic")
		}
	}()
	ids.New(time.UnixMilli(0), strings.NewReader("abc"))
}
