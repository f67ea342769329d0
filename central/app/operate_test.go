package app_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/wire"
)

// sound verifies a database and answers the hash of its ledger.
func sound(t *testing.T, path string) string {
	t.Helper()
	r, err := app.Verify(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong() != 0 {
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s is not sound:\n%s", path, b.String())
	}
	return r.Hash
}

// A backup made while Central runs is started elsewhere while the old one still
// lives: it is the greater incarnation, the old one is fenced, what happened
// meanwhile is read again, and nothing is billed twice.
func TestARestoredBackupTakesOver(t *testing.T) {
	path, dir := db(t), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.kafka()
		defer w.kafkaGone()
		cfg := settings(path)
		old := w.central(cfg)
		o := w.others(cfg)
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		o.say(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		copied := settings(filepath.Join(dir, "restored.db"))
		if size, err := app.Backup(t.Context(), cfg, copied.Database.Path); err != nil || size == 0 {
			t.Fatalf("backup: %d bytes, %v", size, err)
		}
		known := len(p.All)
		p.Charge(2)
		o.say(wire.TopicEvents, p.All[known:]...)
		time.Sleep(3 * time.Second)
		seq, before := o.acked(p.Journal)
		if seq != p.Seq {
			t.Fatalf("acknowledged %d before the restore, want %d", seq, p.Seq)
		}

		sound(t, path) // while Central runs on it
		copied.TakeOver = true
		restored := w.central(copied)
		time.Sleep(10 * time.Second)
		if page := old.get(w, "/api/v1/network"); !strings.Contains(page, "took over") {
			t.Errorf("the old Central does not say that it is fenced: %s", page)
		}
		known = len(p.All)
		p.Charge(3)
		o.say(wire.TopicEvents, p.All[known:]...)
		time.Sleep(5 * time.Second)
		if seq, by := o.acked(p.Journal); seq != p.Seq || by <= before {
			t.Errorf("acknowledged %d by %s, want %d by a greater one than %s", seq, by, p.Seq, before)
		}
		sums, err := restored.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 3 || sums.Billed != 3*2100 || sums.Lost != 0 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		if sums, err := old.central.Totals(t.Context()); err != nil || sums.Tickets != 2 {
			t.Errorf("the fenced one went on billing: %+v %v", sums, err)
		}
		for id, events := range o.tickets() {
			if len(events) != 1 {
				t.Errorf("session %s was told as different tickets: %v", id, events)
			}
		}
		restored.stop()
		old.stop()
		o.stop()

		// The same records make the same ledger, whoever folded them.
		whole := settings(filepath.Join(dir, "whole.db"))
		whole.TakeOver = true
		c := w.central(whole)
		time.Sleep(5 * time.Second)
		c.stop()
		if got, want := sound(t, copied.Database.Path), sound(t, whole.Database.Path); got != want {
			t.Errorf("ledger hash after the restore %s, of one that saw it all %s", got, want)
		}
	})
}
