package store

import (
	"errors"
	"testing"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/money"
)

// Tariffs and tickets of a database from before prices could be finer than a
// minor unit mean what they meant: the ticket that is made of its session again
// is the same.
func TestOldPricesMeanTheSame(t *testing.T) {
	path := olderDatabase(t, 3, rowsOf(t, "version3.sql"))
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	tariffs, err1 := s.Tariffs(t.Context())
	sessions, err2 := s.Sessions(t.Context(), view.Query{})
	tickets, err3 := s.Tickets(t.Context(), view.Query{})
	if err := errors.Join(err1, err2, err3); err != nil || len(tariffs) != 2 || len(sessions) != 1 || len(tickets) != 1 {
		t.Fatalf("%d tariffs, %d sessions, %d tickets: %v", len(tariffs), len(sessions), len(tickets), err)
	}
	want := ledger.Tariff{Version: "hrk-1", StartFee: 750 * money.MinorUnit, PerKWh: 350 * money.MinorUnit, Currency: "HRK"}
	if !tariffs[0].SamePrices(want) || tariffs[0].ValidFrom != 1 {
		t.Errorf("tariff: got %+v, want %+v", tariffs[0], want)
	}
	if tariffs[1].PerKWh <= 0 {
		t.Errorf("an absurd price became %d", tariffs[1].PerKWh)
	}
	if again := ledger.MakeTicket(&sessions[0], tariffs[0]); again != tickets[0] || again.Cost.String() != "11.82 HRK" {
		t.Errorf("the ticket is %+v (%s), and made again %+v", tickets[0], tickets[0].Cost, again)
	}
}
