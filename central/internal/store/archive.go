package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// Query selects a page of a list, newest first. Zero fields select all.
type Query struct {
	CPID     charge.CPID
	Username charge.Username
	State    string
	After    string // the last id of the page before
	Limit    int    // 100 unless set, at most 1000
}

func (q *Query) limit() int {
	switch {
	case q.Limit <= 0:
		return 100
	case q.Limit > 1000:
		return 1000
	}
	return q.Limit
}

// page builds the query of a page of a table whose newest rows have the
// greatest rowid.
func (q *Query) page(cols, from, id, state string, byDriver bool) (query string, args []any) {
	var where []string
	add := func(cond string, arg any) {
		where = append(where, cond)
		args = append(args, arg)
	}
	if q.CPID != "" {
		add("cp_id=?", string(q.CPID))
	}
	if q.Username != "" && byDriver {
		add("username=?", string(q.Username))
	}
	if q.State != "" && state != "" {
		add(state+"=?", q.State)
	}
	if q.After != "" {
		add("rowid<(SELECT rowid FROM "+from+" WHERE "+id+"=?)", q.After)
	}
	query = "SELECT " + cols + " FROM " + from
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return query + " ORDER BY rowid DESC LIMIT ?", append(args, q.limit())
}

// Sessions reads a page of sessions; State is a ledger.SessionState.
func (s *Store) Sessions(ctx context.Context, q Query) ([]ledger.Session, error) {
	query, args := q.page(sessionCols, "sessions", "session_id", "state", true)
	return collect(ctx, s, "read sessions", func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) }, query, args...)
}

// Tickets reads a page of tickets.
func (s *Store) Tickets(ctx context.Context, q Query) ([]ledger.Ticket, error) {
	query, args := q.page(ticketCols, "tickets", "ticket_id", "", true)
	return collect(ctx, s, "read tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) }, query, args...)
}

// Reservations reads a page of reservations. What is active depends on the
// moment, so the state is not selected here.
func (s *Store) Reservations(ctx context.Context, q Query) ([]orders.Reservation, error) {
	query, args := q.page(reservationCols, "reservations", "reservation_id", "", true)
	return collect(ctx, s, "read reservations", func(r *sql.Rows) (orders.Reservation, error) { return scanReservation(r) }, query, args...)
}

// CommandLife is a command with the moments of its life; a moment that has not
// come is zero.
type CommandLife struct {
	orders.Command
	SentAt     charge.Time // first sending
	AcceptedAt charge.Time
	EndedAt    charge.Time
}

const commandLifeCols = commandCols + ",sent_at,accepted_at,ended_at"

func scanLife(r scanner) (l CommandLife, err error) {
	l.Command, err = scanCommand(r, &l.SentAt, &l.AcceptedAt, &l.EndedAt)
	return l, err
}

// Commands reads a page of commands; State is an orders.CommandState.
func (s *Store) Commands(ctx context.Context, q Query) ([]CommandLife, error) {
	query, args := q.page(commandLifeCols, "commands", "command_id", "state", false)
	return collect(ctx, s, "read commands", func(r *sql.Rows) (CommandLife, error) { return scanLife(r) }, query, args...)
}

// Command finds a command by id.
func (s *Store) Command(ctx context.Context, id charge.CommandID) (l CommandLife, ok bool, err error) {
	l, err = scanLife(s.ro.QueryRowContext(ctx, "SELECT "+commandLifeCols+" FROM commands WHERE command_id=?", string(id)))
	return found("read command", l, err)
}

// CommandsFor are the ids of the commands about a reservation or a session,
// oldest first.
func (s *Store) CommandsFor(ctx context.Context, cp charge.CPID, r charge.ReservationID, v charge.SessionID) ([]charge.CommandID, error) {
	return collect(ctx, s, "read commands", func(rows *sql.Rows) (id charge.CommandID, err error) { return id, rows.Scan(&id) },
		"SELECT command_id FROM commands WHERE cp_id=? AND ((reservation_id<>'' AND reservation_id=?) OR (session_id<>'' AND session_id=?)) "+
			"ORDER BY rowid LIMIT 100", string(cp), string(r), string(v))
}

// HoleRow is a hole with its number.
type HoleRow struct {
	N int64
	ledger.Hole
}

// Holes reads a page of holes; After is the number of the last one.
func (s *Store) Holes(ctx context.Context, q Query) ([]HoleRow, error) {
	query, args := q.page("rowid,hole_id,cp_id,journal,first,last,cause,detail,found_at,missing,energy_wh,waiting", "holes", "rowid", "", false)
	return collect(ctx, s, "read holes", func(r *sql.Rows) (h HoleRow, err error) {
		h.Hole, err = scanHole(numbered{r, &h.N})
		return h, err
	}, query, args...)
}

// Hole finds a hole by its number.
func (s *Store) Hole(ctx context.Context, n int64) (h ledger.Hole, ok bool, err error) {
	h, err = scanHole(s.ro.QueryRowContext(ctx, "SELECT hole_id,cp_id,journal,first,last,cause,detail,found_at,missing,energy_wh,waiting "+
		"FROM holes WHERE rowid=?", n))
	return found("read hole", h, err)
}

// numbered scans a leading number before the rest.
type numbered struct {
	s scanner
	n *int64
}

// Scan implements scanner.
func (n numbered) Scan(dest ...any) error { return n.s.Scan(append([]any{n.n}, dest...)...) }

// AlarmRow is an alarm with its number.
type AlarmRow struct {
	N int64
	ledger.Alarm
}

// Alarms reads a page of alarms; State "open" leaves out those taken back.
func (s *Store) Alarms(ctx context.Context, q Query) ([]AlarmRow, error) {
	if q.State == "open" {
		q.State = "0"
	}
	query, args := q.page("rowid,"+alarmCols, "alarms", "rowid", "cleared", false)
	return collect(ctx, s, "read alarms", func(r *sql.Rows) (a AlarmRow, err error) {
		return a, r.Scan(&a.N, &a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared)
	}, query, args...)
}

// OpenAlarms counts what an operator should look at.
func (s *Store) OpenAlarms(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT count(*) FROM alarms WHERE cleared=0").Scan(&n)
	return n, wrap("count alarms", err)
}

// LastAlarm is the latest of the alarms that were not taken back.
func (s *Store) LastAlarm(ctx context.Context) (a ledger.Alarm, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT "+alarmCols+" FROM alarms WHERE cleared=0 ORDER BY at DESC LIMIT 1").
		Scan(&a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared)
	return found("read alarm", a, err)
}

// OpenAlarm finds an alarm that was not taken back.
func (s *Store) OpenAlarm(ctx context.Context, id string) (a ledger.Alarm, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT "+alarmCols+" FROM alarms WHERE alarm_id=? AND cleared=0", id).
		Scan(&a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared)
	return found("read alarm", a, err)
}

// Lost counts the records in holes that are not filled.
func (s *Store) Lost(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT coalesce(sum(lost),0) FROM holes WHERE open=1").Scan(&n)
	return n, wrap("count what is lost", err)
}

// RecordRow is one record as it was received.
type RecordRow struct {
	CPID       charge.CPID
	Journal    charge.JournalID
	Seq        charge.Seq
	ReceivedAt charge.Time
	Raw        []byte
}

// busyJournals is how many journals a list over all charging points looks at.
const busyJournals = 50

// Records reads the latest records. With a CPID it goes back through its
// journals, newest boot first, after the record "journal/seq" of q.After;
// without one it shows the latest of the journals that grew last.
func (s *Store) Records(ctx context.Context, q Query) ([]RecordRow, error) {
	scan := func(rows *sql.Rows) (r RecordRow, err error) {
		return r, rows.Scan(&r.CPID, &r.Journal, &r.Seq, &r.ReceivedAt, &r.Raw)
	}
	if q.CPID == "" {
		return collect(ctx, s, "read records", scan, "SELECT r.cp_id,r.journal,r.seq,r.received_at,r.raw FROM "+
			"(SELECT cp_id,journal,last FROM journals ORDER BY grown_at DESC LIMIT ?) j JOIN records r "+
			"ON r.cp_id=j.cp_id AND r.journal=j.journal AND r.seq>j.last-? ORDER BY r.received_at DESC,r.journal DESC,r.seq DESC LIMIT ?",
			busyJournals, q.limit(), q.limit())
	}
	journals, err := collect(ctx, s, "read journals", func(rows *sql.Rows) (j string, err error) { return j, rows.Scan(&j) },
		"SELECT journal FROM journals WHERE cp_id=? ORDER BY opened_at DESC,journal DESC", string(q.CPID))
	if err != nil {
		return nil, err
	}
	below := int64(1 << 62)
	if j, seq, ok := strings.Cut(q.After, "/"); ok {
		journals = from(journals, j)
		below = parseInt(seq)
	}
	var all []RecordRow
	for _, j := range journals {
		part, err := collect(ctx, s, "read records", scan, "SELECT cp_id,journal,seq,received_at,raw FROM records "+
			"WHERE cp_id=? AND journal=? AND seq<? ORDER BY seq DESC LIMIT ?", string(q.CPID), j, below, q.limit()-len(all))
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(all) >= q.limit() {
			break
		}
		below = 1 << 62
	}
	return all, nil
}

// from cuts a list to what begins with v; all of it is passed without v.
func from(list []string, v string) []string {
	if i := slices.Index(list, v); i >= 0 {
		return list[i:]
	}
	return nil
}

func parseInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 62)
	if err != nil {
		return 0 // a cursor nobody gave out selects nothing
	}
	return n
}
