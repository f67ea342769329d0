package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// correctTimes replaces the times of sessions by those that are known now, and
// returns what is to be known of each: see ledger.Session.CorrectTimes.
func (s *Store) correctTimes(ctx context.Context, sessions []ledger.Session) ([]ledger.ClockNote, error) {
	boots := map[string]ledger.BootTime{} // a page has few
	notes := make([]ledger.ClockNote, len(sessions))
	var failed error
	for i := range sessions {
		cp := sessions[i].CPID
		sessions[i], notes[i] = sessions[i].CorrectTimes(func(id charge.JournalID) ledger.BootTime {
			key := string(cp) + " " + string(id)
			b, known := boots[key]
			if !known && failed == nil {
				var j ledger.Journal
				j, _, failed = s.Journal(ctx, cp, id)
				b = j.Boot
				boots[key] = b
			}
			return b
		})
	}
	return notes, failed
}

// unsureSessions returns the sessions of tickets that have a time of a clock that was
// not synchronised, with their times as they are known now.
func (s *Store) unsureSessions(ctx context.Context, tickets []ledger.Ticket) (map[charge.SessionID]timedSession, error) {
	ids := make([]charge.SessionID, len(tickets))
	for i := range tickets {
		ids[i] = tickets[i].SessionID
	}
	found, err := collect(ctx, s, "read the times of sessions", func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) },
		"SELECT "+sessionCols+` FROM sessions WHERE session_id IN (SELECT value FROM json_each(?)) AND instr(spans,'"Clock"')>0`,
		list(ids))
	if err != nil {
		return nil, err
	}
	notes, err := s.correctTimes(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("correct times: %w", err)
	}
	times := make(map[charge.SessionID]timedSession, len(found))
	for i := range found {
		times[found[i].ID] = timedSession{found[i].EndedAt, notes[i]}
	}
	return times, nil
}

// timedSession is when a session ended, and what is to be known of its times.
type timedSession struct {
	endedAt charge.Time
	note    ledger.ClockNote
}

// knownAtOnce is how many sessions knowTimes looks at: more are left by an upgrade and
// by a rebuild alone, and the next transactions continue.
const knownAtOnce = 200

// knowTimes adds rows of unsure_times, and computes the times of those that are stale:
// these, and the ones of a boot whose time has changed, as a trigger has noted. A time
// that is not known stays as it was recorded.
func (tx *Tx) knowTimes(rows []any) error {
	if err := tx.rows(tx.w.tables.unsure, rows); err != nil {
		return fmt.Errorf("write unsure times: %w", err)
	}
	stale, err := query(tx, func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) }, "SELECT "+sessionCols+
		" FROM sessions WHERE session_id IN (SELECT session_id FROM unsure_times WHERE stale=1 LIMIT ?)", knownAtOnce)
	if err != nil {
		return fmt.Errorf("read unsure times: %w", err)
	}
	for i := range stale {
		s, err := tx.knownTimes(&stale[i])
		if err == nil {
			err = tx.exec("UPDATE unsure_times SET authorized_at=?,ended_at=?,stale=0 WHERE session_id=?",
				int64(cmp.Or(s.AuthorizedAt, stale[i].AuthorizedAt)), int64(cmp.Or(s.EndedAt, stale[i].EndedAt)), string(s.ID))
		}
		if err != nil {
			return fmt.Errorf("correct times: %w", err)
		}
	}
	return nil
}

// knownTimes returns a session with its times as they are known in the transaction.
func (tx *Tx) knownTimes(s *ledger.Session) (ledger.Session, error) {
	var failed error
	known, _ := s.CorrectTimes(func(id charge.JournalID) ledger.BootTime {
		b, err := query(tx, func(r *sql.Rows) (b ledger.BootTime, err error) { return b, r.Scan(&b.At, &b.Clock, &b.Seq) },
			"SELECT boot_at,boot_clock,boot_seq FROM journals WHERE cp_id=? AND journal=?", string(s.CPID), string(id))
		if failed = errors.Join(failed, err); len(b) == 0 {
			return ledger.BootTime{}
		}
		return b[0]
	})
	return known, failed
}

// betweenKnown restricts a time of sessions, or of the tickets of sessions, to those of
// the query: as it was recorded, and where that clock was not synchronised, as it is
// known now. column is authorized_at or ended_at.
func (c *conditions) betweenKnown(column string, q *view.Query) {
	var in conditions
	in.between(column, q)
	if len(in.where) == 0 {
		return
	}
	within := strings.Join(in.where, " AND ")
	c.add("("+within+" AND session_id NOT IN (SELECT session_id FROM unsure_times) OR "+
		column+">0 AND session_id IN (SELECT session_id FROM unsure_times WHERE "+within+"))", append(in.args, in.args...)...)
}
