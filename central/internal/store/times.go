package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
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
