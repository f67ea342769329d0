package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/carga-ev/carga/internal/charge"
)

// Bounds of what one call of Prune looks at.
const (
	pruneJournals = 200 // journals
	pruneRecords  = 500 // records of one journal
)

// pruneCursor remembers between calls which journal was looked at last, in the order
// of the index: by the age of its oldest record.
type pruneCursor struct {
	oldest      int64
	cp, journal string
}

// keepBeforeSession is how long before an open session was heard of its records may
// have been received.
const keepBeforeSession = 24 * 3600 * 1000

// elapsedSetting is up to when time has passed for what is kept for a while.
const elapsedSetting = "aged_until"

// Aged notes up to when time has passed for what is kept for a while.
func (tx *Tx) Aged(at charge.Time) error {
	return tx.Setting(elapsedSetting, strconv.FormatInt(int64(at), 10))
}

// Aged is what was noted last; in a database of before the last start of
// Central, and zero in a new one.
func (s *Store) Aged(ctx context.Context) (charge.Time, error) {
	var at int64
	err := s.ro.QueryRowContext(ctx, "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM settings WHERE name=?),(SELECT made_at FROM epoch),0)",
		elapsedSetting).Scan(&at)
	return charge.Time(at), wrap("read up to when time has passed", err)
}

// Prune deletes what is older than the moment before and not needed any more:
// bytes of records that are applied, commands and wishes that ended,
// reservations that are gone, alarms that were taken back, dead letters and
// records of a quarantined identity; at most limit rows of each. What
// the books need stays: charging points, journals, meters, sessions, tickets,
// holes, and the records of sessions that are open. Of each journal the oldest
// records go first, and it is noted up to which, so that the rest can still be
// checked. more says that there may be more to do at once; otherwise all was
// looked at.
func (tx *Tx) Prune(before charge.Time, limit int) (more bool, err error) {
	for _, q := range []string{
		"DELETE FROM commands WHERE rowid IN (SELECT rowid FROM commands WHERE state NOT IN ('written','sent','accepted') AND changed_at<? ORDER BY changed_at LIMIT ?)",
		"DELETE FROM wishes WHERE rowid IN (SELECT rowid FROM wishes WHERE ended_at>0 AND ended_at<? ORDER BY ended_at LIMIT ?)",
		"DELETE FROM reservations WHERE rowid IN (SELECT rowid FROM reservations WHERE gone=1 AND ended_at>0 AND ended_at<? ORDER BY ended_at LIMIT ?)",
		"DELETE FROM alarms WHERE rowid IN (SELECT rowid FROM alarms WHERE cleared=1 AND kind<>'ticket_differs' AND at<? ORDER BY at LIMIT ?)",
		"DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE at<? ORDER BY at LIMIT ?)",
		"DELETE FROM forked_records WHERE (cp_id,journal,seq,hash) IN (SELECT cp_id,journal,seq,hash FROM forked_records " +
			"WHERE received_at<? ORDER BY received_at LIMIT ?)",
		"DELETE FROM bridge_runs WHERE (bridge,started_at) IN (SELECT bridge,started_at FROM bridge_runs WHERE at<? LIMIT ?)",
	} {
		full, err := tx.deleteUpTo(limit, q, int64(before), limit)
		if err != nil {
			return false, fmt.Errorf("prune: %w", err)
		}
		more = more || full
	}
	rest, err := tx.pruneRecords(before, limit)
	if err != nil {
		tx.err = errors.Join(tx.err, err)
		return false, fmt.Errorf("prune records: %w", err)
	}
	return more || rest, nil
}

// deleteUpTo runs a query that deletes at most limit rows; full says that it
// deleted as many.
func (tx *Tx) deleteUpTo(limit int, query string, args ...any) (full bool, err error) {
	res, err := tx.run(query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n >= int64(limit), err
}

// pruneRecords goes on where the last call ended. It looks at journals that hold
// a record older than the moment and at no other, so what it costs does not
// depend on how many there are.
func (tx *Tx) pruneRecords(moment charge.Time, limit int) (more bool, err error) {
	at := &tx.w.pruneAt
	journals, err := query(tx, func(r *sql.Rows) (p pruneCursor, err error) { return p, r.Scan(&p.oldest, &p.cp, &p.journal) },
		"SELECT oldest_at,cp_id,journal FROM journals WHERE oldest_at>0 AND oldest_at<? AND (oldest_at,cp_id,journal)>(?,?,?) "+
			"ORDER BY oldest_at,cp_id,journal LIMIT ?", int64(moment), at.oldest, at.cp, at.journal, pruneJournals)
	if err != nil {
		return false, err
	}
	next := pruneCursor{}
	if len(journals) == pruneJournals {
		next = journals[len(journals)-1]
	}
	before, until := *at, int64(0)
	for i, j := range journals {
		if i == 0 || j.cp != before.cp {
			if until, err = tx.pruneUntil(j.cp, int64(moment)); err != nil {
				return false, err
			}
		}
		full := true
		for full && limit > 0 {
			var n int
			if n, full, err = tx.pruneJournal(j, until, min(limit, pruneRecords)); err != nil {
				return false, err
			}
			limit -= n
		}
		if limit <= 0 {
			next = before // this one again
			break
		}
		before = j
	}
	*at = next
	return limit <= 0 || next != pruneCursor{}, nil
}

// pruneUntil is the moment before which records of a charging point may go.
func (tx *Tx) pruneUntil(cp string, before int64) (until int64, err error) {
	var heard sql.NullInt64
	err = tx.w.conn.QueryRowContext(tx.ctx, "SELECT min(heard_at) FROM sessions WHERE cp_id=? AND state<>'ended' AND state='open'", cp).Scan(&heard)
	if heard.Valid {
		before = min(before, heard.Int64-keepBeforeSession)
	}
	return before, err
}

// pruneJournal deletes the oldest records of a journal, at most limit; full says that there
// are more of them.
func (tx *Tx) pruneJournal(j pruneCursor, until int64, limit int) (n int, full bool, err error) {
	type row struct{ seq, receivedAt int64 }
	rows, err := query(tx, func(r *sql.Rows) (v row, err error) { return v, r.Scan(&v.seq, &v.receivedAt) },
		"SELECT seq,received_at FROM records WHERE cp_id=? AND journal=? ORDER BY seq LIMIT ?", j.cp, j.journal, limit)
	if err != nil {
		return 0, false, err
	}
	for n < len(rows) && rows[n].receivedAt < until {
		n++
	}
	oldest := int64(0)
	switch {
	case n < len(rows):
		oldest = max(rows[n].receivedAt, 1)
	case n == limit: // there may be more: looked at again
		oldest = j.oldest
	}
	if oldest != j.oldest {
		if err := tx.exec("UPDATE journals SET oldest_at=? WHERE cp_id=? AND journal=?", oldest, j.cp, j.journal); err != nil {
			return 0, false, err
		}
	}
	if n == 0 {
		return 0, false, nil
	}
	last := rows[n-1].seq
	err = errors.Join(
		tx.exec("DELETE FROM records WHERE cp_id=? AND journal=? AND seq<=?", j.cp, j.journal, last),
		tx.exec("INSERT INTO pruned (cp_id,journal,seq) VALUES (?,?,?) ON CONFLICT (cp_id,journal) DO UPDATE SET seq=excluded.seq", j.cp, j.journal, last))
	return n, n == limit, err
}

// query reads all rows of a query within the transaction.
func query[T any](tx *Tx, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	return scanAll(tx.ctx, tx.w.conn, scan, text, args...)
}

func scanAll[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells what went wrong
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
