package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// limitOf returns the number of rows of a page.
func limitOf(q *view.Query) int {
	switch {
	case q.Limit <= 0:
		return 100
	case q.Limit > 1000:
		return 1000
	}
	return q.Limit
}

// conditions are the parts of a WHERE, joined by AND.
type conditions struct {
	where []string
	args  []any
}

func (c *conditions) add(cond string, args ...any) {
	c.where = append(c.where, cond)
	c.args = append(c.args, args...)
}

func (c *conditions) String() string {
	if len(c.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.where, " AND ")
}

// of restricts to the charging point, the driver and the session of the query.
func (c *conditions) of(q *view.Query) {
	if q.CPID != "" {
		c.add("cp_id=?", string(q.CPID))
	}
	if q.Username != "" {
		c.add("username=?", string(q.Username))
	}
	if q.Owner != "" {
		c.add("username=?", string(q.Owner))
	}
	if q.SessionID != "" { // of tickets alone
		c.add("session_id=?", string(q.SessionID))
	}
}

// between restricts a column of times to those of the query.
func (c *conditions) between(column string, q *view.Query) {
	if q.From != 0 {
		c.add(column+">=?", int64(q.From))
	}
	if q.To != 0 {
		c.add(column+"<?", int64(q.To))
	}
}

// listing describes a table that is listed page by page. Rows are listed by rowid,
// greatest first: the order in which Central received them. The cursor of a page
// is the key of its last row, so rows that are added meanwhile do not shift the
// pages.
type listing struct {
	cols, from string
	key        string // the column with the key of a row
	at         string // the column that From and To restrict
	corrected  bool   // that column may have a time of a wrong clock: see betweenKnown
	driver     bool   // whether it has a column username
	// states are conditions by the name of a state. Each ? in one is the moment
	// Query.Now.
	states map[string]string
}

// page returns the query of a page and its arguments. All conditions are applied
// before the limit, so only the last page can be shorter than the limit.
func (l *listing) page(ctx context.Context, s *Store, q *view.Query) (query string, args []any, err error) {
	var c conditions
	if q.Username != "" && !l.driver {
		return "", nil, fmt.Errorf("list %s: has no drivers", l.from)
	}
	if q.Owner != "" && !l.driver {
		return "", nil, fmt.Errorf("list %s: has no owners", l.from)
	}
	c.of(q)
	if q.State != "" {
		cond, ok := l.states[q.State]
		if !ok {
			return "", nil, fmt.Errorf("list %s: has no state %q", l.from, q.State)
		}
		c.add(cond, slices.Repeat([]any{int64(q.Now)}, strings.Count(cond, "?"))...)
	}
	if l.corrected {
		c.betweenKnown(l.at, q)
	} else {
		c.between(l.at, q)
	}
	if q.After != "" {
		var after int64
		err := s.ro.QueryRowContext(ctx, "SELECT rowid FROM "+l.from+" WHERE "+l.key+"=?", q.After).Scan(&after)
		if errors.Is(err, sql.ErrNoRows) {
			return "", nil, view.ErrGone
		}
		if err != nil {
			return "", nil, wrap("find the place in "+l.from, err)
		}
		c.add("rowid<?", after)
	}
	return "SELECT " + l.cols + " FROM " + l.from + c.String() + " ORDER BY rowid DESC LIMIT ?", append(c.args, limitOf(q)), nil
}

// readPage returns a page of a list.
func readPage[T any](ctx context.Context, s *Store, l *listing, q *view.Query, scan func(*sql.Rows) (T, error)) ([]T, error) {
	query, args, err := l.page(ctx, s, q)
	if err != nil {
		return nil, err
	}
	return collect(ctx, s, "read "+l.from, scan, query, args...)
}

// Sessions returns a page of sessions; the key is a session id.
func (s *Store) Sessions(ctx context.Context, q view.Query) ([]ledger.Session, error) {
	return readPage(ctx, s, &listing{
		cols: sessionCols, from: "sessions", key: "session_id", at: "authorized_at", corrected: true, driver: true,
		states: map[string]string{ // the second halves let a partial index be used
			string(ledger.SessionOpen): "state='open' AND state<>'ended'", string(ledger.SessionOrphaned): "state='orphaned' AND state<>'ended'",
			view.SessionClosed: "state='ended'",
		},
	}, &q, func(r *sql.Rows) (ledger.Session, error) { return scanSession(r) })
}

// Tickets returns a page of tickets; the key is a ticket id.
func (s *Store) Tickets(ctx context.Context, q view.Query) ([]ledger.Ticket, error) {
	return readPage(ctx, s, &listing{cols: ticketCols, from: "tickets", key: "ticket_id", at: "ended_at", corrected: true, driver: true}, &q,
		func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) })
}

// owned is the condition that a row belongs to a driver. Its two arguments are that
// driver; with "" every row does.
const owned = " AND (?='' OR username=?)"

// SessionOf returns a session of a driver by id, or with owner "" of any; ok is
// false if there is none.
func (s *Store) SessionOf(ctx context.Context, owner charge.Username, id charge.SessionID) (v ledger.Session, ok bool, err error) {
	v, err = scanSession(s.ro.QueryRowContext(ctx, "SELECT "+sessionCols+" FROM sessions WHERE session_id=?"+owned, string(id), string(owner), string(owner)))
	return rowOrNone("read session", v, err)
}

// TicketOf returns a ticket of a driver by id, or with owner "" of any; ok is false
// if there is none.
func (s *Store) TicketOf(ctx context.Context, owner charge.Username, id string) (t ledger.Ticket, ok bool, err error) {
	t, err = scanTicket(s.ro.QueryRowContext(ctx, "SELECT "+ticketCols+" FROM tickets WHERE ticket_id=?"+owned, id, string(owner), string(owner)))
	return rowOrNone("read ticket", t, err)
}

// ReservationOf returns a reservation of a driver by id, or with owner "" of any; ok
// is false if there is none.
func (s *Store) ReservationOf(ctx context.Context, owner charge.Username, id charge.ReservationID) (v orders.Reservation, ok bool, err error) {
	v, err = scanReservation(s.ro.QueryRowContext(ctx, "SELECT "+reservationCols+" FROM reservations WHERE reservation_id=?"+owned,
		string(id), string(owner), string(owner)))
	return rowOrNone("read reservation", v, err)
}

// notStarted returns why the session of a reservation did not start; "" while it may
// start, once it did, and when the reservation ended instead.
func (s *Store) notStarted(ctx context.Context, id charge.ReservationID) (reason string, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT iif(ended_at=0 OR outcome IN ('done','reservation_ended'),'',outcome) FROM desired_states "+
		"WHERE reservation_id=? AND reservation_id<>'' AND kind='start' ORDER BY rowid DESC LIMIT 1", string(id)).Scan(&reason)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return reason, wrap("read how the start ended", err)
}

// CommandOf returns a command that was written for a driver by id, or with owner ""
// any; ok is false if there is none. A command names its driver itself, or by the
// session or reservation that it is about.
func (s *Store) CommandOf(ctx context.Context, owner charge.Username, id charge.CommandID) (l CommandLife, ok bool, err error) {
	by := string(owner)
	l, err = scanLife(s.ro.QueryRowContext(ctx, "SELECT "+commandLifeCols+" FROM commands WHERE command_id=? AND (?='' OR "+
		"iif(json_valid(CAST(data AS TEXT)),CAST(data AS TEXT)->>'$.username','')=? OR session_id IN (SELECT session_id FROM sessions WHERE username=? AND session_id=commands.session_id) OR "+
		"reservation_id IN (SELECT reservation_id FROM reservations WHERE username=? AND reservation_id=commands.reservation_id))", string(id), by, by, by, by))
	return rowOrNone("read command", l, err)
}

// Ticket returns a ticket by id; ok is false if there is none.
func (s *Store) Ticket(ctx context.Context, id string) (t ledger.Ticket, ok bool, err error) {
	t, err = scanTicket(s.ro.QueryRowContext(ctx, "SELECT "+ticketCols+" FROM tickets WHERE ticket_id=?", id))
	return rowOrNone("read ticket", t, err)
}

// PublishedTicket returns a ticket that an earlier run of Central published and this
// database lacks; ok is false if there is none with the id.
func (s *Store) PublishedTicket(ctx context.Context, id string) (t ledger.Ticket, ok bool, err error) {
	t, err = scanTicket(s.ro.QueryRowContext(ctx, "SELECT "+ticketCols+" FROM published_tickets WHERE ticket_id=?", id))
	return rowOrNone("read published ticket", t, err)
}

// PublishedTickets returns all tickets of PublishedTicket.
func (s *Store) PublishedTickets(ctx context.Context) ([]ledger.Ticket, error) {
	return collect(ctx, s, "read published tickets", func(r *sql.Rows) (ledger.Ticket, error) { return scanTicket(r) },
		"SELECT "+ticketCols+" FROM published_tickets ORDER BY ticket_id")
}

// Reservations returns a page of reservations, by their states at the moment
// q.Now; the key is a reservation id.
func (s *Store) Reservations(ctx context.Context, q view.Query) ([]orders.Reservation, error) {
	const used = "reason='" + orders.EndUsed + "'"
	return readPage(ctx, s, &listing{
		cols: reservationCols, from: "reservations", key: "reservation_id", at: "made_at", driver: true,
		states: map[string]string{
			view.ReservationPending: "ended_at=0 AND until>? AND confirmed_at=0 AND NOT " + used, view.ReservationActive: "ended_at=0 AND until>? AND confirmed_at<>0 AND NOT " + used,
			view.ReservationUsed: used, view.ReservationEnded: "(ended_at<>0 OR until<=?) AND NOT " + used,
		},
	}, &q, func(r *sql.Rows) (orders.Reservation, error) { return scanReservation(r) })
}

// CommandLife is a command with the times of its states; a time is zero if the
// command was never in that state.
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

// Commands returns a page of commands; State is an orders.CommandState, the key a
// command id.
func (s *Store) Commands(ctx context.Context, q view.Query) ([]CommandLife, error) {
	states := map[string]string{}
	for _, state := range []orders.CommandState{
		orders.Written, orders.Sent, orders.Accepted, orders.Rejected, orders.Superseded, orders.Expired, orders.Done, orders.Failed,
	} {
		states[string(state)] = "state='" + string(state) + "'"
		if state.Open() {
			states[string(state)] += " AND state IN ('written','sent','accepted')" // for the partial index
		}
	}
	return readPage(ctx, s, &listing{cols: commandLifeCols, from: "commands", key: "command_id", at: "issued_at", states: states}, &q,
		func(r *sql.Rows) (CommandLife, error) { return scanLife(r) })
}

// GapRow is a gap with its number, which the API uses as its id.
type GapRow struct {
	N int64
	ledger.Gap
}

// Gaps returns a page of gaps; State is view.GapOpen or view.GapFilled, the key the number.
func (s *Store) Gaps(ctx context.Context, q view.Query) ([]GapRow, error) {
	return readPage(ctx, s, &listing{
		cols: "rowid," + gapReadCols, from: "gaps", key: "rowid", at: "detected_at",
		states: map[string]string{view.GapOpen: "open=1 AND missing<>'[]'", view.GapFilled: "missing='[]'"},
	}, &q, func(r *sql.Rows) (g GapRow, err error) {
		g.Gap, err = scanGap(numbered{r, &g.N})
		return g, err
	})
}

// Gap returns a gap by its number; ok is false if there is none.
func (s *Store) Gap(ctx context.Context, n int64) (g ledger.Gap, ok bool, err error) {
	g, err = scanGap(s.ro.QueryRowContext(ctx, "SELECT "+gapReadCols+
		" FROM gaps WHERE rowid=?", n))
	return rowOrNone("read gap", g, err)
}

// numbered is a scanner that scans a first column, the number, into n.
type numbered struct {
	s scanner
	n *int64
}

// Scan implements scanner.
func (n numbered) Scan(dest ...any) error { return n.s.Scan(append([]any{n.n}, dest...)...) }

// AlarmRow is an alarm with its number, which the API uses as its id.
type AlarmRow struct {
	N int64
	ledger.Alarm
}

// Alarms returns a page of alarms; State is view.AlarmOpen or view.AlarmCleared, the key the
// number.
func (s *Store) Alarms(ctx context.Context, q view.Query) ([]AlarmRow, error) {
	return readPage(ctx, s, &listing{
		cols: "rowid," + alarmCols, from: "alarms", key: "rowid", at: "at",
		states: map[string]string{view.AlarmOpen: "cleared=0", view.AlarmCleared: "cleared=1"},
	}, &q, func(r *sql.Rows) (AlarmRow, error) { return scanAlarm(r) })
}

// Alarm returns an alarm by its number; ok is false if there is none.
func (s *Store) Alarm(ctx context.Context, n int64) (a AlarmRow, ok bool, err error) {
	a, err = scanAlarm(s.ro.QueryRowContext(ctx, "SELECT rowid,"+alarmCols+" FROM alarms WHERE rowid=?", n))
	return rowOrNone("read alarm", a, err)
}

// AlarmID returns the id of the alarm with a number; ok is false if there is none.
func (s *Store) AlarmID(ctx context.Context, n int64) (id string, ok bool, err error) {
	a, ok, err := s.Alarm(ctx, n)
	return a.ID, ok, err
}

// scanAlarm scans the number and alarmCols.
func scanAlarm(r scanner) (a AlarmRow, err error) {
	return a, r.Scan(&a.N, &a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared, jsonOf{&a.Why})
}

// OpenAlarms counts the alarms that are not cleared.
func (s *Store) OpenAlarms(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT count(*) FROM alarms WHERE cleared=0").Scan(&n)
	return n, wrap("count alarms", err)
}

// LastAlarm returns the latest alarm that is not cleared.
func (s *Store) LastAlarm(ctx context.Context) (a ledger.Alarm, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT "+alarmCols+" FROM alarms WHERE cleared=0 ORDER BY at DESC LIMIT 1").
		Scan(&a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared, jsonOf{&a.Why})
	return rowOrNone("read alarm", a, err)
}

// OpenAlarm returns an alarm by its id, if it is not cleared.
func (s *Store) OpenAlarm(ctx context.Context, id string) (a ledger.Alarm, ok bool, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT "+alarmCols+" FROM alarms WHERE alarm_id=? AND cleared=0", id).
		Scan(&a.ID, &a.Kind, &a.CPID, &a.Connector, &a.At, &a.Detail, &a.Cleared, jsonOf{&a.Why})
	return rowOrNone("read alarm", a, err)
}

// Lost counts the records that are missing in gaps.
func (s *Store) Lost(ctx context.Context) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT coalesce(sum(lost),0) FROM gaps WHERE open=1").Scan(&n)
	return n, wrap("count lost records", err)
}

// Records returns a page of records as they were received, the latest first. With
// a CPID it goes back through the journals of that charging point, newest boot
// first, each from its last record. The key is view.Record.Key; From and To restrict
// when a record was received.
func (s *Store) Records(ctx context.Context, q view.Query) ([]view.Record, error) {
	var last *view.Record
	if q.After != "" {
		r, err := s.record(ctx, q.After)
		if err != nil {
			return nil, err
		}
		last = &r
	}
	if q.CPID != "" {
		return s.recordsOf(ctx, &q, last)
	}
	var c conditions
	c.between("received_at", &q)
	if last != nil {
		c.add("(received_at,cp_id,journal,seq)<(?,?,?,?)", int64(last.ReceivedAt), string(last.CPID), string(last.Journal), int64(last.Seq))
	}
	return collect(ctx, s, "read records", scanRecord, "SELECT "+recordRowCols+" FROM records"+c.String()+
		" ORDER BY received_at DESC,cp_id DESC,journal DESC,seq DESC LIMIT ?", append(c.args, limitOf(&q))...)
}

// recordsOf goes back through the journals of a charging point that still hold
// records, from the record after last; nil is the newest.
func (s *Store) recordsOf(ctx context.Context, q *view.Query, last *view.Record) ([]view.Record, error) {
	journals, err := collect(ctx, s, "read journals", func(rows *sql.Rows) (j charge.JournalID, err error) { return j, rows.Scan(&j) },
		"SELECT journal FROM journals j WHERE cp_id=? AND EXISTS (SELECT 1 FROM records r WHERE r.cp_id=j.cp_id AND r.journal=j.journal) "+
			"ORDER BY opened_at DESC,journal DESC", string(q.CPID))
	if err != nil {
		return nil, err
	}
	if last != nil {
		i := slices.Index(journals, last.Journal)
		if i < 0 || last.CPID != q.CPID {
			return nil, view.ErrGone // of another charging point: no place in this list
		}
		journals = journals[i:]
	}
	var all []view.Record
	for _, j := range journals {
		var c conditions
		c.add("cp_id=? AND journal=?", string(q.CPID), string(j))
		if last != nil && last.Journal == j {
			c.add("seq<?", int64(last.Seq))
		}
		c.between("received_at", q)
		part, err := collect(ctx, s, "read records", scanRecord,
			"SELECT "+recordRowCols+" FROM records"+c.String()+" ORDER BY seq DESC LIMIT ?", append(c.args, limitOf(q)-len(all))...)
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(all) >= limitOf(q) {
			break
		}
	}
	return all, nil
}

const recordRowCols = "cp_id,journal,seq,received_at,raw"

func scanRecord(rows *sql.Rows) (r view.Record, err error) {
	var raw []byte
	err = rows.Scan(&r.CPID, &r.Journal, &r.Seq, &r.ReceivedAt, &raw)
	return view.RecordOf(r.CPID, r.Journal, r.Seq, r.ReceivedAt, raw), err
}

// record returns a record, without its bytes, by its key; view.ErrGone if there
// is none.
func (s *Store) record(ctx context.Context, key string) (r view.Record, err error) {
	cp, rest, _ := strings.Cut(key, "/")
	journal, n, _ := strings.Cut(rest, "/")
	seq, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return r, view.ErrGone // no record has such a key
	}
	r = view.Record{CPID: charge.CPID(cp), Journal: charge.JournalID(journal), Seq: charge.Seq(seq)}
	err = s.ro.QueryRowContext(ctx, "SELECT received_at FROM records WHERE cp_id=? AND journal=? AND seq=?", cp, journal, seq).Scan(&r.ReceivedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return r, view.ErrGone
	}
	return r, wrap("find record", err)
}
