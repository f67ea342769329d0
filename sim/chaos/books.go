package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/mattn/go-sqlite3" // reads Central's database beside Central

	"github.com/carga-ev/carga/internal/charge"
)

// books are the contents of Central's database that the reconciliation needs.
type books struct {
	applied        map[recordKey]string // the hash of each applied record
	appliedCounter int64                // Central's own counter of applied records; larger than len(applied) if one was applied twice
	duplicates     int64                // deliveries of records that were applied before
	tickets        []ticket
	meters         map[connectorKey]meter

	openSessions int
	reserved     []string // active reservations
	gaps         int
	integrity    string // result of SQLite's integrity_check: "ok"
}

// connectorKey identifies a connector of the network.
type connectorKey struct {
	cp        charge.CPID
	connector charge.ConnectorID
}

// ticket is a ticket of Central: the energy that a driver pays for.
type ticket struct {
	connectorKey
	session charge.SessionID
	energy  charge.WattHours
}

// meter is Central's account of a connector's meter, in Wh since it first
// reported.
type meter struct{ metered, billed, unaccounted charge.WattHours }

// readBooks reads Central's database. Central must have ended, or the database
// be a copy.
func readBooks(ctx context.Context, path string) (b books, err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000&_query_only=on")
	if err != nil {
		return b, fmt.Errorf("central's database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b.applied, b.meters = map[recordKey]string{}, map[connectorKey]meter{}
	err = errors.Join(
		forEachRow(ctx, db, func(r *sql.Rows) error {
			var p recordKey
			var hash string
			err := r.Scan(&p.cp, &p.journal, &p.seq, &hash)
			b.applied[p] = hash
			return err
		}, "SELECT cp_id, journal, seq, hash FROM records"),
		forEachRow(ctx, db, func(r *sql.Rows) error {
			var t ticket
			err := r.Scan(&t.session, &t.cp, &t.connector, &t.energy)
			b.tickets = append(b.tickets, t)
			return err
		}, "SELECT session_id, cp_id, connector, energy_wh FROM tickets"),
		forEachRow(ctx, db, func(r *sql.Rows) error {
			var o connectorKey
			var m meter
			err := r.Scan(&o.cp, &o.connector, &m.metered, &m.billed, &m.unaccounted)
			b.meters[o] = m
			return err
		}, `SELECT cp_id, connector, carried_wh+last_wh-first_wh, billed_wh,
		    carried_wh+last_wh-first_wh-billed_wh-running_wh FROM meters`),
		forEachRow(ctx, db, func(r *sql.Rows) error {
			var s string
			err := r.Scan(&s)
			b.reserved = append(b.reserved, s)
			return err
		}, "SELECT reservation_id || ' of ' || cp_id FROM reservations WHERE ended_at = 0"),
		// Open sessions, gaps and counters in one row.
		db.QueryRowContext(ctx, `SELECT
		  (SELECT coalesce(sum(value),0) FROM counters WHERE name = 'applied'),
		  (SELECT coalesce(sum(value),0) FROM counters WHERE name = 'duplicates'),
		  (SELECT count(*) FROM sessions WHERE state <> 'ended'), (SELECT count(*) FROM gaps)`).
			Scan(&b.appliedCounter, &b.duplicates, &b.openSessions, &b.gaps),
		db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&b.integrity),
	)
	if err != nil {
		return b, fmt.Errorf("central's database: %w", err)
	}
	return b, nil
}

// forEachRow runs a query and calls row for each result row, positioned on it.
func forEachRow(ctx context.Context, db *sql.DB, row func(*sql.Rows) error, query string) (err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
