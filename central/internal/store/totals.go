package store

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// Totals are sums over all that the database holds.
type Totals struct {
	Sessions     int64
	Tickets      int64
	Metered      charge.WattHours // that went through all meters
	Billed       charge.WattHours // on tickets
	Running      charge.WattHours // of sessions that have not ended
	Unaccounted  charge.WattHours // through a meter outside of sessions
	Reservations int64            // made, whatever became of them
	Used         int64            // of them, by a session
	Ended        int64            // of them, otherwise
	Overdue      int64            // of them, past their end and not marked as ended
}

// Totals adds everything up at the moment now. It reads whole tables: for
// summaries, not for pages.
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

// Hash is ledger.Hash over all that the database holds. It reads several tables
// one after the other: what is written meanwhile may be half in it.
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
