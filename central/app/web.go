package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/internal/web"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// operatorAPI passes operators' requests to the writer. It decides nothing:
// every rule is checked by the writer, on the state at its turn in the queue.
type operatorAPI struct{ w *ingest.Writer }

var _ web.Orders = operatorAPI{}

// submitTimeout bounds how long a request waits until the writer accepts it.
const submitTimeout = 10 * time.Second

// execute executes a request and converts the reply. target is what the request is
// about, for the audit log: an id, and values with the names that the API has for them.
// It has no words, which would be in one language.
func (d operatorAPI) execute(ctx context.Context, target string, op ingest.Op) (web.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	by := ingest.Audited{Actor: web.ActorOf(ctx), Target: target}
	r, err := d.w.ExecuteAs(ctx, by, ingest.IdempotencyKey(web.IdempotencyOf(ctx)), op)
	if errors.Is(err, ingest.ErrUnderWay) {
		return web.Answer{}, web.ErrUnderWay
	}
	if err != nil {
		return web.Answer{}, fmt.Errorf("central: %w", err)
	}
	return web.Answer{
		Accepted: r.Refused == "", Reason: r.Refused, Message: r.Detail, CPID: r.Target.CPID,
		Connector: r.Target.Connector, ReservationID: r.ReservationID, SessionID: r.SessionID, CardID: r.CardID, GroupID: r.GroupID, Commands: r.AllCommands(), Count: r.Points,
	}, nil
}

// place names a connector, a charging point, or with * any or all of them.
func place(cp charge.CPID, n charge.ConnectorID) string {
	switch {
	case cp == "":
		return "*"
	case n == 0:
		return string(cp)
	}
	return fmt.Sprintf("%s/%d", cp, n)
}

// Reserve implements web.Orders.
func (d operatorAPI) Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username) (web.Answer, error) {
	return d.execute(ctx, place(cp, n)+" "+string(username), ingest.Order{Request: orders.OperatorReserve{Target: orders.Target{CPID: cp, Connector: n}, Username: username}})
}

// Cancel implements web.Orders.
func (d operatorAPI) Cancel(ctx context.Context, id charge.ReservationID) (web.Answer, error) {
	return d.execute(ctx, string(id), ingest.Order{Request: orders.OperatorCancel{ReservationID: id}})
}

// Start implements web.Orders.
func (d operatorAPI) Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username, limit charge.SessionLimit) (web.Answer, error) {
	return d.execute(ctx, place(cp, n)+" "+string(username), ingest.Order{Request: orders.OperatorStart{
		Target: orders.Target{CPID: cp, Connector: n}, Username: username, Limit: limit,
	}})
}

// Charge implements web.Orders.
func (d operatorAPI) Charge(ctx context.Context, cp charge.CPID, n charge.ConnectorID, username charge.Username, limit charge.SessionLimit) (web.Answer, error) {
	return d.execute(ctx, place(cp, n)+" "+string(username), ingest.Order{Request: orders.OperatorCharge{
		Target: orders.Target{CPID: cp, Connector: n}, Username: username, Limit: limit,
	}})
}

// Stop implements web.Orders.
func (d operatorAPI) Stop(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.execute(ctx, string(id), ingest.Order{Request: orders.OperatorStop{SessionID: id}})
}

// SetAvailability implements web.Orders.
func (d operatorAPI) SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, available bool) (web.Answer, error) {
	return d.execute(ctx, fmt.Sprintf("%s available=%t", place(cp, n), available), ingest.Order{Request: orders.OperatorAvailability{Target: orders.Target{CPID: cp, Connector: n}, Available: available}})
}

// Simulate implements web.Orders.
func (d operatorAPI) Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, o wire.Simulate) (web.Answer, error) {
	target := place(cp, n) + " action=" + string(o.Action)
	if o.Fault != "" {
		target += " fault=" + string(o.Fault)
	}
	return d.execute(ctx, target, ingest.Order{Request: orders.OperatorSimulate{
		Target: orders.Target{CPID: cp, Connector: n}, Order: o,
	}})
}

// OnSite implements web.Orders.
func (d operatorAPI) OnSite(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action web.SiteAction) (web.Answer, error) {
	var o wire.Order
	switch action {
	case web.ActionReset:
		o = &wire.Reset{}
	case web.ActionUnlock:
		o = &wire.Unlock{}
	case web.ActionIdentify:
		o = &wire.Identify{}
	default:
		return web.Answer{}, fmt.Errorf("action %q is unknown", action)
	}
	return d.execute(ctx, place(cp, n)+" action="+string(action), ingest.Order{Request: orders.OperatorOnSite{
		Target: orders.Target{CPID: cp, Connector: n}, Order: o,
	}})
}

// Admit implements web.Orders.
func (d operatorAPI) Admit(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, string(cp), ingest.Admit{CPID: cp, Admitted: true})
}

// PassNext implements web.Orders.
func (d operatorAPI) PassNext(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, string(cp), ingest.PassNext{CPID: cp})
}

// Release implements web.Orders.
func (d operatorAPI) Release(ctx context.Context, cp charge.CPID) (web.Answer, error) {
	return d.execute(ctx, string(cp), ingest.Release{CPID: cp})
}

// Settle implements web.Orders.
func (d operatorAPI) Settle(ctx context.Context, id charge.SessionID) (web.Answer, error) {
	return d.execute(ctx, string(id), ingest.Settle{SessionID: id})
}

// Explain implements web.Orders.
func (d operatorAPI) Explain(ctx context.Context, gap int64, words string) (web.Answer, error) {
	return d.execute(ctx, fmt.Sprintf("%d: %s", gap, words), ingest.Explain{Gap: gap, Words: words})
}

// SetCP implements web.Orders.
func (d operatorAPI) SetCP(ctx context.Context, c web.CPChange) (web.Answer, error) {
	return d.execute(ctx, string(c.CPID), ingest.SetCP(c))
}

// AddTariff implements web.Orders.
func (d operatorAPI) AddTariff(ctx context.Context, t ledger.Tariff) (web.Answer, error) {
	return d.execute(ctx, string(t.Version), ingest.AddTariff{Tariff: t})
}

// AddCard implements web.Orders.
func (d operatorAPI) AddCard(ctx context.Context, c cards.Card) (web.Answer, error) {
	return d.execute(ctx, c.LastFour+" "+string(c.Username), ingest.Order{Request: orders.OperatorIssueCard{Card: c}})
}

// ChangeCard implements web.Orders.
func (d operatorAPI) ChangeCard(ctx context.Context, id cards.ID, c web.CardChange) (web.Answer, error) {
	what := ""
	switch {
	case c.Delete:
		what = " deleted=true"
	case c.Blocked != nil:
		what = fmt.Sprintf(" blocked=%t", *c.Blocked)
	}
	return d.execute(ctx, string(id)+what, ingest.Order{Request: orders.OperatorChangeCard{
		ID: id, Blocked: c.Blocked, ExpiresAt: c.ExpiresAt, Offline: c.Offline, Label: c.Label,
		LimitEnergy: c.LimitEnergy, LimitAmount: c.LimitAmount, Delete: c.Delete,
	}})
}

// SaveGroup implements web.Orders.
func (d operatorAPI) SaveGroup(ctx context.Context, g orders.Group) (web.Answer, error) {
	return d.execute(ctx, fmt.Sprintf("%s limit_ma=%d cps=%d", g.Name, g.Limit, len(g.CPs)), ingest.Order{Request: orders.OperatorSaveGroup{Group: g}})
}

// DeleteGroup implements web.Orders.
func (d operatorAPI) DeleteGroup(ctx context.Context, id orders.GroupID, version int64) (web.Answer, error) {
	return d.execute(ctx, string(id), ingest.Order{Request: orders.OperatorDeleteGroup{ID: id, Version: version}})
}

// Replay implements web.Orders.
func (d operatorAPI) Replay(ctx context.Context, id int64) (web.Answer, error) {
	return d.execute(ctx, strconv.FormatInt(id, 10), ingest.Replay{DeadLetter: id})
}

// ClearAlarm implements web.Orders.
func (d operatorAPI) ClearAlarm(ctx context.Context, alarm int64, note string) (web.Answer, error) {
	return d.execute(ctx, fmt.Sprintf("%d: %s", alarm, note), ingest.ClearAlarm{Alarm: alarm, Note: note})
}

// Lift implements web.Orders.
func (d operatorAPI) Lift(ctx context.Context) (web.Answer, error) {
	return d.execute(ctx, "", ingest.Lift{})
}

// archive reads the database for lists and single items of the API. It needs
// live only for the alarm that a damaged database cannot hold.
type archive struct {
	store.Archive
	live *ingest.Live
}

var _ web.Archive = archive{}

// Alarms implements web.Archive. The alarm that a damaged database cannot hold
// has the number 0. It comes first, whether or not the others can be read.
func (a archive) Alarms(ctx context.Context, q view.Query) ([]view.Alarm, error) {
	first := q.After == ""
	if q.After == "0" {
		q.After = ""
	}
	out, err := a.Archive.Alarms(ctx, q)
	if own, ok := a.live.Alarm(); ok && first && q.CPID == "" && q.State != view.AlarmCleared {
		return append([]view.Alarm{view.AlarmOf(0, &own)}, out...), nil
	}
	return out, err
}
