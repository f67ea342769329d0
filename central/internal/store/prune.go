package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/carga-ev/carga/internal/charge"
)

// How much one call of Prune looks at. It runs between batches of Kafka records,
// on the goroutine that writes, and must not delay them.
const (
	pruneJournals = 200 // journals
	pruneRecords  = 500 // records of one journal
)

// pruneCursor is the journal that the last call of Prune looked at. The next call
// goes on after it, in the order of the index journals_to_prune: by the age of
// the oldest record, then by charging point and journal. The zero value starts
// from the first.
type pruneCursor struct {
	oldest      int64
	cp, journal string
}

// keepBeforeSession, in milliseconds, is subtracted from when an open session
// became known: so far before that its first records may have been received.
const keepBeforeSession = 24 * 3600 * 1000

// elapsedSetting is the name of the setting that Aged writes.
const elapsedSetting = "aged_until"

// Aged stores up to which moment the retention periods have run. The time during
// which Central did not run counts only once Kafka was read to its end, so that
// nothing is deleted that a message waiting there refers to.
func (tx *Tx) Aged(at charge.Time) error {
	return tx.Setting(elapsedSetting, strconv.FormatInt(int64(at), 10))
}

// Aged returns the moment that was stored last. In a database of an earlier
// version it is the last start of Central, in a new one zero.
func (s *Store) Aged(ctx context.Context) (charge.Time, error) {
	var at int64
	err := s.ro.QueryRowContext(ctx, "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM settings WHERE name=?),(SELECT made_at FROM epoch),0)",
		elapsedSetting).Scan(&at)
	return charge.Time(at), wrap("read up to when time has passed", err)
}

// Prune deletes what is older than the moment before and is not needed any more,
// at most limit rows of each kind: applied records, ended commands and desired
// states, reservations that no charging point holds, cleared alarms, dead
// letters, records of quarantined identities, and counts of old runs of bridges.
//
// It never deletes what the accounts need: charging points, journals, meters,
// sessions, tickets, gaps, and the records of sessions that are open. The records
// of a journal are deleted from the oldest on, and the table pruned holds up to
// which, so that an audit can still check the rest.
//
// more is true when another call would find more to delete at once; otherwise
// everything was looked at.
func (tx *Tx) Prune(before charge.Time, limit int) (more bool, err error) {
	for _, q := range []string{
		"DELETE FROM commands WHERE rowid IN (SELECT rowid FROM commands WHERE state NOT IN ('written','sent','accepted') AND changed_at<? ORDER BY changed_at LIMIT ?)",
		"DELETE FROM desired_states WHERE rowid IN (SELECT rowid FROM desired_states WHERE ended_at>0 AND ended_at<? ORDER BY ended_at LIMIT ?)",
		"DELETE FROM reservations WHERE rowid IN (SELECT rowid FROM reservations WHERE released=1 AND ended_at>0 AND ended_at<? ORDER BY ended_at LIMIT ?)",
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

// deleteUpTo runs a query that deletes at most limit rows; full is true when it
// deleted that many, so that there may be more.
func (tx *Tx) deleteUpTo(limit int, query string, args ...any) (full bool, err error) {
	res, err := tx.run(query, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n >= int64(limit), err
}

// pruneRecords goes on after the journal where the last call ended. It looks only
// at journals that hold a record older than the moment, so its cost does not grow
// with the number of journals.
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
			next = before // start with this journal the next time
			break
		}
		before = j
	}
	*at = next
	return limit <= 0 || next != pruneCursor{}, nil
}

// pruneUntil returns the moment before which records of a charging point may be
// deleted: before, or earlier if a session is open there.
func (tx *Tx) pruneUntil(cp string, before int64) (until int64, err error) {
	var known sql.NullInt64 // when the oldest open session became known
	err = tx.w.conn.QueryRowContext(tx.ctx, "SELECT min(first_seen_at) FROM sessions WHERE cp_id=? AND state<>'ended' AND state='open'", cp).Scan(&known)
	if known.Valid {
		before = min(before, known.Int64-keepBeforeSession)
	}
	return before, err
}

// pruneJournal deletes the records of a journal that were received before until,
// from the oldest on and at most limit, and stores when the oldest of the rest was
// received. n is how many it deleted; full is true when that is limit, so that
// there may be more.
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
	case n == limit: // there may be more: keep the journal in the index
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

// scanAll returns all rows of a query.
func scanAll[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below returns the error
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
