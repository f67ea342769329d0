package store

import (
	"context"
	"database/sql"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// TariffRow is a version of the prices and since when it is known.
type TariffRow struct {
	ledger.Tariff
	MadeAt charge.Time
}

// TariffRows reads all versions of the prices, oldest first.
func (s *Store) TariffRows(ctx context.Context) ([]TariffRow, error) {
	return collect(ctx, s, "read tariffs", func(r *sql.Rows) (t TariffRow, err error) {
		return t, r.Scan(&t.Version, &t.StartFee, &t.PerKWh, &t.Currency, &t.MadeAt)
	}, "SELECT version,start_fee_e4,per_kwh_e4,currency,made_at FROM tariffs ORDER BY made_at,version")
}

// AvailabilityWanted is what operators want to be in or out of service.
func (s *Store) AvailabilityWanted(ctx context.Context) ([]orders.Desired, error) {
	return collect(ctx, s, "read wishes", func(r *sql.Rows) (w orders.Desired, err error) {
		return w, r.Scan(&w.Kind, &w.CPID, &w.Connector, &w.Available, &w.RequestedAt)
	}, "SELECT kind,cp_id,connector,available,asked_at FROM wishes WHERE ended_at=0 AND kind=? ORDER BY cp_id,connector",
		string(orders.DesiredAvailability))
}

// SettledTickets are the tickets of sessions that an operator settled; their
// corrections follow from the records.
func (s *Store) SettledTickets(ctx context.Context) ([]ledger.Ticket, error) {
	return collect(ctx, s, "read tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) },
		"SELECT "+ticketCols+" FROM tickets WHERE settled_at>0 AND corrects='' ORDER BY session_id")
}
