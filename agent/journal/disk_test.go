package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

// fataler is *testing.T, *rapid.T or *testing.F.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// small are options of a journal that rotates often.
func small(boot string, change ...func(*journal.Options)) journal.Options {
	o := journal.Options{CP: cp, Journal: charge.JournalID(boot), SegmentSize: 4096, Reserve: 1}
	for _, c := range change {
		c(&o)
	}
	return o
}

func openDisk(t fataler, d journal.FS, boot string, change ...func(*journal.Options)) (*journal.Log, journal.Recovery) {
	t.Helper()
	l, r, err := journal.Open(d, small(boot, change...))
	if err != nil {
		t.Fatal(err)
	}
	return l, r
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add appends one record for each note.
func add(t fataler, l *journal.Log, notes ...string) {
	t.Helper()
	for _, n := range notes {
		must(t, l.Append(journal.Normal, record(n)))
	}
}

func numbered(prefix string, n int) (notes []string) {
	for i := range n {
		notes = append(notes, fmt.Sprint(prefix, i))
	}
	return notes
}

// heldIn is what a log holds, each record as journal|seq|prev|note.
func heldIn(t fataler, l *journal.Log) (list []string) {
	t.Helper()
	index := uint64(0)
	for _, r := range l.Held() {
		if index > 0 && r.Index != index || r.Last < r.First {
			t.Fatalf("range %+v behind index %d", r, index)
		}
		for i := range uint64(r.Last - r.First + 1) {
			e, err := l.Read(r.Index + i)
			if err != nil {
				t.Fatal(err)
			}
			if e.Journal != r.Journal || e.Seq != r.First+charge.Seq(i) || e.Index != r.Index+i {
				t.Fatalf("entry %+v in range %+v", e, r)
			}
			list = append(list, string(e.Journal)+"|"+string(e.Bytes))
		}
		index = r.Index + uint64(r.Last-r.First) + 1
	}
	return list
}

// notesOf is the last part of each record.
func notesOf(list []string) string {
	var notes []string
	for _, r := range list {
		notes = append(notes, r[strings.LastIndexByte(r, '|')+1:])
	}
	return strings.Join(notes, " ")
}

// lost is the damage as journal:first-last.
func lost(r journal.Recovery) string {
	var words []string
	for _, d := range r.Damaged {
		words = append(words, fmt.Sprintf("%s:%d-%d", d.Journal, d.First, d.Last))
	}
	return strings.Join(words, " ")
}

// failing makes operations of a kind fail, the first n of them (−1: all).
func failing(kind journaltest.Kind, n int, err error) func(journaltest.Op) error {
	return func(o journaltest.Op) error {
		if o.Kind != kind || n == 0 {
			return nil
		}
		n--
		return err
	}
}

var errCut = errors.New("the power fails here")

// dies calls f and lets the process end at the first operation of a kind.
func dies(d *journaltest.Disk, kind journaltest.Kind, f func()) {
	d.Fault = func(o journaltest.Op) error {
		if o.Kind == kind {
			panic(errCut)
		}
		return nil
	}
	defer func() {
		d.Fault = nil
		if p := recover(); p != nil && p != errCut { //nolint:errorlint // the value itself was thrown
			panic(p)
		}
	}()
	f()
}

func keepNone(int) int { return 0 }

func segment(n int) string { return fmt.Sprintf("%012d.seg", n) }

// change flips bytes of a file.
func change(d *journaltest.Disk, name string, f func(b []byte) []byte) {
	d.WriteFile(name, f(d.ReadFile(name)))
}

func damageFrame(t fataler, d *journaltest.Disk, name, note string) {
	t.Helper()
	change(d, name, func(b []byte) []byte {
		i := strings.Index(string(b), note)
		if i < 0 {
			t.Fatalf("%q is not in %s", note, name)
		}
		b[i] ^= 1
		return b
	})
}

// TestTornTailStaysTorn: a torn tail is dropped and never reported as damage, not
// even by later boots that used its numbers again and were acknowledged.
func TestTornTailStaysTorn(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1")
	add(t, l, numbered("a", 5)...)
	big := strings.Repeat("y", 600)
	dies(d, journaltest.Sync, func() {
		_ = l.Append(journal.Normal, record("t1"+big), record("t2"+big), record("t3"+big))
	})
	k := 0
	d.Cut(func(n int) int { // the first sectors are lost, the last ones are not
		if n != 2 {
			return n - 1
		}
		k++
		return min(k/3, 1)
	})
	l, rec := openDisk(t, d, "b2")
	if lost(rec) != "" || notesOf(heldIn(t, l)) != "a0 a1 a2 a3 a4" || rec.TornBytes == 0 {
		t.Fatalf("boot 2 names %q, torn %d, holds %s", lost(rec), rec.TornBytes, notesOf(heldIn(t, l)))
	}
	add(t, l, numbered("b", 10)...)
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b2", Seq: 10}))
	must(t, l.Close())
	l, rec = openDisk(t, d, "b3")
	if got := heldIn(t, l); lost(rec) != "" || len(got) != 15 {
		t.Errorf("boot 3 names %q, holds %s", lost(rec), notesOf(got))
	}
}

// TestCheckpointDamaged: the records behind it are held, and the state comes
// from the one before.
func TestCheckpointDamaged(t *testing.T) {
	d := journaltest.New()
	n := 0
	o := func(o *journal.Options) {
		o.Checkpoint = func() ([]byte, error) { return fmt.Append(nil, "state-", n), nil }
	}
	for boot := range 2 {
		l, _ := openDisk(t, d, fmt.Sprint("b", boot), o)
		for range 3 {
			must(t, l.Append(journal.Normal, func(seq charge.Seq, prev string) ([]byte, error) {
				n++
				return record("r")(seq, prev)
			}))
		}
		must(t, l.Close())
	}
	damageFrame(t, d, segment(2), "state-4")
	l, rec := openDisk(t, d, "b9", o)
	if len(heldIn(t, l)) != 6 || lost(rec) != "" || string(rec.Checkpoint) != "state-1" || len(rec.Since) != 5 || len(rec.Notes) != 1 {
		t.Errorf("held %d, lost %q, checkpoint %q and %d records, %q", len(heldIn(t, l)), lost(rec), rec.Checkpoint, len(rec.Since), rec.Notes)
	}
}

// TestTheLastCheckpointIsKept, wherever it is.
func TestTheLastCheckpointIsKept(t *testing.T) {
	d := journaltest.New()
	o := func(o *journal.Options) {
		o.RetainBytes = 1
		o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
	}
	for boot := range 3 {
		l, _ := openDisk(t, d, fmt.Sprint("b", boot), o)
		add(t, l, "a")
		must(t, l.Close())
	}
	damageFrame(t, d, segment(3), "state")
	l, _ := openDisk(t, d, "b3", o)
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b2", Seq: 1}))
	must(t, l.Close())
	l, rec := openDisk(t, d, "b4", o)
	if string(rec.Checkpoint) != "state" || len(rec.Since) != 1 || l.Held()[0].Journal != "b1" {
		t.Errorf("checkpoint %q and %d records, held %+v", rec.Checkpoint, len(rec.Since), l.Held())
	}
	add(t, l, "b")
	if h := l.Held(); len(h) != 1 || h[0].Journal != "b4" {
		t.Errorf("held %+v behind a new checkpoint", h)
	}
}

// TestUnreadablePages: the records on them are reported, the others are held, and
// the agent starts.
func TestUnreadablePages(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1", func(o *journal.Options) { o.SegmentSize = 32 << 10 })
	add(t, l, numbered("a", 500)...)
	must(t, l.Close())
	for _, bad := range []struct{ name, want string }{{segment(1), "b1:"}, {segment(2), "b1:"}, {positionName, ""}, {"reserve", ""}} {
		for _, page := range []int64{0, 1, 5} {
			c := d.Clone()
			c.Fault = func(o journaltest.Op) error {
				if o.Kind == journaltest.Read && o.Name == bad.name && o.At < (page+1)*4096 && o.At+int64(o.Len) > page*4096 {
					return syscall.EIO
				}
				return nil
			}
			l, rec := openDisk(t, c, "b2")
			got := len(heldIn(t, l))
			for _, x := range rec.Damaged {
				got += int(x.Last - x.First + 1)
			}
			first := page == 0 && bad.want != "" // it is written from the start
			if got != 500 || first != strings.HasPrefix(lost(rec), "b1:") && page == 0 || len(rec.Damaged) > 1 {
				t.Errorf("%s page %d: %d held or named, %q, %q", bad.name, page, got, lost(rec), rec.Notes)
			}
			add(t, l, "more")
			must(t, l.Close())
		}
	}
}

const positionName = "position"

// TestAdoptedIsDurable: records that Open recovers after a kill survive a power
// cut too, also after a failed sync.
func TestAdoptedIsDurable(t *testing.T) {
	for name, end := range map[string]func(d *journaltest.Disk, l *journal.Log){
		"killed before the sync": func(d *journaltest.Disk, l *journal.Log) {
			dies(d, journaltest.Sync, func() { _ = l.Append(journal.Normal, record("a2")) })
		},
		"killed behind a sync that failed": func(d *journaltest.Disk, l *journal.Log) {
			d.Fault = failing(journaltest.Sync, -1, syscall.EIO)
			if err := l.Append(journal.Normal, record("a2")); !errors.Is(err, journal.ErrFailed) {
				panic(err)
			}
			d.Fault = nil
		},
		"killed before the name was durable": func(d *journaltest.Disk, l *journal.Log) {
			dies(d, journaltest.SyncDir, func() { _ = l.Append(journal.Normal, record(strings.Repeat("a2", 1800))) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := journaltest.New()
			l, _ := openDisk(t, d, "b1")
			add(t, l, "a1")
			end(d, l)
			d.Kill()
			l, _ = openDisk(t, d, "b2")
			want := heldIn(t, l)
			if len(want) != 2 {
				t.Fatalf("%d records are found", len(want))
			}
			d.Cut(keepNone)
			l, rec := openDisk(t, d, "b3")
			if got := heldIn(t, l); !slices.Equal(got, want) || lost(rec) != "" {
				t.Errorf("given to the caller: %q; after the cut %q, named %q", want, got, lost(rec))
			}
		})
	}
}

// TestAdoptionFails: the storage cannot be written; records that were not
// announced are dropped, and the log can be read.
func TestAdoptionFails(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1")
	add(t, l, "a1")
	dies(d, journaltest.Sync, func() { _ = l.Append(journal.Normal, record("a2")) })
	d.Kill()
	d.Fault = failing(journaltest.Sync, -1, syscall.EIO)
	l, rec := openDisk(t, d, "b2")
	if notesOf(heldIn(t, l)) != "a1" || lost(rec) != "" || len(rec.Notes) == 0 {
		t.Errorf("holds %s, names %q, notes %q", notesOf(heldIn(t, l)), lost(rec), rec.Notes)
	}
}

// TestRescue: a failed sync costs a segment and no record, whatever is left in
// the file, and the new segment begins with a checkpoint too.
func TestRescue(t *testing.T) {
	o := func(o *journal.Options) {
		o.RetainBytes = 1
		o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
	}
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1", o)
	add(t, l, "a1")
	d.Fault = failing(journaltest.Sync, 1, syscall.EIO)
	add(t, l, "a2"+strings.Repeat("z", 1500))
	d.Fault = nil
	add(t, l, numbered("b", 5)...)
	for name, kept := range map[string]int{"nothing": 0, "half": 300, "all": 2000} {
		c := d.Clone()
		change(c, segment(1), func(b []byte) []byte {
			i := strings.Index(string(b), "zzzz") + kept
			clear(b[i : len(b)-256])
			return b
		})
		l, rec := openDisk(t, c, "b2", o)
		if got := heldIn(t, l); len(got) != 7 || lost(rec) != "" {
			t.Errorf("%s is left: holds %d, names %q", name, len(got), lost(rec))
		}
	}
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 7}))
	must(t, l.Close())
	if d.ReadFile(segment(1)) != nil {
		t.Error("the first segment is kept")
	}
	l, rec := openDisk(t, d, "b2", o)
	if string(rec.Checkpoint) != "state" || len(heldIn(t, l)) != 6 {
		t.Errorf("checkpoint %q, %d held", rec.Checkpoint, len(heldIn(t, l)))
	}
}

// TestEndsOfOlderJournals: a position beyond the end of an older journal, which
// Central may hold when storage was set back, is no damage of a later one.
func TestEndsOfOlderJournals(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1")
	add(t, l, numbered("a", 5)...)
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 40}))
	must(t, l.Close())
	l, rec := openDisk(t, d, "b2")
	if lost(rec) != "b1:6-40" {
		t.Errorf("records that Central acknowledged are gone: %q", lost(rec))
	}
	add(t, l, numbered("b", 5)...)
	must(t, l.Close())
	_, rec = openDisk(t, d, "b3")
	if lost(rec) != "" {
		t.Errorf("boot 3 names %q: boot 2 has written down where b1 ends", lost(rec))
	}
}

// TestFailedTwice: the log accepts no more records, and those it holds can be read.
func TestFailedTwice(t *testing.T) {
	for _, kind := range []journaltest.Kind{journaltest.Sync, journaltest.Write, journaltest.Rename, journaltest.SyncDir, journaltest.Create} {
		d := journaltest.New()
		l, _ := openDisk(t, d, "b1")
		add(t, l, "a1")
		d.Fault = failing(kind, -1, syscall.EIO)
		big := strings.Repeat("x", 4000)
		if err := l.Append(journal.Normal, record(big)); !errors.Is(err, journal.ErrFailed) {
			t.Errorf("%s fails: %v", kind, err)
		}
		d.Fault = nil
		if err := l.Append(journal.Final, record("b")); !errors.Is(err, journal.ErrFailed) {
			t.Errorf("%s failed: %v", kind, err)
		}
		if got := notesOf(heldIn(t, l)); got != "a1" {
			t.Errorf("%s failed: holds %.60s", kind, got)
		}
		must(t, l.Close())
		l, rec := openDisk(t, d, "b2")
		add(t, l, "c1")
		if got := heldIn(t, l); lost(rec) != "" || got[0] != "b1|1||a1" || len(got) > 3 {
			t.Errorf("%s failed: boot 2 holds %.60q, names %q", kind, got, lost(rec))
		}
	}
	d := journaltest.New() // once is not enough
	l, _ := openDisk(t, d, "b1")
	for _, kind := range []journaltest.Kind{journaltest.Sync, journaltest.Write, journaltest.Rename, journaltest.SyncDir, journaltest.Create} {
		d.Fault = failing(kind, 1, syscall.EIO)
		add(t, l, string(kind)+strings.Repeat("x", 3900))
	}
	d.Fault = nil
	must(t, l.Close())
	l, rec := openDisk(t, d, "b2")
	if got := heldIn(t, l); len(got) != 5 || lost(rec) != "" {
		t.Errorf("holds %.20q, names %q", got, lost(rec))
	}
}

// TestCloseWaits: Close waits for the present commit.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := journaltest.New()
		l, _ := openDisk(t, d, "b1")
		add(t, l, "a")
		gate := make(chan struct{})
		once := failing(journaltest.Write, 1, errCut)
		d.Fault = func(o journaltest.Op) error {
			if once(o) != nil {
				<-gate
			}
			return nil
		}
		appended, closed := make(chan error, 1), make(chan error, 1)
		go func() { appended <- l.Append(journal.Normal, record("b")) }()
		synctest.Wait()
		go func() { closed <- l.Close() }()
		synctest.Wait()
		if err := l.Append(journal.Normal, record("late")); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("an append behind Close: %v", err)
		}
		close(gate)
		if a, c := <-appended, <-closed; a != nil || c != nil {
			t.Errorf("append %v, close %v", a, c)
		}
		if err := l.SetPosition(journal.Position{}); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("position behind Close: %v", err)
		}
	})
}
