package e2e_test

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// In these tests the storage of an agent is set back, emptied or cloned. It is
// that of the first charging point; the second must not be affected.

// storage is a fault of the storage of the first charging point, during its
// second session.
type storage struct {
	name    string
	kept    string // when the copy is made that is restored
	cutOff  bool   // and the bridge stopped before, so that no record of the session's end is published
	alarm   string // that Central must raise
	orphans int64  // sessions whose end is lost
}

// TestStorageOfAnAgentIsLostOrCloned: a loss is never silent. Each Wh is on a
// ticket or shown as unaccounted, no ticket changes or is made twice, and the
// charging point serves again without intervention.
func TestStorageOfAnAgentIsLostOrCloned(t *testing.T) {
	t.Parallel()
	p := plan{points: 2}
	want := withoutLoss(t, p)
	for _, s := range []storage{
		{name: "set back to before the session", kept: "idle", alarm: "storage_rolled_back", orphans: 1},
		{name: "set back into an ended session", kept: "in session", alarm: "ticket_differs", orphans: 1},
		{name: "emptied", alarm: "storage_replaced", orphans: 1},
		{name: "set back while cut off", kept: "idle", cutOff: true, alarm: "energy_unaccounted", orphans: 1},
		{name: "emptied while cut off", cutOff: true, alarm: "energy_unaccounted", orphans: 1},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, p, func(w *world) { s.run(w, want) })
		})
	}
	for name, inSession := range map[string]bool{"cloned between two sessions": false, "cloned in a session": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, p, func(w *world) { runCloned(w, want, inSession) })
		})
	}
}

func (s storage) run(w *world, want map[charge.CPID][]string) {
	w.t.Helper()
	hit, other := w.points[0], w.points[1]
	older := hit.dir + " older"
	w.start(allParts()...)
	line := w.client()
	// This driver waits for the end of a session that never comes, so the next
	// service there has another driver.
	w.drive(line, driverPlan{username: "driver1", cp: hit.id, services: 2})
	others := w.drive(line, driverPlan{username: "driver2", cp: other.id, services: servicesEach, pause: w.plan.pause})
	w.awaitCharging(hit)
	if s.kept == "in session" {
		w.copyFolder(hit.dir, older)
	}
	w.await(time.Hour, "the first session is over", func() bool { return hit.shown().SessionID == "" && !hit.outlet().Plugged })
	w.await(healTimeout, "everything is acknowledged", func() bool { return hit.status().Unacked == 0 })
	if s.kept == "idle" {
		w.copyFolder(hit.dir, older)
	}
	w.await(time.Hour, "the second session runs", func() bool { return hit.visits.Load() == 2 && hit.charging() })
	time.Sleep(20 * time.Second)
	if s.cutOff {
		w.stop("bridge")
		time.Sleep(time.Minute)
	}
	hit.kill()
	before := w.read(hit.id, hit.dir)
	before = before[:w.recordCount(hit.id)]
	w.replaceStorage(hit.dir, older, s.kept != "")
	if s.cutOff {
		w.stop("mqtt") // it has messages queued for the bridge
		w.start("mqtt", "bridge")
	}
	hit.start()
	time.Sleep(20 * time.Second)
	if err := hit.board.Unplug(1); err != nil && !errors.Is(err, sim.ErrUnplugged) {
		w.t.Error(err)
	}
	time.Sleep(10 * time.Second)
	if n := w.count("SELECT count(*) FROM sessions WHERE state='orphaned'"); n != s.orphans {
		w.t.Errorf("%d sessions are shown as orphaned, want %d", n, s.orphans)
	}
	w.wantTicket(w.drive(line, driverPlan{username: "driver9", cp: hit.id}), time.Hour)
	for range servicesEach {
		w.wantTicket(others, time.Hour)
	}
	w.settle()
	s.check(w, want, before)
}

// check compares Central's ledger with one made from the records it had before
// the loss and those that the agent holds now.
func (s storage) check(w *world, want map[charge.CPID][]string, before []wire.Record) {
	w.t.Helper()
	hit, other := w.points[0], w.points[1]
	w.energy()
	records := w.journals()
	for _, r := range records[hit.id] {
		if !slices.ContainsFunc(before, func(b wire.Record) bool { return b.Journal == r.Journal && b.Seq == r.Seq }) {
			before = append(before, r)
		}
	}
	records[hit.id] = before
	if got, err := w.central.LedgerHash(w.t.Context()); err != nil || got != w.fold(records) {
		w.t.Errorf("the ledger differs from the one made from all known records: %v %s", err, w.describeBooks())
	}
	if !slices.ContainsFunc(items[alarm](w, "/alarms"), func(a alarm) bool { return a.Kind == s.alarm && a.CPID == hit.id }) {
		w.t.Errorf("no alarm %s in %+v", s.alarm, items[alarm](w, "/alarms"))
	}
	if a := w.accounts()[hit.id]; a.unaccounted == 0 {
		w.t.Error("nothing is unaccounted, so the test proves nothing")
	}
	w.untouched(other, want)
}

// untouched wants a charging point to have the tickets of a run without a loss,
// and no alarm.
func (w *world) untouched(p *point, want map[charge.CPID][]string) {
	w.t.Helper()
	if got := w.ticketsByCP()[p.id]; !reflect.DeepEqual(got, want[p.id]) {
		w.t.Errorf("tickets of %s\n got %v\nwant %v", p.id, got, want[p.id])
	}
	for _, a := range items[alarm](w, "/alarms") {
		if a.CPID == p.id {
			w.t.Errorf("alarm of %s: %+v", p.id, a)
		}
	}
}

// recordCount returns the number of records of a charging point that Central
// has.
func (w *world) recordCount(id charge.CPID) int64 {
	w.t.Helper()
	return w.count("SELECT count(*) FROM records WHERE cp_id=?", string(id))
}

// replaceStorage replaces a storage with an older copy, or removes it.
func (w *world) replaceStorage(dir, older string, some bool) {
	w.t.Helper()
	if some {
		w.copyFolder(older, dir)
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		w.t.Fatal(err)
	}
}
