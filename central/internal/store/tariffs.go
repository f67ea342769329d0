package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
)

// Tariffs returns all versions of the prices.
func (a Archive) Tariffs(ctx context.Context) (view.TariffList, error) {
	all, err := a.s.Tariffs(ctx)
	return view.TariffsAt(all, charge.At(time.Now())), err
}

// Tickets returns a page of tickets with their lines.
func (a Archive) Tickets(ctx context.Context, q view.Query) ([]view.Ticket, error) {
	rows, err := a.s.Tickets(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.priced(ctx, rows)
}

// Ticket returns one ticket of a driver, or with owner "" of any, with its lines.
func (a Archive) Ticket(ctx context.Context, owner charge.Username, id string) (*view.Ticket, error) {
	t, ok, err := a.s.TicketOf(ctx, owner, id)
	if err != nil || !ok {
		return nil, err
	}
	priced, err := a.priced(ctx, []ledger.Ticket{t})
	if err != nil {
		return nil, err
	}
	return &priced[0], nil
}

// priced shows tickets with their lines. Those of a correction need the ticket that it
// corrects.
func (a Archive) priced(ctx context.Context, rows []ledger.Ticket) ([]view.Ticket, error) {
	tariffs, err := a.s.Tariffs(ctx)
	if err != nil {
		return nil, err
	}
	times, err := a.s.unsureSessions(ctx, rows)
	if err != nil {
		return nil, err
	}
	out := make([]view.Ticket, 0, len(rows))
	for i := range rows {
		t := &rows[i]
		tariff, _ := ledger.Tariffs(tariffs).Find(t.Tariff)
		var settled *ledger.Ticket
		if t.Corrects != "" {
			got, ok, err := a.s.Ticket(ctx, t.Corrects)
			if err != nil {
				return nil, err
			}
			if ok {
				settled = &got
			}
		}
		v := view.PricedTicketOf(t, tariff, settled)
		if at := times[t.SessionID]; at.note != ledger.ClockFine {
			if v.Clock = at.note; t.EndedAt != 0 {
				v.StoppedAt = at.endedAt
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// maxPreview bounds the sessions of a preview.
const maxPreview = 1000

// PreviewTariff prices the latest sessions that ended from q.From to q.To, at most
// maxPreview, by other prices. Only sessions in the currency of the tariff count.
func (a Archive) PreviewTariff(ctx context.Context, q view.Query, t ledger.Tariff) (view.TariffPreview, error) {
	if q.From == 0 {
		q.From = 1 // those that have not ended have no place in the order
	}
	var c conditions
	c.add("corrects='' AND currency=?", string(t.Currency))
	c.betweenKnown("ended_at", &q)
	past, err := collect(ctx, a.s, "read past sessions", func(r *sql.Rows) (p view.PastSession, err error) {
		p.Session, err = scanSession(withCost{r, &p.Cost})
		return p, err
	}, "SELECT "+sessionCols+",(SELECT sum(cost_minor) FROM tickets WHERE tickets.session_id=sessions.session_id) FROM sessions "+
		"WHERE state='ended' AND session_id IN (SELECT session_id FROM tickets"+c.String()+
		" ORDER BY ended_at DESC LIMIT ?) ORDER BY ended_at DESC", append(c.args, maxPreview+1)...)
	if err != nil {
		return view.TariffPreview{}, err
	}
	more := len(past) > maxPreview
	out := view.PreviewOf(past[:min(len(past), maxPreview)], t)
	out.More = more
	return out, nil
}

// withCost scans one more column than its caller asks for.
type withCost struct {
	scanner
	cost any
}

// Scan implements scanner.
func (w withCost) Scan(dest ...any) error { return w.scanner.Scan(append(dest, w.cost)...) }
