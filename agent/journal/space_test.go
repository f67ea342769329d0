package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
)

const reserveName = "reserve"

// upTo appends records of a class until one is refused, and counts them.
func upTo(t fataler, l *journal.Log, c journal.Class, most int) (n int) {
	t.Helper()
	for n < most {
		err := l.Append(c, record(strings.Repeat("x", 100)))
		if errors.Is(err, journal.ErrFull) {
			return n
		}
		must(t, err)
		n++
	}
	return n
}

// TestQuota: samples are refused from nine tenths on, normal records when it is
// used up, final ones never; an acknowledgement frees space, without a new boot.
func TestQuota(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1", func(o *journal.Options) { o.Quota = 40 << 10; o.RetainBytes = 1 })
	samples := upTo(t, l, journal.Sample, 1000)
	if p := l.QuotaPermille(); p < 900 || p > 1000 || samples < 100 {
		t.Errorf("samples end at %d permille, after %d", p, samples)
	}
	normal := upTo(t, l, journal.Normal, 1000)
	if p := l.QuotaPermille(); p > 1000 || p < 950 || normal < 10 {
		t.Errorf("normal records end at %d permille, after %d", p, normal)
	}
	if n := upTo(t, l, journal.Final, 200); n != 200 {
		t.Errorf("%d of 200 final records are taken", n)
	}
	all := samples + normal + 200
	if got := len(heldIn(t, l)); got != all {
		t.Errorf("%d of %d are held", got, all)
	}
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: charge.Seq(all)}))
	if p := l.QuotaPermille(); p != 0 || upTo(t, l, journal.Sample, 10) != 10 {
		t.Errorf("all is acknowledged: %d permille", p)
	}
}

// TestReboots: each boot uses little space for its one record, and it counts.
func TestReboots(t *testing.T) {
	d := journaltest.New()
	last := int64(0)
	for i := range 50 {
		l, _, err := journal.Open(d, journal.Options{CP: cp, Journal: charge.JournalID(fmt.Sprint("b", i)), Quota: 2 << 20})
		must(t, err)
		must(t, l.Append(journal.Final, record("x")))
		p := l.QuotaPermille()
		if p <= last {
			t.Fatalf("boot %d: %d permille, as the one before", i, p)
		}
		last = p
		must(t, l.Close())
	}
	if used := d.Used(); used > 50*33<<10+256<<10 || last < 700 {
		t.Errorf("50 boots take %d KiB, %d permille of 2 MiB", used>>10, last)
	}
}

// TestFullDisk: acknowledged segments are deleted first; then normal records are
// refused, and final ones use the reserve. With space again all records are
// accepted, and the reserve is restored.
func TestFullDisk(t *testing.T) {
	d := journaltest.New()
	d.Capacity = 64 << 10
	l, _ := openDisk(t, d, "b1", func(o *journal.Options) {
		o.Reserve = 8 << 10
		o.Checkpoint = func() ([]byte, error) { return []byte("state"), nil }
	})
	first := upTo(t, l, journal.Normal, 1000)
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: charge.Seq(first / 2)}))
	if p := l.QuotaPermille(); p >= 900 {
		t.Errorf("half may be deleted, yet %d permille", p)
	}
	second := upTo(t, l, journal.Normal, 1000)
	if second < first/3 || l.Held()[0].First == 1 || l.QuotaPermille() < 900 {
		t.Errorf("%d records, then %d in the space of half of them; %+v; %d permille", first, second, l.Held(), l.QuotaPermille())
	}
	if n := upTo(t, l, journal.Sample, 1); n != 0 {
		t.Error("a sample is taken on a full disk")
	}
	if d.ReadFile(reserveName) == nil {
		t.Error("normal records have used the reserve")
	}
	final := upTo(t, l, journal.Final, 1000)
	if final < 15 || d.ReadFile(reserveName) != nil {
		t.Errorf("%d final records are taken, the reserve is there: %t", final, d.ReadFile(reserveName) != nil)
	}
	if n := upTo(t, l, journal.Normal, 1); n != 0 {
		t.Error("a normal record is taken from the reserve")
	}
	must(t, l.Close())

	// A boot on a full disk registers as soon as there is any space.
	l, rec := openDisk(t, d, "b2", func(o *journal.Options) { o.Reserve = 8 << 10 })
	if len(rec.Damaged) > 0 || len(rec.Notes) == 0 || l.QuotaPermille() != 1000 {
		t.Errorf("found %+v, %q, %d permille", rec.Damaged, rec.Notes, l.QuotaPermille())
	}
	if err := l.Append(journal.Final, record("c")); !errors.Is(err, journal.ErrFull) {
		t.Errorf("got %v on a disk that is full to the last byte", err)
	}
	d.Capacity += 4096
	must(t, l.Append(journal.Final, record("c")))
	if upTo(t, l, journal.Normal, 1) != 0 {
		t.Error("a normal record before the reserve is back")
	}
	d.Capacity += 64 << 10
	if p := l.QuotaPermille(); p >= 900 {
		t.Errorf("there is space again, yet %d permille", p)
	}
	if upTo(t, l, journal.Normal, 1) != 1 || upTo(t, l, journal.Sample, 1) != 1 || len(d.ReadFile(reserveName)) != 8<<10 {
		t.Errorf("the reserve has %d bytes", len(d.ReadFile(reserveName)))
	}
}

// TestFullDiskAnyOrder: records accepted on a disk of changing size are held, also
// after power cuts, and refused ones are not.
func TestFullDiskAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		d := journaltest.New()
		d.Capacity = 20 << 10
		boot := 1
		o := func(o *journal.Options) { o.Reserve = 4 << 10; o.Quota = 30 << 10; o.SegmentSize = 2048 }
		l, _ := openDisk(t, d, "b1", o)
		var want []string
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch r.IntN(8) {
			case 0:
				d.Capacity = int64(8+r.IntN(40)) << 10
			case 1:
				d.Cut(func(n int) int { return r.IntN(n) })
				boot++
				var rec journal.Recovery
				l, rec = openDisk(t, d, fmt.Sprint("b", boot), o)
				if got := heldIn(t, l); !slices.Equal(got, want) || len(rec.Damaged) > 0 {
					t.Fatalf("held %d, want %d; named %+v", len(got), len(want), rec.Damaged)
				}
			default:
				var raw []byte
				pad := strings.Repeat("x", r.IntN(500))
				err := l.Append(journal.Class(r.IntN(3)), func(seq charge.Seq, prev string) (_ []byte, err error) {
					raw, err = record(pad)(seq, prev)
					return raw, err
				})
				if err == nil {
					want = append(want, fmt.Sprintf("b%d|%s", boot, raw))
				} else if !errors.Is(err, journal.ErrFull) {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestFullWithoutPreallocation: a file system that needs space to overwrite
// refuses late, which costs a segment and no record.
func TestFullWithoutPreallocation(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1")
	add(t, l, "a1")
	d.Fault = failing(journaltest.Write, -1, syscall.ENOSPC)
	if err := l.Append(journal.Final, record("refused")); !errors.Is(err, journal.ErrFull) {
		t.Errorf("got %v", err)
	}
	d.Fault = nil
	add(t, l, "a2")
	must(t, l.Close())
	l, rec := openDisk(t, d, "b2")
	if notesOf(heldIn(t, l)) != "a1 a2" || len(rec.Damaged) > 0 {
		t.Errorf("held %q, named %+v", notesOf(heldIn(t, l)), rec.Damaged)
	}
}

// TestAge: acknowledged segments go after 35 days, but never by a clock that was
// not set at either end.
func TestAge(t *testing.T) {
	set := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name          string
		written, then time.Time
		kept          bool
	}{
		{"old", set, set.AddDate(0, 0, 36), false},
		{"not old", set, set.AddDate(0, 0, 34), true},
		{"not set when written", time.Unix(10, 0), set, true},
		{"not set now", set, time.Unix(10, 0), true},
		{"never set", time.Unix(10, 0), time.Unix(1e8, 0), true},
	} {
		now := c.written
		l, _ := openDisk(t, journaltest.New(), "b1", func(o *journal.Options) { o.Now = func() time.Time { return now } })
		add(t, l, numbered("a", 100)...)
		now = c.then
		must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 100}))
		if got := len(heldIn(t, l)); (got == 100) != c.kept {
			t.Errorf("%s: %d of 100 are kept", c.name, got)
		}
	}
}

// TestDeletionFails: it is retried, and nothing is lost.
func TestDeletionFails(t *testing.T) {
	d := journaltest.New()
	l, _ := openDisk(t, d, "b1", func(o *journal.Options) { o.RetainBytes = 1 })
	add(t, l, numbered("a", 100)...)
	d.Fault = failing(journaltest.Remove, -1, syscall.EIO)
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 100}))
	if got := len(heldIn(t, l)); got != 100 {
		t.Errorf("%d are held", got)
	}
	d.Fault = nil
	must(t, l.SetPosition(journal.Position{Central: central(), Journal: "b1", Seq: 100}))
	if got := len(heldIn(t, l)); got == 100 {
		t.Error("nothing was deleted")
	}
}
