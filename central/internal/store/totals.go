package store

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// Totals are sums over all rows of the database. Metered is always the sum of
// Billed, Running and Unaccounted.
type Totals struct {
	Sessions     int64
	Tickets      int64
	Metered      charge.WattHours // energy measured by all meters
	Billed       charge.WattHours // energy on tickets
	Running      charge.WattHours // energy of sessions that have not ended
	Unaccounted  charge.WattHours // energy measured outside of sessions
	Reservations int64            // all reservations ever made and not yet pruned
	Used         int64            // reservations that a session used
	Ended        int64            // reservations that ended otherwise
	Overdue      int64            // reservations past their end and not marked as ended
}

// Totals returns the sums; a reservation is overdue at the moment now. It reads
// whole tables: use it for reports, not for pages of the API.
func (s *Store) Totals(ctx context.Context, now charge.Time) (t Totals, err error) {
	err = s.ro.QueryRowContext(ctx, `SELECT
  (SELECT count(*) FROM sessions), (SELECT count(*) FROM tickets),
  (SELECT coalesce(sum(carried_wh+last_wh-first_wh),0) FROM meters), (SELECT coalesce(sum(energy_wh),0) FROM tickets),
  (SELECT coalesce(sum(running_wh),0) FROM meters),
  (SELECT coalesce(sum(carried_wh+last_wh-first_wh-billed_wh-running_wh),0) FROM meters),
  (SELECT count(*) FROM reservations), (SELECT count(*) FROM reservations WHERE reason='used'),
  (SELECT count(*) FROM reservations WHERE ended_at>0 AND reason<>'used'),
  (SELECT count(*) FROM reservations WHERE ended_at=0 AND until<?)`, int64(now)).Scan(&t.Sessions, &t.Tickets, &t.Metered,
		&t.Billed, &t.Running, &t.Unaccounted, &t.Reservations, &t.Used, &t.Ended, &t.Overdue)
	return t, wrap("add up", err)
}

// Hash returns ledger.Hash of the whole database. It reads several tables one
// after the other, so call it on a snapshot or while nothing is written.
func (s *Store) Hash(ctx context.Context) (string, error) {
	cps, err := s.CPs(ctx)
	if err != nil {
		return "", err
	}
	sessions, err := collect(ctx, s, "read sessions", func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) },
		"SELECT "+sessionCols+" FROM sessions")
	if err != nil {
		return "", err
	}
	tickets, err := collect(ctx, s, "read tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) },
		"SELECT "+ticketCols+" FROM tickets")
	if err != nil {
		return "", err
	}
	return ledger.Hash(slices.Collect(maps.Values(cps)), sessions, tickets), nil
}
