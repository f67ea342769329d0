package ingest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// recordsOf counts the records of CP_1 whose bytes are kept.
func recordsOf(t *testing.T, l *instance) (n int) {
	t.Helper()
	err := l.store.RecordsOf(t.Context(), "CP_1", func(charge.JournalID, charge.Seq, string, []byte) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Old rows are deleted, a bounded number per transaction, and what was known of
// them is still known.
func TestTheWriterPrunes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Keep = time.Hour
		l := newInstance(t, options(dir), cfg)
		defer l.end()
		l.w.Join(charge.Epoch{})
		p := journaltest.New(t, "CP_1")
		for n := range 500 {
			p.Charge(n)
		}
		l.deliver(wire.TopicEvents, p.All...)
		time.Sleep(59 * time.Minute)
		if got := recordsOf(t, l); got != len(p.All) {
			t.Fatalf("held: got %d, want %d: nothing is old yet", got, len(p.All))
		}
		time.Sleep(3 * time.Minute)
		if got := recordsOf(t, l); got != 0 {
			t.Errorf("held: got %d, want none", got)
		}
		p.Charge(500)
		l.deliver(wire.TopicEvents, p.All...) // the old ones come again
		synctest.Wait()
		tickets, err := l.store.Tickets(t.Context(), view.Query{Limit: 1000})
		if err != nil || len(tickets) != 501 {
			t.Errorf("tickets: got %d %v, want 501", len(tickets), err)
		}
		if got, want := recordsOf(t, l), 8; got != want {
			t.Errorf("held: got %d, want %d: only new records are applied", got, want)
		}
	})
}
