package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/agent/journal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
)

// TestTenYears: a charging point that restarts each third day and is
// acknowledged holds after ten years what it held after one, in memory and on
// its disk, and a boot reads no more.
func TestTenYears(t *testing.T) {
	d := journaltest.New()
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	type size struct {
		memory map[string]int
		disk   int64
		files  int
		reads  int
	}
	var sizes []size
	const year = 365 / 3
	for boot := range 10 * year {
		now = now.Add(3 * 24 * time.Hour)
		id := charge.JournalID(fmt.Sprint("b", boot))
		l, found, err := journal.Open(d, journal.Options{CP: cp, Journal: id, Now: func() time.Time { return now }})
		must(t, err)
		for i := range 20 {
			must(t, l.Append(journal.Normal, record(fmt.Sprint(i))))
		}
		must(t, l.SetPosition(journal.Position{Central: central(), Journal: id, Seq: 20}))
		if (boot+1)%year == 0 {
			names, err := d.List()
			must(t, err)
			sizes = append(sizes, size{growth.Elements(l), d.Used(), len(names), len(found.Since)})
		}
		must(t, l.Close())
	}
	first, last := sizes[0], sizes[len(sizes)-1]
	for _, line := range growth.More(first.memory, last.memory, 2) {
		t.Errorf("after ten years the journal%s", line)
	}
	if last.disk > first.disk+64<<10 || last.files > first.files+1 || last.reads > first.reads+20 {
		t.Errorf("%d bytes in %d files after a year, %d in %d after ten; a boot read %d records, then %d",
			first.disk, first.files, last.disk, last.files, first.reads, last.reads)
	}
}
