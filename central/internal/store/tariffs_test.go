package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// full has all prices: 1.00, 0.40 per kWh, 0.03 per minute, 0.10 per idle minute, with 19 % tax.
var full = ledger.Tariff{Version: "full", StartFee: 1_000_000, PerKWh: 400_000, PerMinute: 30_000, PerIdleMinute: 100_000, Tax: 1900, Currency: "EUR", ValidFrom: 7}

// TestAVersionNeverChanges: the database refuses to change or delete one, and other
// prices under its name.
func TestAVersionNeverChanges(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	write(t, s, func(tx *store.Tx) error { return errors.Join(tx.Tariff(full, 5), tx.Tariff(full, 9)) })
	other := full
	other.PerIdleMinute++
	if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.Tariff(other, 9) }); err == nil || !strings.Contains(err.Error(), "never changes") {
		t.Errorf("other prices: %v", err)
	}
	all, err := s.TariffRows(t.Context())
	if err != nil || len(all) != 1 || all[0].Tariff != full || all[0].MadeAt != 5 {
		t.Errorf("got %+v %v", all, err)
	}
}

// TestTicketsHaveLines: tickets and corrections have lines that add up to the cost, and
// past sessions are priced by other prices.
func TestTicketsHaveLines(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "c.db"))
	session := func(n int) ledger.Session {
		return ledger.Session{
			ID: charge.SessionID(fmt.Sprint("s", n)), CPID: "CP_1", Connector: 1, State: ledger.SessionEnded, Username: "ana", Started: true, StartKnown: true,
			Register: charge.WattHours(1000 * (n + 1)), AuthorizedAt: charge.Time(n + 1), EndedAt: charge.Time(100 + n),
			Spans: []ledger.Span{{Journal: "j1", FirstMS: 1, LastMS: 600_001, PausedMS: 480_001, StopMS: 600_001}},
		}
	}
	write(t, s, func(tx *store.Tx) error {
		changes := point()
		for n := range 1010 {
			v := session(n)
			changes = append(changes, ledger.SessionChanged{Session: v}, ledger.TicketMade{Ticket: ledger.MakeTicket(&v, full)})
		}
		v := session(2000)
		v.Settled = true
		early := v
		early.Register, early.EndedAt, early.Spans = 500, 0, nil
		settled := ledger.MakeTicket(&early, full)
		settled.SettledAt = 50
		changes = append(changes, ledger.SessionChanged{Session: v}, ledger.TicketMade{Ticket: settled}, ledger.TicketMade{Ticket: ledger.MakeCorrection(&v, full, &settled)})
		return errors.Join(tx.Tariff(full, 5), tx.Ledger(changes))
	})
	a := s.Archive()
	k, err := a.Ticket(t.Context(), "ana", "t.s0")
	if err != nil || k == nil {
		t.Fatal(err)
	}
	// 1.00 + 0.40 + 0.30 + 0.20, with 0.30 of tax (1.90 × 19/119).
	if got := fmt.Sprintf("%s %s %s %v", k.Cost, k.Tax, k.TaxPercent, k.Lines); got != "1.90 0.30 19.00 [{start 1 1.00 1.00 0.16} {energy 1000 0.40 0.40 0.06} {time 600 0.03 0.30 0.05} {idle 120 0.10 0.20 0.03}]" {
		t.Errorf("the ticket: %s", got)
	}
	c, err := a.Ticket(t.Context(), "", "t.s2000.1")
	if err != nil || c == nil || len(c.Lines) != 3 || c.Lines[0].Kind != ledger.LineEnergy {
		t.Fatalf("the correction: %+v %v", c, err)
	}
	list, err := a.Tickets(t.Context(), view.Query{Limit: 3})
	if err != nil || len(list) != 3 || len(list[0].Lines) != 3 || len(list[2].Lines) != 4 {
		t.Errorf("the list: %+v %v", list, err)
	}
	if k, err := a.Ticket(t.Context(), "eve", "t.s0"); k != nil || err != nil {
		t.Errorf("another driver's: %+v %v", k, err)
	}
	draft := full
	draft.Version, draft.StartFee, draft.PerIdleMinute = "", 0, 0
	p, err := a.PreviewTariff(t.Context(), view.Query{From: 100, To: 5000}, draft)
	if err != nil || p.Sessions != 1000 || !p.More || len(p.Examples) != 5 || len(p.Lines) != 2 {
		t.Fatalf("the preview: %+v %v", p, err)
	}
	if e := p.Examples[0]; e.SessionID != "s10" || e.Before != "5.90" || e.After != "4.70" || e.IdleSec != 120 {
		t.Errorf("the first example: %+v", e)
	}
	if p, err := a.PreviewTariff(t.Context(), view.Query{From: 101, To: 102}, draft); err != nil || p.Sessions != 1 || p.More || p.Before != "2.30" || p.After != "1.10" {
		t.Errorf("of one session: %+v %v", p, err)
	}
	draft.Currency = "JPY"
	if p, err := a.PreviewTariff(t.Context(), view.Query{}, draft); err != nil || p.Sessions != 0 || p.Before != "0" {
		t.Errorf("of another currency: %+v %v", p, err)
	}
}
