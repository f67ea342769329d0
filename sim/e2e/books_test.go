package e2e_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/agent/journal"
	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// settle waits until Central has every record of every charging point and no
// session is open.
func (w *world) settle() {
	w.t.Helper()
	w.await(healTimeout, "everything is acknowledged and no session is open", func() bool {
		journalled := int64(0)
		for _, p := range w.points {
			s := p.status()
			if s.Recorded == 0 || s.Unacked != 0 || p.shown().SessionID != "" {
				return false
			}
			journalled += s.Held
		}
		// A Central that was restored requests again what it had acknowledged.
		return w.count("SELECT coalesce(sum(last),0) FROM journals") >= journalled
	})
	time.Sleep(2 * time.Second) // telemetry and the page follow
}

func (w *world) totals() centralapp.Totals {
	w.t.Helper()
	sums, err := w.central.Totals(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return sums
}

// balanced checks the books of a network that has settled and lost nothing:
// nothing is missing, nothing is counted twice, all energy of the boards is on
// tickets, and Central's ledger equals the one made from the journals alone.
func (w *world) balanced(tickets int64) {
	w.t.Helper()
	sums := w.totals()
	if sums.Tickets != tickets || sums.Sessions != tickets {
		w.t.Errorf("%d tickets of %d sessions, want %d", sums.Tickets, sums.Sessions, tickets)
	}
	if sums.Lost != 0 || sums.DeadLetters != 0 || sums.Unaccounted != 0 || sums.Overdue != 0 {
		w.t.Errorf("books: %+v", sums)
	}
	w.energy()
	w.rebuilt()
}

// energy compares the registers of each board with the tickets and the
// unaccounted energy of its charging point.
func (w *world) energy() {
	w.t.Helper()
	for id, a := range w.accounts() {
		if a.billed+a.unaccounted != a.used || a.twice != 0 {
			w.t.Errorf("%s: %d Wh went through its meter; %d Wh are on tickets (%d sessions have several), %d Wh are shown as unaccounted",
				id, a.used, a.billed, a.twice, a.unaccounted)
		}
	}
}

// account is the energy of one charging point in Wh.
type account struct {
	used, billed, unaccounted charge.WattHours
	twice                     int // sessions with more than one ticket
}

func (w *world) accounts() map[charge.CPID]account {
	w.t.Helper()
	all := map[charge.CPID]account{}
	for _, p := range w.points {
		all[p.id] = account{used: p.used()}
	}
	seen := map[charge.SessionID]bool{}
	for _, t := range items[ticket](w, "/tickets") {
		a := all[t.CPID]
		a.billed += t.Energy
		if seen[t.SessionID] {
			a.twice++
		}
		seen[t.SessionID] = true
		all[t.CPID] = a
	}
	for id, spare := range w.unaccounted() {
		a := all[id]
		a.unaccounted = spare
		all[id] = a
	}
	return all
}

// rebuilt compares Central's ledger with one made from the journals alone: the
// records as the agents hold them, applied once, in the order of writing.
func (w *world) rebuilt() {
	w.t.Helper()
	got, err := w.central.LedgerHash(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if want := w.fold(w.journals()); got != want {
		w.t.Errorf("the ledger is %.12s, that of the journals alone is %.12s: %s", got, want, w.describeBooks())
	}
}

// describeBooks returns the contents of the books, for the message of a
// failure.
func (w *world) describeBooks() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", w.totals())
	for _, t := range items[ticket](w, "/tickets") {
		fmt.Fprintf(&b, "\n\t%+v", t)
	}
	for _, a := range items[alarm](w, "/alarms") {
		fmt.Fprintf(&b, "\n\t%+v", a)
	}
	for _, o := range items[order](w, "/commands") {
		fmt.Fprintf(&b, "\n\t%+v", o)
	}
	n, _ := w.network()
	fmt.Fprintf(&b, "\n\t%+v", n)
	return b.String()
}

// journals returns the records that the agents hold, in the order of writing.
func (w *world) journals() map[charge.CPID][]wire.Record {
	w.t.Helper()
	all := map[charge.CPID][]wire.Record{}
	for _, p := range w.points {
		all[p.id] = w.read(p.id, p.dir)
	}
	return all
}

// read reads a journal from a copy, so that its agent may go on.
func (w *world) read(id charge.CPID, dir string) []wire.Record {
	w.t.Helper()
	copied := filepath.Join(w.dir, fmt.Sprintf("copy of %s", filepath.Base(dir)))
	w.copyFolder(dir, copied)
	fs, err := journal.OS(copied)
	if err != nil {
		w.t.Fatal(err)
	}
	log, _, err := journal.Open(fs, journal.Options{CP: id, Journal: "reader"})
	if err != nil {
		w.t.Fatal(err)
	}
	var list []wire.Record
	for _, r := range log.Held() {
		for i := range uint64(r.Last-r.First) + 1 {
			e, err := log.Read(r.Index + i)
			if err != nil {
				w.t.Fatal(err)
			}
			rec, err := wire.DecodeRecord(e.Bytes)
			if err != nil || string(ledgertest.Raw(rec)) != string(e.Bytes) {
				w.t.Fatalf("record %s/%d of %s: %v", e.Journal, e.Seq, id, err)
			}
			list = append(list, rec)
		}
	}
	if err := log.Close(); err != nil {
		w.t.Fatal(err)
	}
	return list
}

// copyFolder replaces a flat folder with a copy of another.
func (w *world) copyFolder(from, to string) {
	w.t.Helper()
	if err := os.RemoveAll(to); err != nil {
		w.t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		w.t.Fatal(err)
	}
}

// fold returns the hash of a ledger that is made from records alone.
func (w *world) fold(records map[charge.CPID][]wire.Record) string {
	w.t.Helper()
	var cps []*ledger.CP
	var sessions []ledger.Session
	var tickets []ledger.Ticket
	for _, id := range slices.Sorted(maps.Keys(records)) {
		b := ledgertest.NewBook(id, charge.At(time.Now()))
		b.Env.Default = ledger.Tariff{Version: "t1", StartFee: 100 * money.MinorUnit, PerKWh: 45 * money.MinorUnit, Currency: "EUR"}
		for _, r := range records[id] {
			if out, _ := b.Apply(r); out.Verdict != ledger.Applied {
				w.t.Errorf("%s: record %s/%d, applied in the order of writing, is %s", id, r.Journal, r.Seq, out.Verdict)
			}
		}
		cps = append(cps, b.CP)
		sessions = slices.AppendSeq(sessions, maps.Values(b.Sessions))
		tickets = slices.AppendSeq(tickets, maps.Values(b.Tickets))
	}
	return ledger.Hash(cps, sessions, tickets)
}

// ticketsByCP returns, for each charging point, its tickets in order, as
// driver, energy, cost and reason: the result that does not depend on faults.
func (w *world) ticketsByCP() map[charge.CPID][]string {
	w.t.Helper()
	all := map[charge.CPID][]string{}
	tickets := items[ticket](w, "/tickets")
	slices.SortFunc(tickets, func(a, b ticket) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range tickets {
		all[t.CPID] = append(all[t.CPID], fmt.Sprintf("%s %d Wh %s %s", t.Username, t.Energy, t.Cost, t.Reason))
	}
	return all
}
