package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Archive reads lists and single items as they are shown. A list returns
// view.ErrGone when the row Query.After does not exist; a single item is nil when
// there is none.
type Archive struct{ s *Store }

// Archive returns the archive of the database.
func (s *Store) Archive() Archive { return Archive{s} }

// shownPage reads a page and shows each row. All rows are compared with the same
// time.
func shownPage[A, B any](ctx context.Context, q view.Query, read func(context.Context, view.Query) ([]A, error), show func(*A) B) ([]B, error) {
	q.Now = charge.At(time.Now())
	rows, err := read(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]B, 0, len(rows))
	for i := range rows {
		out = append(out, show(&rows[i]))
	}
	return out, nil
}

// shown shows a row, nil if there is none.
func shown[A, B any](show func(*A) B) func(A, bool, error) (*B, error) {
	return func(row A, ok bool, err error) (*B, error) {
		if err != nil || !ok {
			return nil, err
		}
		return new(show(&row)), nil
	}
}

func shownReservation(r *orders.Reservation) view.Reservation {
	return view.ReservationOf(r, charge.At(time.Now()))
}

func shownCard(c *cards.Card) view.Card { return view.CardOf(c, charge.At(time.Now())) }

func shownCommand(l *CommandLife) view.Command {
	c := view.CommandOf(&l.Command)
	c.SentAt, c.AcceptedAt, c.EndedAt = l.SentAt, l.AcceptedAt, l.EndedAt
	return c
}

func shownGap(g *GapRow) view.Gap       { return view.GapOf(g.N, &g.Gap) }
func shownAlarm(a *AlarmRow) view.Alarm { return view.AlarmOf(a.N, &a.Alarm) }

// Sessions returns a page of sessions.
func (a Archive) Sessions(ctx context.Context, q view.Query) ([]view.Session, error) {
	q.Now = charge.At(time.Now())
	rows, err := a.s.Sessions(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.shownSessions(ctx, rows)
}

// Session returns one session of a driver, or with owner "" of any.
func (a Archive) Session(ctx context.Context, owner charge.Username, id charge.SessionID) (*view.Session, error) {
	row, ok, err := a.s.SessionOf(ctx, owner, id)
	if err != nil || !ok {
		return nil, err
	}
	all, err := a.shownSessions(ctx, []ledger.Session{row})
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// shownSessions shows sessions with their times as they are known now.
func (a Archive) shownSessions(ctx context.Context, rows []ledger.Session) ([]view.Session, error) {
	notes, err := a.s.correctTimes(ctx, rows)
	if err != nil {
		return nil, fmt.Errorf("correct times: %w", err)
	}
	tariffs, err := a.s.Tariffs(ctx)
	if err != nil {
		return nil, err
	}
	env := ledger.Env{Tariff: ledger.Tariffs(tariffs).Find, TariffAt: ledger.Tariffs(tariffs).At}
	out := make([]view.Session, len(rows))
	for i := range rows {
		out[i] = view.SessionOf(&rows[i])
		out[i].Clock = notes[i]
		out[i].ShowLimit(env.TariffOf(rows[i].Tariff, rows[i].AuthorizedAt).Currency)
	}
	return out, nil
}

// SumTickets returns the totals of the tickets that a query selects, at most
// maxTotals of them.
func (a Archive) SumTickets(ctx context.Context, q view.Query, p view.Period) ([]view.TicketTotal, error) {
	var c conditions
	c.of(&q)
	c.betweenKnown("ended_at", &q)
	form := map[view.Period]string{view.PeriodDay: "%Y-%m-%d", view.PeriodMonth: "%Y-%m", view.PeriodYear: "%Y"}[p]
	return collect(ctx, a.s, "sum tickets", func(rows *sql.Rows) (t view.TicketTotal, err error) {
		var cost money.Amount
		err = rows.Scan(&t.Period, &t.Currency, &t.Tickets, &t.Energy, &cost.Minor)
		cost.Currency = t.Currency
		t.Cost = cost.Decimal()
		return t, err
	}, "SELECT strftime(?,iif(ended_at>0,coalesce((SELECT u.ended_at FROM unsure_times u WHERE u.session_id=tickets.session_id LIMIT 1),ended_at),settled_at)/1000,'unixepoch') AS period,currency,count(*) FILTER (WHERE corrects=''),sum(energy_wh),sum(cost_minor) "+
		"FROM tickets"+c.String()+" GROUP BY period,currency ORDER BY period DESC,currency LIMIT ?", slices.Concat([]any{form}, c.args, []any{maxTotals})...)
}

// maxTotals bounds a summary: 30 years of days in two currencies.
const maxTotals = 22_000

// Reservations returns a page of reservations.
func (a Archive) Reservations(ctx context.Context, q view.Query) ([]view.Reservation, error) {
	return shownPage(ctx, q, a.s.Reservations, shownReservation)
}

// Reservation returns one reservation of a driver, or with owner "" of any.
func (a Archive) Reservation(ctx context.Context, owner charge.Username, id charge.ReservationID) (*view.Reservation, error) {
	v, err := shown(shownReservation)(a.s.ReservationOf(ctx, owner, id))
	if err != nil || v == nil {
		return nil, err
	}
	v.NotStarted, err = a.s.notStarted(ctx, id)
	return v, err
}

// Commands returns a page of commands.
func (a Archive) Commands(ctx context.Context, q view.Query) ([]view.Command, error) {
	return shownPage(ctx, q, a.s.Commands, shownCommand)
}

// Command returns one command of a driver, or with owner "" of any.
func (a Archive) Command(ctx context.Context, owner charge.Username, id charge.CommandID) (*view.Command, error) {
	return shown(shownCommand)(a.s.CommandOf(ctx, owner, id))
}

// Records returns a page of records.
func (a Archive) Records(ctx context.Context, q view.Query) ([]view.Record, error) {
	return a.s.Records(ctx, q)
}

// Gaps returns a page of gaps.
func (a Archive) Gaps(ctx context.Context, q view.Query) ([]view.Gap, error) {
	return shownPage(ctx, q, a.s.Gaps, shownGap)
}

// Gap returns the gap with a number.
func (a Archive) Gap(ctx context.Context, n int64) (*view.Gap, error) {
	return shown(func(g *ledger.Gap) view.Gap { return view.GapOf(n, g) })(a.s.Gap(ctx, n))
}

// Alarms returns a page of alarms.
func (a Archive) Alarms(ctx context.Context, q view.Query) ([]view.Alarm, error) {
	return shownPage(ctx, q, a.s.Alarms, shownAlarm)
}

// Alarm returns the alarm with a number.
func (a Archive) Alarm(ctx context.Context, n int64) (*view.Alarm, error) {
	return shown(shownAlarm)(a.s.Alarm(ctx, n))
}

// Audit returns a page of the audit log.
func (a Archive) Audit(ctx context.Context, q view.Query) ([]access.Entry, error) {
	return a.s.Entries(ctx, q)
}
