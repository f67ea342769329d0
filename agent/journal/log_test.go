package journal_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
)

const cp = charge.CPID("CP_001")

func open(t *testing.T, dir string, boot int, change ...func(*journal.Options)) (*journal.Log, journal.Recovery) {
	t.Helper()
	l, rec, err := tryOpen(t, dir, boot, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, rec
}

func tryOpen(t *testing.T, dir string, boot int, change ...func(*journal.Options)) (*journal.Log, journal.Recovery, error) {
	t.Helper()
	fs, err := journal.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := journal.Options{CP: cp, Journal: charge.JournalID(fmt.Sprintf("boot-%d", boot)), SegmentSize: 4096}
	for _, c := range change {
		c(&o)
	}
	return journal.Open(fs, o)
}

// record is a record whose bytes hold its number and what it follows.
func record(note string) journal.Encode {
	return func(seq charge.Seq, prev string) ([]byte, error) {
		return fmt.Appendf(nil, "%d|%s|%s", seq, prev, note), nil
	}
}

func fill(t *testing.T, l *journal.Log, n int, note string) {
	t.Helper()
	for i := range n {
		if err := l.Append(journal.Normal, record(fmt.Sprintf("%s-%d", note, i))); err != nil {
			t.Fatal(err)
		}
	}
}

// all reads everything held, checking order, numbers and chain.
func all(t *testing.T, l *journal.Log) []string {
	t.Helper()
	var list []string
	index := uint64(0)
	for _, r := range l.Held() {
		if index == 0 {
			index = r.Index
		}
		if r.Index != index {
			t.Fatalf("range %+v begins at index %d, want %d", r, r.Index, index)
		}
		for seq := r.First; seq <= r.Last; seq++ {
			e, err := l.Read(index)
			if err != nil || e.Journal != r.Journal || e.Seq != seq || !strings.HasPrefix(string(e.Bytes), fmt.Sprintf("%d|", seq)) {
				t.Fatalf("index %d: %+v %q %v, want %s/%d", index, e, e.Bytes, err, r.Journal, seq)
			}
			list = append(list, string(e.Bytes))
			index++
		}
	}
	return list
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// TestBoots: each boot begins a journal of its own behind the last record, and
// everything is held in order, over segments.
func TestBoots(t *testing.T) {
	dir := t.TempDir()
	var want []string
	last := ""
	for boot := 1; boot <= 4; boot++ {
		l, rec := open(t, dir, boot)
		if boot > 1 && (rec.Last == nil || rec.Last.Journal != charge.JournalID(fmt.Sprintf("boot-%d", boot-1)) || string(rec.Last.Bytes) != last) {
			t.Fatalf("boot %d found %+v, want %q last", boot, rec.Last, last)
		}
		if len(rec.Damaged) > 0 || rec.TornBytes != 0 {
			t.Fatalf("boot %d: damaged %+v, torn %d", boot, rec.Damaged, rec.TornBytes)
		}
		if got := stringsOf(rec.Since); !slices.Equal(got, want) {
			t.Fatalf("boot %d: %d records since, want %d", boot, len(got), len(want))
		}
		fill(t, l, 100, "x")
		got := all(t, l)
		for i, r := range got[len(want):] {
			prev := ""
			if i > 0 || boot > 1 {
				prev = journal.Hash([]byte(last))
			}
			if f := strings.Split(r, "|"); f[0] != fmt.Sprint(i+1) || f[1] != prev {
				t.Fatalf("record %q does not follow %q", r, last)
			}
			last = r
		}
		want = got
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(segments(t, dir)) < 8 {
		t.Errorf("only %d segments: the test is too small", len(segments(t, dir)))
	}
}

func stringsOf(list [][]byte) []string {
	out := make([]string, 0, len(list))
	for _, b := range list {
		out = append(out, string(b))
	}
	return out
}

// TestTogether: concurrent callers lose nothing and share syncs; a job that cannot
// be encoded does not affect others.
func TestTogether(t *testing.T) {
	l, _ := open(t, t.TempDir(), 1)
	var wg sync.WaitGroup
	broken := errors.New("broken")
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := l.Append(journal.Normal, record(fmt.Sprintf("%d-%d-a", g, i)), record(fmt.Sprintf("%d-%d-b", g, i))); err != nil {
					t.Error(err)
				}
				bad := func(charge.Seq, string) ([]byte, error) { return nil, broken }
				if err := l.Append(journal.Normal, record("never"), bad); !errors.Is(err, broken) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	wg.Wait()
	got := all(t, l)
	if len(got) != 800 {
		t.Fatalf("%d records, want 800", len(got))
	}
	last := ""
	for i, r := range got {
		f := strings.Split(r, "|")
		if f[2] == "never" || i > 0 && f[1] != journal.Hash([]byte(last)) {
			t.Fatalf("record %q behind %q", r, last)
		}
		last = r
	}
}

// TestRefusals: a second process, another charging point's directory, and a
// boot's id used twice are refused with an error.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, 1)
	fill(t, l, 1, "x")
	if _, _, err := tryOpen(t, dir, 2); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	_ = l.Close()
	if _, _, err := tryOpen(t, dir, 2, func(o *journal.Options) { o.CP = "CP_002" }); err == nil || !strings.Contains(err.Error(), "CP_001") || !strings.Contains(err.Error(), "CP_002") {
		t.Errorf("another's directory: %v", err)
	}
	if _, _, err := tryOpen(t, dir, 1); err == nil {
		t.Error("a boot's id was used twice")
	}
	if err := l.Append(journal.Normal, record("late")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("append behind Close: %v", err)
	}
}

// TestPositionAndRetention: the position survives, and only acknowledged segments
// beyond the limits are deleted.
func TestPositionAndRetention(t *testing.T) {
	dir := t.TempDir()
	small := func(o *journal.Options) { o.RetainBytes = 8192; o.RetainFor = time.Hour }
	l, _ := open(t, dir, 1, small)
	fill(t, l, 200, "x")
	if got := len(all(t, l)); got != 200 {
		t.Fatalf("%d records held, want all 200: nothing is acknowledged", got)
	}
	if err := l.SetPosition(journal.Position{Central: central(), Journal: "boot-1", Seq: 150}); err != nil {
		t.Fatal(err)
	}
	held := l.Held()
	if first := held[0].First; first < 50 || first > 151 || held[len(held)-1].Last != 200 {
		t.Errorf("held %+v", held)
	}
	all(t, l)
	if _, err := l.Read(1); !errors.Is(err, journal.ErrNotHeld) {
		t.Errorf("a record forgotten: %v", err)
	}
	_ = l.Close()
	l, rec := open(t, dir, 2, small)
	if want := (journal.Position{Central: central(), Journal: "boot-1", Seq: 150}); rec.Position != want || l.Position() != want {
		t.Errorf("position %+v, want %+v", rec.Position, want)
	}
	if len(rec.Damaged) > 0 {
		t.Errorf("what was forgotten counts as damage: %+v", rec.Damaged)
	}
	fill(t, l, 2, "y")
	all(t, l)
}

// TestPositionOfAnEarlierVersion: it named Central by a UUIDv7 and accepted
// any other id, too; every Central replaces such an id.
func TestPositionOfAnEarlierVersion(t *testing.T) {
	for _, tc := range []struct{ was, want charge.Epoch }{
		{charge.Epoch{Run: "03b3d6f8-0c00-7000-8000-000000000001"}, charge.Epoch{Run: "03b3d6f8-0c00-7000-8000-000000000001"}},
		{charge.Epoch{Run: "zzzz"}, charge.Epoch{}},
	} {
		dir := t.TempDir()
		l, _ := open(t, dir, 1)
		fill(t, l, 3, "x")
		if err := l.SetPosition(journal.Position{Central: tc.was, Journal: "boot-1", Seq: 2}); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		l, rec := open(t, dir, 2)
		if want := (journal.Position{Central: tc.want, Journal: "boot-1", Seq: 2}); rec.Position != want {
			t.Errorf("%s: found %+v, want %+v", tc.was, rec.Position, want)
		}
		_ = l.Close()
	}
}

// TestCheckpoint: the last one is recovered with the records after it, and nothing
// older is needed.
func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	n := 0
	counting := func(o *journal.Options) { o.Checkpoint = func() ([]byte, error) { return fmt.Append(nil, n), nil } }
	l, _ := open(t, dir, 1, counting)
	for range 300 {
		if err := l.Append(journal.Normal, func(seq charge.Seq, prev string) ([]byte, error) { n++; return record("x")(seq, prev) }); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	_, rec := open(t, dir, 2, counting)
	if string(rec.Checkpoint) == "0" || string(rec.Checkpoint) != fmt.Sprint(300-len(rec.Since)) {
		t.Errorf("checkpoint %s with %d records behind it, of 300", rec.Checkpoint, len(rec.Since))
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fs, err := journal.OS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			l, _, err := journal.Open(fs, journal.Options{CP: cp, Journal: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			group := make([]journal.Encode, n)
			for i := range group {
				group[i] = record(strings.Repeat("x", 200))
			}
			for b.Loop() {
				if err := l.Append(journal.Normal, group...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			_ = l.Close()
		})
	}
}
