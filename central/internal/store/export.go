package store

import (
	"context"
	"database/sql"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// TariffRow is a version of the prices.
type TariffRow struct {
	ledger.Tariff
	MadeAt charge.Time // when this version was added
}

// TariffRows returns all versions of the prices, in the order in which they become
// valid.
func (s *Store) TariffRows(ctx context.Context) ([]TariffRow, error) {
	return collect(ctx, s, "read tariffs", func(r *sql.Rows) (t TariffRow, err error) {
		return t, r.Scan(append(tariffFields(&t.Tariff), &t.MadeAt)...)
	}, "SELECT "+tariffCols+",made_at FROM tariffs ORDER BY valid_from,version")
}

// AvailabilityWanted returns the desired states by which operators put
// connectors in or out of service.
func (s *Store) AvailabilityWanted(ctx context.Context) ([]orders.Desired, error) {
	return collect(ctx, s, "read desired states", func(r *sql.Rows) (w orders.Desired, err error) {
		return w, r.Scan(&w.Kind, &w.CPID, &w.Connector, &w.Available, &w.RequestedAt)
	}, "SELECT kind,cp_id,connector,available,requested_at FROM desired_states WHERE ended_at=0 AND kind=? ORDER BY cp_id,connector",
		string(orders.DesiredAvailability))
}

// SettledTickets returns the tickets of sessions that an operator settled, and those
// that were adopted, without their corrections: those follow from the records.
func (s *Store) SettledTickets(ctx context.Context) ([]ledger.Ticket, error) {
	return collect(ctx, s, "read tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) },
		"SELECT "+ticketCols+" FROM tickets WHERE (settled_at>0 OR adopted) AND corrects='' ORDER BY session_id")
}
