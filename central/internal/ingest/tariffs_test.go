package ingest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// TestTariffsAreAdded: a version is in the database with its answer and its entry, and
// what begins once it is valid names it; a name that is in use, or a moment that is
// over, is refused.
func TestTariffsAreAdded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer func() { l.end() }()
		points := 0
		reserve := func() charge.TariffVersion { // at a charging point that was not there before
			t.Helper()
			points++
			at := orders.Target{CPID: charge.CPID(fmt.Sprint("CP_", 10+points)), Connector: 1}
			l.connect(journaltest.New(t, at.CPID))
			r := l.askOnce(ingest.IdempotencyKey{}, ingest.Order{Request: orders.OperatorReserve{Target: at, Username: charge.Username(fmt.Sprint("ann", points))}})
			if r.Refused != "" {
				t.Fatalf("refused: %+v", r)
			}
			got, _, err := l.store.Reservation(t.Context(), r.ReservationID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Tariff
		}
		if got := reserve(); got != tariff.Version {
			t.Errorf("before: %q, want the configured version", got)
		}
		now := charge.At(time.Now())
		soon := ledger.Tariff{Version: "soon", PerKWh: 1, PerMinute: 2, PerIdleMinute: 3, Tax: 1900, Currency: "EUR", ValidFrom: now.Add(time.Hour)}
		add := ingest.AddTariff{Tariff: soon}
		if r, err := l.w.ExecuteAs(t.Context(), by("add-tariff", "tariff soon"), once("k", "soon"), add); err != nil || r.Refused != "" {
			t.Fatalf("added: %+v %v", r, err)
		}
		if r, err := l.w.ExecuteAs(t.Context(), by("add-tariff", "tariff soon"), once("k", "soon"), add); err != nil || r.Refused != "" {
			t.Fatalf("a repeat: %+v %v", r, err)
		}
		for want, v := range map[string]ledger.Tariff{
			"tariff_exists":  soon,
			"tariff_in_past": {Version: "late", Currency: "EUR", ValidFrom: now.Add(-time.Second)},
		} {
			if r := l.askOnce(ingest.IdempotencyKey{}, ingest.AddTariff{Tariff: v}); r.Refused != want {
				t.Errorf("%s: got %+v", want, r)
			}
		}
		if got := reserve(); got != tariff.Version {
			t.Errorf("an hour before: %q, want the configured version", got)
		}
		time.Sleep(time.Hour + time.Minute)
		if got := reserve(); got != "soon" {
			t.Errorf("once it is valid: %q", got)
		}
		l.askOnce(ingest.IdempotencyKey{}, ingest.AddTariff{Tariff: ledger.Tariff{Version: "now", Currency: "EUR"}})
		if got := reserve(); got != "now" {
			t.Errorf("valid at once: %q", got)
		}
		l.end()
		l = central(t, dir)
		if got := reserve(); got != "now" {
			t.Errorf("after a restart: %q", got)
		}
		list, err := l.store.Archive().Tariffs(t.Context())
		if err != nil || len(list.Items) != 3 || list.Items[0].State != view.TariffCurrent || list.Items[1].Version != "soon" || list.Items[1].State != view.TariffPast {
			t.Errorf("listed: %+v %v", list, err)
		}
	})
}
