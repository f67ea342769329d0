package e2e_test

import (
	"database/sql"
	"os"

	_ "github.com/mattn/go-sqlite3" // reads Central's database beside Central

	"github.com/carga-ev/carga/internal/charge"
)

// inDatabase calls f with a connection to Central's database, beside Central,
// as an operator's tool would.
func (w *world) inDatabase(f func(*sql.DB) error) {
	w.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+w.database()+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := f(db); err != nil {
		w.t.Error(err)
	}
	if err := db.Close(); err != nil {
		w.t.Error(err)
	}
}

// backup makes a copy of the database while Central runs.
func (w *world) backup(to string) {
	w.t.Helper()
	w.inDatabase(func(db *sql.DB) error {
		_, err := db.ExecContext(w.t.Context(), "VACUUM INTO ?", to)
		return err
	})
}

// restore replaces the database of a stopped Central with a backup.
func (w *world) restore(from string) {
	w.t.Helper()
	for _, tail := range []string{"-wal", "-shm"} {
		if err := os.Remove(w.database() + tail); err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(w.database(), raw, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// unaccounted returns the energy in Wh that Central shows as on no ticket, by
// charging point.
func (w *world) unaccounted() map[charge.CPID]charge.WattHours {
	w.t.Helper()
	all := map[charge.CPID]charge.WattHours{}
	w.inDatabase(func(db *sql.DB) error {
		rows, err := db.QueryContext(w.t.Context(),
			"SELECT cp_id, sum(carried_wh+last_wh-first_wh-billed_wh-running_wh) FROM meters GROUP BY cp_id")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id charge.CPID
			var spare charge.WattHours
			if err := rows.Scan(&id, &spare); err != nil {
				return err
			}
			all[id] = spare
		}
		return rows.Err()
	})
	return all
}

// count returns the number that a query of the database returns.
func (w *world) count(query string, args ...any) (n int64) {
	w.t.Helper()
	w.inDatabase(func(db *sql.DB) error { return db.QueryRowContext(w.t.Context(), query, args...).Scan(&n) })
	return n
}
