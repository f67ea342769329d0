package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// Integrity returns the findings of SQLite's integrity check, at most a hundred
// lines; none if the file is not damaged. It reads the whole file.
func (s *Store) Integrity(ctx context.Context) ([]string, error) {
	found, err := collect(ctx, s, "integrity check", func(r *sql.Rows) (line string, err error) { return line, r.Scan(&line) },
		"PRAGMA integrity_check")
	if len(found) == 1 && found[0] == "ok" {
		return nil, err
	}
	return found, err
}

// ForeignKeys returns a line for each row that refers to a row that does not
// exist.
func (s *Store) ForeignKeys(ctx context.Context) ([]string, error) {
	return collect(ctx, s, "foreign key check", func(r *sql.Rows) (string, error) {
		var table, parent string
		var rowid, fk sql.NullInt64
		err := r.Scan(&table, &rowid, &parent, &fk)
		where := ""
		if rowid.Valid {
			where = fmt.Sprintf(" %d", rowid.Int64)
		}
		return fmt.Sprintf("row%s of %s names what is not in %s", where, table, parent), err
	}, "PRAGMA foreign_key_check")
}

// SessionsOf returns all sessions of a charging point.
func (s *Store) SessionsOf(ctx context.Context, cp charge.CPID) ([]ledger.Session, error) {
	return collect(ctx, s, "read sessions", func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) },
		"SELECT "+sessionCols+" FROM sessions WHERE cp_id=?", string(cp))
}

// TicketsOf returns all tickets of a charging point, corrections included.
func (s *Store) TicketsOf(ctx context.Context, cp charge.CPID) ([]ledger.Ticket, error) {
	return collect(ctx, s, "read tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) },
		"SELECT "+ticketCols+" FROM tickets WHERE cp_id=?", string(cp))
}

// GapsOf returns all gaps of a charging point, open or filled.
func (s *Store) GapsOf(ctx context.Context, cp charge.CPID) ([]ledger.Gap, error) {
	return collect(ctx, s, "read gaps", func(r *sql.Rows) (ledger.Gap, error) { return scanGap(r) },
		"SELECT "+gapReadCols+" FROM gaps WHERE cp_id=?", string(cp))
}

// PrunedOf returns, by journal, up to which record the records were pruned.
func (s *Store) PrunedOf(ctx context.Context, cp charge.CPID) (map[charge.JournalID]charge.Seq, error) {
	all := map[charge.JournalID]charge.Seq{}
	_, err := collect(ctx, s, "read what was pruned", func(r *sql.Rows) (struct{}, error) {
		var j charge.JournalID
		var seq charge.Seq
		err := r.Scan(&j, &seq)
		all[j] = seq
		return struct{}{}, err
	}, "SELECT journal,seq FROM pruned WHERE cp_id=?", string(cp))
	return all, err
}

// RecordsOf calls fn with each stored record of a charging point, in the order in
// which they were applied. fn may keep raw. An error of fn ends it and is
// returned.
func (s *Store) RecordsOf(ctx context.Context, cp charge.CPID,
	fn func(j charge.JournalID, seq charge.Seq, hash string, raw []byte) error,
) error {
	rows, err := s.ro.QueryContext(ctx, "SELECT journal,seq,hash,raw FROM records WHERE cp_id=? ORDER BY n,received_at,journal,seq", string(cp))
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below returns the error
	for rows.Next() {
		var j charge.JournalID
		var seq charge.Seq
		var hash string
		var raw []byte
		if err := rows.Scan(&j, &seq, &hash, &raw); err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		if err := fn(j, seq, hash, raw); err != nil {
			return err
		}
	}
	return wrap("read records", rows.Err())
}

// OverlapsShown returns the connectors of a charging point for which an alarm,
// open or cleared, shows that energy is on two tickets or sessions.
func (s *Store) OverlapsShown(ctx context.Context, cp charge.CPID) (map[charge.ConnectorID]bool, error) {
	all := map[charge.ConnectorID]bool{}
	_, err := collect(ctx, s, "read alarms", func(r *sql.Rows) (struct{}, error) {
		var id charge.ConnectorID
		err := r.Scan(&id)
		all[id] = true
		return struct{}{}, err
	}, "SELECT connector FROM alarms WHERE cp_id=? AND kind=?", string(cp), string(ledger.AlarmOverlap))
	return all, err
}

// Twice counts the open alarms about energy on two tickets or sessions.
func (s *Store) Twice(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT count(*) FROM alarms WHERE cleared=0 AND kind=?", string(ledger.AlarmOverlap)).Scan(&n)
	return n, wrap("count energy billed twice", err)
}

// TicketsInDoubt returns the sessions for which an alarm, open or cleared, shows
// that a late record would have made another ticket.
func (s *Store) TicketsInDoubt(ctx context.Context, cp charge.CPID) (map[charge.SessionID]bool, error) {
	prefix := string(ledger.AlarmTicket) + "." + string(cp) + "."
	all := map[charge.SessionID]bool{}
	_, err := collect(ctx, s, "read alarms", func(r *sql.Rows) (struct{}, error) {
		var id string
		err := r.Scan(&id)
		all[charge.SessionID(id)] = true
		return struct{}{}, err
	}, "SELECT substr(alarm_id,?) FROM alarms WHERE cp_id=? AND kind=?", len(prefix)+1, string(cp), string(ledger.AlarmTicket))
	return all, err
}

// stuck selects what should have ended by itself, as lines of text. "Now" is a
// minute before the database was last written: while Central is down nothing can
// end.
const stuck = `WITH now(at) AS (SELECT max(
  (SELECT coalesce(max(made_at),0) FROM epoch), (SELECT coalesce(max(grown_at),0) FROM journals),
  (SELECT coalesce(max(changed_at),0) FROM commands), (SELECT coalesce(max(made_at),0) FROM reservations),
  (SELECT coalesce(max(read_at),0) FROM requests))-60000)
SELECT 'reservation '||reservation_id||' at '||cp_id||'/'||connector||' is past its end and still open'
  FROM reservations, now WHERE ended_at=0 AND until<now.at
UNION ALL SELECT 'reservation '||reservation_id||' was used by no session' FROM reservations WHERE reason='used' AND session_id=''
UNION ALL SELECT 'reservation '||reservation_id||' is of '||cp_id||', which is not known' FROM reservations
  WHERE ended_at=0 AND cp_id NOT IN (SELECT cp_id FROM cps)
UNION ALL SELECT 'command '||command_id||' ('||type||') has expired and is still '||state
  FROM commands, now WHERE state IN ('written','sent') AND expires_at<now.at
UNION ALL SELECT 'command '||command_id||' ('||type||') is '||state||' at a boot of '||commands.cp_id||' that is over'
  FROM commands LEFT JOIN cps ON cps.cp_id=commands.cp_id
  WHERE state IN ('written','sent','accepted') AND journal<>'' AND journal IS NOT cps.present
UNION ALL SELECT 'request '||message_id||' of '||username||' was never answered'
  FROM requests, now WHERE answer='' AND ignored=0 AND answer_by<now.at
LIMIT 1000`

// Stuck returns a line for each reservation, command and request that should have
// ended by itself, at most 1000.
func (s *Store) Stuck(ctx context.Context) ([]string, error) {
	return collect(ctx, s, "read what is wanted", func(r *sql.Rows) (line string, err error) { return line, r.Scan(&line) }, stuck)
}

// Wanted counts the rows that Stuck checks.
func (s *Store) Wanted(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM reservations)+(SELECT count(*) FROM commands)+(SELECT count(*) FROM requests)").Scan(&n)
	return n, wrap("count what is wanted", err)
}
