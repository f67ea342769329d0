package chaos_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/operator"
)

// TestStorageOfAnAgentIsLostWhileEnergyFlows: the storage of one charging point
// is set back, that of another emptied, that of a third used by two devices at
// once; the fourth must not be affected. Every Wh is on a ticket or shown as
// unaccounted, every record that can still be read is applied, in a gap or in
// quarantine, and the operator can resolve it all.
func TestStorageOfAnAgentIsLostWhileEnergyFlows(t *testing.T) {
	l := running(t, 4)
	back, empty, twice, other := l.Points[0], l.Points[1], l.Points[2], l.Points[3]
	dir := folder(t)
	older := filepath.Join(dir, "older")
	clone, err := l.Clone(t.Context(), twice)
	l.must(err)
	t.Cleanup(func() {
		for _, p := range []*chaos.Process{clone.Agent, clone.Board} {
			if _, err := p.Kill(); err != nil && !errors.Is(err, chaos.ErrNotRunning) {
				t.Error(err)
			}
		}
	})

	first, long := l.startSession(back, "ana"), l.startSession(other, "olga")
	l.startSession(twice, "tom")
	l.must(chaos.CopyFolder(back.Journal, older))
	l.sessionContinues(back, first)
	l.stopSession(back, first)
	orphans := []charge.SessionID{l.startSession(back, "ben"), l.startSession(empty, "eve")}
	l.must(chaos.CopyFolder(twice.Journal, clone.Journal))
	l.must(clone.Agent.Start(t.Context()))
	lost := l.loseStorage(back, older, dir)
	lost = append(lost, l.loseStorage(empty, "", dir)...)
	l.awaitAlarm(back, "storage_rolled_back")
	l.awaitAlarm(empty, "storage_replaced")
	l.sessionContinues(other, long)

	l.quarantine(twice, clone)
	lost = append(lost, l.records(clone, dir)...)
	l.must(l.API.Release(t.Context(), twice.ID))
	for _, id := range orphans {
		await(t, "an orphaned session is settled", func(ctx context.Context) error { return l.API.Settle(ctx, id) })
		l.ticket(id)
	}
	l.explainGaps()
	l.sessionContinues(other, long)
	l.stopSession(other, long)
	for _, p := range l.Points {
		l.serveOnce(p)
	}
	await(t, "all comes to rest", l.AtRest())
	l.hash("verify")
	events := l.readTopic("cp-events")
	l.must(l.Settle(t.Context(), limit))
	var kept []chaos.Record
	for _, p := range l.Points {
		kept = append(kept, l.records(p, dir)...)
	}
	for _, m := range events {
		if r, err := wire.DecodeRecord(m.Value); err == nil {
			kept = append(kept, chaos.Record{CPID: charge.CPID(m.Key), Journal: r.Journal, Seq: r.Seq, Hash: wire.Hash(m.Value), Type: r.Type})
		}
	}
	l.allRecordsAccountedFor(kept, lost)
	l.energy(back, empty, twice)
	a, err := l.ReconcilePoint(t.Context(), other)
	l.must(err)
	t.Logf("%s: %+v", other.ID, a)
	for _, v := range a.Violations {
		t.Error(v)
	}
	if a.Sessions != 2 || a.Unaccounted != 0 || a.Lost() != 0 {
		t.Errorf("the charging point that was not touched: %+v", a)
	}
}

// loseStorage kills an agent while power flows, replaces its storage with an
// older copy, or nothing, and starts it again. It returns the records that were
// on the storage.
func (l *lossyNetwork) loseStorage(p *chaos.Point, older, dir string) (lost []chaos.Record) {
	l.Helper()
	kill(l.T, p, p.Agent)
	lost = l.records(p, dir)
	l.must(chaos.CopyFolder(older, p.Journal))
	l.must(p.Agent.Start(l.Context()))
	return lost
}

// records reads a journal from a copy.
func (l *lossyNetwork) records(p *chaos.Point, dir string) []chaos.Record {
	l.Helper()
	copied := filepath.Join(dir, "copy of "+filepath.Base(p.Journal))
	l.must(chaos.CopyFolder(p.Journal, copied))
	list, err := chaos.ReadJournal(p.ID, copied)
	l.must(err)
	return list
}

func (l *lossyNetwork) awaitAlarm(p *chaos.Point, kind string) {
	l.Helper()
	await(l.T, "Central raises an alarm", listed(l.API.Alarms, fmt.Sprintf("alarm %s of %s", kind, p.ID), func(a operator.Alarm) bool {
		return a.Kind == kind && a.CPID == p.ID
	}))
}

// quarantine runs two devices with one identity until Central notices, and
// stops the second. For ten minutes a storage that was set back is another
// explanation of two growing journals; so the start of both in Central's
// database is moved back by more than that.
func (l *lossyNetwork) quarantine(p, clone *chaos.Point) {
	l.Helper()
	const present = "SELECT present FROM cps WHERE cp_id = ?"
	first := l.column(l.Context(), l.Database(), "SELECT journal FROM journals WHERE cp_id = ? ORDER BY opened_at", p.ID)[0]
	use := func() {
		for _, h := range []*chaos.Point{clone, p} {
			if h.Controls().Plug(1) != nil { // a vehicle is plugged in
				_ = h.Controls().Unplug(1) // then it leaves
			}
		}
	}
	await(l.T, "something of both is applied", func(ctx context.Context) error {
		use()
		if n := len(l.column(ctx, l.Database(), "SELECT 1 FROM journals WHERE cp_id = ? AND last > 1", p.ID)); n < 2 {
			return fmt.Errorf("%d journals grow", n)
		}
		return nil
	})
	l.awaitAlarm(p, "storage_rolled_back")
	l.must(l.Central.Stop(limit))
	l.inDatabase(l.Database(), "rw", func(db *sql.DB) error {
		_, err := db.ExecContext(l.Context(), "UPDATE journals SET opened_at = opened_at - 660000 WHERE cp_id = ?", p.ID)
		return err
	})
	l.must(l.Central.Start(l.Context()))
	await(l.T, "the identity is in quarantine", func(ctx context.Context) error {
		use()
		return listed(l.API.Alarms, "quarantine", func(a operator.Alarm) bool { return a.Kind == "identity_fork" && a.CPID == p.ID })(ctx)
	})
	await(l.T, "something is kept of what came after", func(ctx context.Context) error {
		use()
		if len(l.column(ctx, l.Database(), "SELECT 1 FROM forked_records WHERE cp_id = ?", p.ID)) == 0 {
			return errors.New("nothing is")
		}
		return nil
	})
	_, err := clone.Agent.Kill()
	l.must(err)
	await(l.T, "the first device is present again", func(ctx context.Context) error {
		if now := l.column(ctx, l.Database(), present, p.ID)[0]; now != first {
			return fmt.Errorf("%s is present, not %s", now, first)
		}
		return nil
	})
}

// explainGaps writes an explanation of each gap.
func (l *lossyNetwork) explainGaps() {
	l.Helper()
	gaps, err := l.API.Gaps(l.Context())
	l.must(err)
	for _, h := range gaps {
		l.Logf("gap %+v", h)
		if !h.Filled {
			l.must(l.API.Explain(l.Context(), h.ID, "the card was changed"))
		}
	}
}

// serveOnce performs one ordinary service: one ticket over what the meter
// counted.
func (l *lossyNetwork) serveOnce(p *chaos.Point) {
	l.Helper()
	await(l.T, string(p.ID)+" is free", func(ctx context.Context) error {
		_ = p.Controls().Unplug(1)
		v, err := l.API.Network(ctx)
		if err != nil {
			return err
		}
		cp := v.Point(p.ID)
		if cp != nil && cp.Link == "online" {
			// After a quarantine an idle connector is shown again with its next
			// record.
			if len(cp.Connectors) == 0 || cp.Connectors[0].Status == charge.StatusAvailable {
				return nil
			}
		}
		return fmt.Errorf("it is %+v", cp)
	})
	board, err := p.Inspect(l.Context())
	l.must(err)
	before := board.Connectors[0].Register
	id := l.startSession(p, "zoe")
	got := l.stopSession(p, id)
	board, err = p.Inspect(l.Context())
	l.must(err)
	if used := board.Connectors[0].Register - before; got.Energy != used || got.Username != "zoe" {
		l.Errorf("%s: the ticket after all is over %d Wh of %s; %d Wh went through the meter", p.ID, got.Energy, got.Username, used)
	}
}

// allRecordsAccountedFor wants each record that can still be read to be
// applied, in a gap, or in quarantine. Records that were lost with a storage,
// or with the device that was stopped, were either published before or never.
func (l *lossyNetwork) allRecordsAccountedFor(kept, lost []chaos.Record) {
	l.Helper()
	key := func(r chaos.Record) string { return fmt.Sprint(r.CPID, " ", r.Journal, "/", r.Seq, " ", r.Hash) }
	known := map[string]bool{}
	for _, k := range l.column(l.Context(), l.Database(), `SELECT cp_id || ' ' || journal || '/' || seq || ' ' || hash FROM records
	    UNION ALL SELECT cp_id || ' ' || journal || '/' || seq || ' ' || hash FROM forked_records`) {
		known[k] = true
	}
	gaps := l.column(l.Context(), l.Database(), "SELECT cp_id || ' ' || journal || ' ' || missing FROM gaps")
	there := map[string]bool{}
	for _, r := range kept {
		if there[key(r)] = true; !known[key(r)] {
			l.Errorf("%s (%s) is neither applied nor in quarantine; gaps are %v", key(r), r.Type, gaps)
		}
	}
	gone := 0
	for _, r := range lost {
		if !there[key(r)] {
			gone++
		}
	}
	l.Logf("%d records can be read; of %d on storages that were lost or stopped %d were never published", len(there), len(lost), gone)
}

// energy compares registers with tickets and unaccounted energy. For the
// charging point that was two, more is shown as unaccounted, never billed:
// Central received the registers of two meters in turns.
func (l *lossyNetwork) energy(back, empty, twice *chaos.Point) {
	l.Helper()
	for _, p := range []*chaos.Point{back, empty, twice} {
		board, err := p.Inspect(l.Context())
		l.must(err)
		used := board.Connectors[0].Register - p.InitialRegister(1)
		m, err := l.MeterOf(l.Context(), p.ID, 1)
		l.must(err)
		l.Logf("%s: %d Wh went through the meter; %+v", p.ID, used, m)
		more := m.Billed + m.Unaccounted - used
		if m.Unaccounted == 0 || m.Billed > used || more < 0 || more > 0 && p != twice {
			l.Errorf("%s: %d Wh went through the meter; %d Wh are on tickets, %d Wh are shown as unaccounted", p.ID, used, m.Billed, m.Unaccounted)
		}
	}
	sessions := l.column(l.Context(), l.Database(), "SELECT session_id FROM sessions ORDER BY 1")
	if tickets := l.column(l.Context(), l.Database(), "SELECT session_id FROM tickets ORDER BY 1"); !slices.Equal(sessions, tickets) {
		l.Errorf("the sessions %v have the tickets %v", sessions, tickets)
	}
}
