package journal_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
)

// FuzzOpen: files of any bytes are opened, or refused with an error. An opened log
// continues behind the records it recovered, and recovers all of them again.
func FuzzOpen(f *testing.F) {
	d := journaltest.New()
	for boot := range 2 {
		l, _ := openDisk(f, d, []string{"b1", "b2"}[boot], func(o *journal.Options) {
			o.SegmentSize = 1024
			o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
		})
		add(f, l, numbered("a", 8)...)
		must(f, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 3}))
		must(f, l.Close())
	}
	f.Add(d.ReadFile(segment(1)), d.ReadFile(segment(2)), d.ReadFile("position"))
	f.Add(d.ReadFile(segment(1))[:700], d.ReadFile(segment(2))[:256], []byte{})
	f.Add([]byte("CARGAJ1\n"), bytes.Repeat([]byte("CAGR"), 100), []byte("CPOS"))
	f.Fuzz(func(t *testing.T, first, second, position []byte) {
		if len(first)+len(second) > 1<<20 {
			return
		}
		d := journaltest.New()
		d.WriteFile(segment(1), first)
		d.WriteFile(segment(2), second)
		d.WriteFile("position", position)
		l, _, err := journal.Open(d, small("later"))
		if err != nil {
			return
		}
		add(t, l, "one", "two")
		held := heldIn(t, l)
		must(t, l.Close())
		l, rec := openDisk(t, d, "last")
		if got := heldIn(t, l); !slices.Equal(got, held) || rec.Last == nil || rec.Last.Seq != 2 {
			t.Fatalf("held %q, then %q; last %+v", held, got, rec.Last)
		}
		must(t, l.Close())
	})
}
