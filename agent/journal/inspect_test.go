package journal_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
)

// TestInspect: a directory in use is shown as it is, and nothing in it changes.
func TestInspect(t *testing.T) {
	d := journaltest.New()
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	l, _ := openDisk(t, d, "b1")
	add(t, l, numbered("a", 60)...)
	must(t, l.Close())
	l, _ = openDisk(t, d, "b2", func(o *journal.Options) {
		o.Now = func() time.Time { return now }
		o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
	})
	add(t, l, "b")
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 50}))
	want := heldIn(t, l)
	before := files(d)
	d.ReadOnly = true
	d.Fault = func(o journaltest.Op) error {
		if !slices.Contains([]journaltest.Kind{journaltest.List, journaltest.Open, journaltest.Read}, o.Kind) {
			t.Errorf("%+v", o)
		}
		return nil
	}
	r, err := journal.Inspect(d)
	must(t, err)
	var got []string
	must(t, r.Each(func(e journal.Entry) error {
		got = append(got, string(e.Journal)+"|"+string(e.Bytes))
		return nil
	}))
	if !slices.Equal(got, want) || !slices.Equal(r.Held, l.Held()) || !slices.Equal(files(d), before) {
		t.Errorf("exported %d records of %d, held %+v", len(got), len(want), r.Held)
	}
	s := r.Segments[len(r.Segments)-1]
	if r.CP != cp || r.Records != 61 || r.Unacked != 11 || r.Position != l.Position() || !r.Reserve || len(r.Damaged)+len(r.Notes) > 0 ||
		s.Journal != "b2" || s.First != 1 || s.Last != 1 || s.Records != 1 || !s.Begun.Equal(now) || !s.Checkpoint ||
		s.After.Journal != "b1" || s.After.Seq != 60 || s.After.Hash != journal.Hash([]byte(strings.TrimPrefix(want[59], "b1|"))) {
		t.Errorf("got %+v", r)
	}
	stop := errors.New("enough")
	if err := r.Each(func(journal.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	d.Fault, d.ReadOnly = nil, false
	d.WriteFile(segment(1), nil)
	n := 0
	must(t, r.Each(func(journal.Entry) error { n++; return nil }))
	if n >= 61 || n < 2 {
		t.Errorf("%d records behind a segment that was deleted meanwhile", n)
	}
	if r, err := journal.Inspect(journaltest.New()); err != nil || r.CP != "" || r.Unacked != 0 || r.Each(nil) != nil {
		t.Errorf("an empty directory: %+v, %v", r, err)
	}
}
