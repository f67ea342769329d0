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

// verifiedHash verifies a database and returns the hash of its ledger.
func verifiedHash(t *testing.T, path string) string {
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

// A backup made while Central runs is started while the old Central is still
// alive. It has the higher epoch, so the old one is fenced. What happened
// meanwhile is read again, and nothing is billed twice.
func TestARestoredBackupOutranksTheOldCentral(t *testing.T) {
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
		o.publish(wire.TopicEvents, p.All...)
		time.Sleep(3 * time.Second)
		copied := settings(filepath.Join(dir, "restored.db"))
		if size, err := app.Backup(t.Context(), cfg, copied.Database.Path); err != nil || size == 0 {
			t.Fatalf("backup: %d bytes, %v", size, err)
		}
		known := len(p.All)
		p.Charge(2)
		o.publish(wire.TopicEvents, p.All[known:]...)
		time.Sleep(3 * time.Second)
		seq, before := o.acked(p.Journal)
		if seq != p.Seq {
			t.Fatalf("acknowledged %d before the restore, want %d", seq, p.Seq)
		}

		verifiedHash(t, path) // while Central runs on it
		copied.Takeover = true
		restored := w.central(copied)
		time.Sleep(10 * time.Second)
		if page := old.get(w, "/api/v1/network"); !strings.Contains(page, "took over") {
			t.Errorf("the old Central does not show that it is fenced: %s", page)
		}
		known = len(p.All)
		p.Charge(3)
		o.publish(wire.TopicEvents, p.All[known:]...)
		time.Sleep(5 * time.Second)
		if seq, by := o.acked(p.Journal); seq != p.Seq || !before.Less(by) {
			t.Errorf("acknowledged %d by %s, want %d by a greater one than %s", seq, by, p.Seq, before)
		}
		sums, err := restored.central.Totals(t.Context())
		if err != nil || sums.Applied != int64(p.Seq) || sums.Tickets != 3 || sums.Billed != 3*2100 || sums.Lost != 0 {
			t.Errorf("totals: got %+v %v", sums, err)
		}
		if sums, err := old.central.Totals(t.Context()); err != nil || sums.Tickets != 2 {
			t.Errorf("the fenced one went on billing: %+v %v", sums, err)
		}
		o.eachTicketOnce()
		restored.stop()
		old.stop()
		o.stop()

		// The same records make the same ledger, in Central and in rebuild.
		whole := settings(filepath.Join(dir, "whole.db"))
		whole.Takeover = true
		c := w.central(whole)
		time.Sleep(5 * time.Second)
		c.stop()
		if got, want := verifiedHash(t, copied.Database.Path), verifiedHash(t, whole.Database.Path); got != want {
			t.Errorf("ledger hash after the restore %s, of one that saw it all %s", got, want)
		}
	})
}

// A record that cannot be decoded blocks its charging point until an operator
// passes it. Then exactly that record is a gap, which is listed and explained.
func TestADeadLetterIsPassed(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		w, c, o := network(t, settings(path))
		p := journaltest.New(t, "CP_1")
		p.Charge(1)
		const bad = 4
		o.publish(wire.TopicEvents, p.All[:bad]...)
		o.publish(wire.TopicEvents, journaltest.Message{Key: "CP_1", Value: []byte("{")})
		o.publish(wire.TopicEvents, p.All[bad+1:]...)
		time.Sleep(3 * time.Second)
		seq, self := o.acked(p.Journal)
		if seq != bad {
			t.Errorf("acknowledged %d, want %d: the dead letter holds it up", seq, bad)
		}
		o.publish(wire.TopicMonitor, p.Presence(bad+1, self))
		time.Sleep(time.Second)
		c.post(w, "/api/v1/cps/CP_1/pass-next", "")
		o.publish(wire.TopicEvents, p.All[bad+1:]...) // as the agent does
		time.Sleep(time.Second)
		if seq, _ := o.acked(p.Journal); seq != p.Seq {
			t.Errorf("acknowledged %d, want all %d", seq, p.Seq)
		}
		gaps := c.get(w, "/api/v1/gaps")
		if !strings.Contains(gaps, `"cause":"dead_letter"`) || !strings.Contains(gaps, `"detail":"passed by an operator"`) {
			t.Errorf("gaps: %s", gaps)
		}
		if alarms := c.get(w, "/api/v1/alarms"); !strings.Contains(alarms, `"kind":"gap"`) {
			t.Errorf("a gap without an alarm: %s", alarms)
		}
		c.post(w, "/api/v1/gaps/1/explain", `{"note":"a flipped bit, see the dead letter"}`)
		if gaps := c.get(w, "/api/v1/gaps"); !strings.Contains(gaps, "passed by an operator; a flipped bit") || !strings.Contains(gaps, `"missing":[{"first":5,"last":5}]`) {
			t.Errorf("gaps: %s", gaps)
		}
		if alarms := c.get(w, "/api/v1/alarms"); strings.Contains(alarms, `"kind":"gap"`) {
			t.Errorf("the alarm is still there: %s", alarms)
		}
		c.stop()
		o.stop()
		verifiedHash(t, path)
	})
}
