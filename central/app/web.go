package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// live adapts ingest's view of the network to the page. demo shows the buttons
// that cut parts.
type live struct {
	*ingest.Live
	demo bool
}

var _ web.Live = live{}

// Network implements web.Live.
func (l live) Network() web.Network {
	n := l.Live.Network()
	b := &n.Books
	out := web.Network{
		At: n.At, Central: n.Central.String(), Demo: l.demo,
		Books: web.Books{
			Announced: b.Announced, Applied: b.Applied, Unacked: b.Unacked, Duplicates: b.Duplicates, OutOfOrder: b.OutOfOrder,
			DeadLetters: b.DeadLetters, Lost: b.Lost, Twice: b.Twice, Alarms: b.Alarms, Billed: b.Billed, Running: b.Running, Unaccounted: b.Unaccounted,
		},
		Bridges: make([]web.Part, 0, len(n.Bridges)), CPs: make([]web.CP, 0, len(n.CPs)),
	}
	for _, p := range n.Parts {
		out.Parts = append(out.Parts, web.Part(p))
	}
	for _, p := range n.Bridges {
		out.Bridges = append(out.Bridges, web.Part(p))
	}
	for i := range n.CPs {
		p := &n.CPs[i]
		cp := web.CP{
			ID: p.ID, Name: p.Name, Place: p.Place, Admitted: p.Admitted, Simulated: p.Simulated, Link: string(p.Link),
			LinkSince: p.LinkSince, LastSeenAt: p.SeenAt, Unacked: p.Unacked, Alarm: p.Alarm, Agent: p.Agent,
			Connectors: make([]web.Connector, 0, len(p.Connectors)),
		}
		for _, k := range p.Connectors {
			cp.Connectors = append(cp.Connectors, connectorShown(&k))
		}
		out.CPs = append(out.CPs, cp)
	}
	return out
}

// connectorShown converts a connector. Only a connector with a session has a
// cost.
func connectorShown(k *ingest.Connector) web.Connector {
	out := web.Connector{
		Connector: k.Connector, Status: k.Status, Available: k.Available, SessionID: k.SessionID, Username: k.Username,
		ReservationID: k.ReservationID, ReservedUntil: k.ReservedUntil, WaitsFor: string(k.Waits.For), WaitsSince: k.Waits.Since, Faults: k.Faults, Rated: k.Rated, Power: k.Power,
		Register: k.Register, Energy: k.Energy, ValuesAt: k.ValuesAt,
	}
	if k.SessionID != "" {
		out.Cost, out.Currency = k.Cost.Decimal(), string(k.Cost.Currency)
	}
	return out
}

// Facts implements web.Live.
func (l live) Facts(n uint64) ([]web.Fact, uint64) {
	facts, last := l.Live.Facts(n)
	out := make([]web.Fact, 0, len(facts))
	for _, f := range facts {
		out = append(out, web.Fact(f))
	}
	return out, last
}

// operatorAPI passes operators' requests to the writer. It decides nothing:
// every rule is checked by the writer, on the state at its turn in the queue.
type operatorAPI struct{ w *ingest.Writer }

var _ web.Orders = operatorAPI{}

// submitTimeout bounds how long a request waits until the writer accepts it.
const submitTimeout = 10 * time.Second

// execute executes a request and converts the reply.
func (d operatorAPI) execute(ctx context.Context, op ingest.Op) (web.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	r, err := d.w.Execute(ctx, ingest.IdempotencyKey(web.IdempotencyOf(ctx)), op)
	if errors.Is(err, ingest.ErrUnderWay) {
		return web.Answer{}, web.ErrUnderWay
	}
	if err != nil {
		return web.Answer{}, fmt.Errorf("central: %w", err)
	}
	return web.Answer{
		Accepted: r.Refused == "", Reason: r.Refused, Message: r.Detail, CPID: r.Target.CPID,
		Connector: r.Target.Connector, ReservationID: r.ReservationID, SessionID: r.SessionID, Commands: commandsOf(&r), Count: r.Points,
	}, nil
}

// commandsOf returns the commands of a reply; a reservation's reply has only
// one.
func commandsOf(r *ingest.Reply) []charge.CommandID {
	if len(r.Commands) == 0 && r.CommandID != "" {
		return []charge.CommandID{r.CommandID}
	}
	return r.Commands
}

// Reserve implements web.Orders.
func (d operatorAPI) Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorReserve{Target: orders.Target{CPID: cp, Connector: n}, Username: username}})
}

// Cancel implements web.Orders.
func (d operatorAPI) Cancel(ctx context.Context, id charge.ReservationID) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorCancel{ReservationID: id}})
}

// Start implements web.Orders.
func (d operatorAPI) Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorStart{Target: orders.Target{CPID: cp, Connector: n}, Username: username}})
}

// Stop implements web.Orders.
func (d operatorAPI) Stop(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorStop{SessionID: id}})
}

// SetAvailability implements web.Orders.
func (d operatorAPI) SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, available bool) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorAvailability{Target: orders.Target{CPID: cp, Connector: n}, Available: available}})
}

// Simulate implements web.Orders.
func (d operatorAPI) Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action string, f charge.Fault) (web.Answer, error) {
	return d.execute(ctx, ingest.Order{Request: orders.OperatorSimulate{
		Target: orders.Target{CPID: cp, Connector: n}, Action: wire.SimulateAction(action), Fault: f,
	}})
}

// Admit implements web.Orders.
func (d operatorAPI) Admit(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, ingest.Admit{CPID: cp, Admitted: true})
}

// PassNext implements web.Orders.
func (d operatorAPI) PassNext(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, ingest.PassNext{CPID: cp})
}

// Release implements web.Orders.
func (d operatorAPI) Release(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, ingest.Release{CPID: cp})
}

// Settle implements web.Orders.
func (d operatorAPI) Settle(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.execute(ctx, ingest.Settle{SessionID: id})
}

// Explain implements web.Orders.
func (d operatorAPI) Explain(ctx context.Context, gap int64, words string) (web.Answer, error) {
	return d.execute(ctx, ingest.Explain{Gap: gap, Words: words})
}

// Lift implements web.Orders.
func (d operatorAPI) Lift(ctx context.Context) (web.Answer, error) {
	return d.execute(ctx, ingest.Lift{})
}

// archive reads the database for lists and single items of the API. It needs
// live only for the alarm that a damaged database cannot hold.
type archive struct {
	s    *store.Store
	live *ingest.Live
}

var _ web.Archive = archive{}

// query converts a query. Its time is fixed here, so that all rows of one page
// are compared with the same time.
func query(q web.Query) store.Query {
	return store.Query{
		CPID: q.CPID, Username: q.Username, State: q.State, From: q.From, To: q.To, After: q.After, Limit: q.Limit, Now: charge.At(time.Now()),
	}
}

// convertAll converts a list of rows. store.ErrGone means that the row behind
// which the page begins was deleted meanwhile.
func convertAll[A, B any](all []A, err error, to func(*A) B) ([]B, error) {
	if errors.Is(err, store.ErrGone) {
		return nil, web.ErrGone
	}
	if err != nil {
		return nil, err
	}
	out := make([]B, 0, len(all))
	for i := range all {
		out = append(out, to(&all[i]))
	}
	return out, nil
}

// convertOne converts one row; nil if it was not found.
func convertOne[A, B any](v A, ok bool, err error, to func(*A) B) (*B, error) {
	if err != nil || !ok {
		return nil, err
	}
	return new(to(&v)), nil
}

// Sessions implements web.Archive.
func (a archive) Sessions(ctx context.Context, q web.Query) ([]web.Session, error) {
	if q.State == stateClosed {
		q.State = string(ledger.SessionEnded)
	}
	all, err := a.s.Sessions(ctx, query(q))
	return convertAll(all, err, session)
}

// Session implements web.Archive.
func (a archive) Session(ctx context.Context, id charge.SessionID) (*web.Session, error) {
	v, ok, err := a.s.Session(ctx, id)
	return convertOne(v, ok, err, session)
}

// stateClosed is the API's word for a session that has ended.
const stateClosed = "closed"

// session converts a session. The API calls a session that has ended "closed".
func session(v *ledger.Session) web.Session {
	state := string(v.State)
	if v.State == ledger.SessionEnded {
		state = stateClosed
	}
	return web.Session{
		ID: v.ID, CPID: v.CPID, Connector: v.Connector, Username: v.Username, ReservationID: v.ReservationID, State: state,
		Reason: v.Reason, Start: v.Start, Last: v.Register, AuthorizedAt: v.AuthorizedAt, StartedAt: v.StartedAt, StoppedAt: v.EndedAt,
		Settled: v.Settled,
	}
}

// Tickets implements web.Archive.
func (a archive) Tickets(ctx context.Context, q web.Query) ([]web.Ticket, error) {
	all, err := a.s.Tickets(ctx, query(q))
	return convertAll(all, err, ticket)
}

// Ticket implements web.Archive.
func (a archive) Ticket(ctx context.Context, id string) (*web.Ticket, error) {
	t, ok, err := a.s.Ticket(ctx, id)
	return convertOne(t, ok, err, ticket)
}

// ticket converts a ticket. A settled ticket ends when the operator settled it,
// if its charging point never reported the end.
func ticket(t *ledger.Ticket) web.Ticket {
	return web.Ticket{
		ID: t.ID, SessionID: t.SessionID, CPID: t.CPID, Connector: t.Connector, Username: t.Username, Energy: t.Energy,
		Cost: t.Cost.Decimal(), Currency: string(t.Cost.Currency), DurationSec: t.DurationSec, Reason: t.Reason, Tariff: t.Tariff,
		StoppedAt: cmp.Or(t.EndedAt, t.SettledAt), Settled: t.SettledAt != 0, Corrects: t.Corrects,
	}
}

// Reservations implements web.Archive.
func (a archive) Reservations(ctx context.Context, q web.Query) ([]web.Reservation, error) {
	sq := query(q)
	all, err := a.s.Reservations(ctx, sq)
	return convertAll(all, err, func(r *orders.Reservation) web.Reservation { return reservation(r, sq.Now) })
}

// Reservation implements web.Archive.
func (a archive) Reservation(ctx context.Context, id charge.ReservationID) (*web.Reservation, error) {
	r, ok, err := a.s.Reservation(ctx, id)
	return convertOne(r, ok, err, func(r *orders.Reservation) web.Reservation { return reservation(r, charge.At(time.Now())) })
}

// reservation converts a reservation; now decides whether it has expired.
func reservation(r *orders.Reservation, now charge.Time) web.Reservation {
	return web.Reservation{
		ID: r.ID, CPID: r.CPID, Connector: r.Connector, Username: r.Username, State: store.ReservationState(r, now),
		Reason: r.Reason, MadeAt: r.MadeAt, ExpiresAt: r.Until,
	}
}

// command converts a command with the times of its life.
func command(l *store.CommandLife) web.Command {
	return web.Command{
		ID: l.ID, CPID: l.CPID, Connector: l.Connector, Type: string(l.Type), State: string(l.State), Reason: l.Reason,
		WrittenAt: l.IssuedAt, SentAt: l.SentAt, AcceptedAt: l.AcceptedAt, EndedAt: l.EndedAt, ExpiresAt: l.ExpiresAt,
	}
}

// Commands implements web.Archive.
func (a archive) Commands(ctx context.Context, q web.Query) ([]web.Command, error) {
	all, err := a.s.Commands(ctx, query(q))
	return convertAll(all, err, command)
}

// Command implements web.Archive.
func (a archive) Command(ctx context.Context, id charge.CommandID) (*web.Command, error) {
	l, ok, err := a.s.Command(ctx, id)
	return convertOne(l, ok, err, command)
}

// Records implements web.Archive.
func (a archive) Records(ctx context.Context, q web.Query) ([]web.Record, error) {
	all, err := a.s.Records(ctx, query(q))
	return convertAll(all, err, func(r *store.RecordRow) web.Record {
		out := web.Record{
			CPID: r.CPID, Journal: r.Journal, Seq: r.Seq, ReceivedAt: r.ReceivedAt, Body: string(r.Raw),
			Cursor: store.RecordKey(r.CPID, r.Journal, r.Seq),
		}
		var head struct {
			Type string      `json:"type"`
			At   charge.Time `json:"at"`
		}
		if json.Unmarshal(r.Raw, &head) == nil { // it was valid when it was applied
			out.Type, out.At = head.Type, head.At
		}
		return out
	})
}

// Gaps implements web.Archive.
func (a archive) Gaps(ctx context.Context, q web.Query) ([]web.Gap, error) {
	all, err := a.s.Gaps(ctx, query(q))
	return convertAll(all, err, gap)
}

// Gap implements web.Archive.
func (a archive) Gap(ctx context.Context, id int64) (*web.Gap, error) {
	h, ok, err := a.s.Gap(ctx, id)
	return convertOne(store.GapRow{N: id, Gap: h}, ok, err, gap)
}

// gap converts a gap. It is filled when nothing is missing in it any more,
// because records came after all.
func gap(h *store.GapRow) web.Gap {
	missing := make([]web.Range, 0, len(h.Missing))
	for _, r := range h.Missing {
		missing = append(missing, web.Range(r))
	}
	return web.Gap{
		ID: h.N, CPID: h.CPID, Journal: h.Journal, First: h.First, Last: h.Last, Cause: string(h.Cause), Detail: h.Detail, Missing: missing,
		Unaccounted: h.Energy, At: h.DetectedAt, Filled: len(h.Missing) == 0,
	}
}

// Alarms implements web.Archive. The alarm that a damaged database cannot hold
// has the number 0. It comes first, whether or not the others can be read.
func (a archive) Alarms(ctx context.Context, q web.Query) ([]web.Alarm, error) {
	first := q.After == ""
	if q.After == "0" {
		q.After = ""
	}
	all, err := a.s.Alarms(ctx, query(q))
	out, err := convertAll(all, err, alarm)
	if own, ok := a.live.Alarm(); ok && first && q.CPID == "" && q.State != store.AlarmCleared {
		return append([]web.Alarm{{Kind: string(own.Kind), Text: own.Detail, At: own.At, State: store.AlarmOpen}}, out...), nil
	}
	return out, err
}

// Alarm implements web.Archive.
func (a archive) Alarm(ctx context.Context, id int64) (*web.Alarm, error) {
	v, ok, err := a.s.Alarm(ctx, id)
	return convertOne(v, ok, err, alarm)
}

// alarm converts an alarm.
func alarm(v *store.AlarmRow) web.Alarm {
	state := store.AlarmOpen
	if v.Cleared {
		state = store.AlarmCleared
	}
	return web.Alarm{ID: v.N, CPID: v.CPID, Kind: string(v.Kind), Text: v.Detail, At: v.At, State: state}
}
