package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/wire"
)

// ErrStorage is returned while the database cannot be written. Then the request
// has no effect, now or later.
var ErrStorage = errors.New("the database cannot be written")

// ErrUnderWay is returned if the outcome of an accepted request is not known in
// time. The caller learns it by repeating the request with the same key.
var ErrUnderWay = errors.New("the request is under way")

// replyTimeout is how long Execute waits for the transaction of a request after
// the writer has accepted it.
const replyTimeout = 20 * time.Second

// Op is a request of an operator.
//
//sumtype:decl
type Op interface{ op() }

// Order is a request that package orders executes.
type Order struct{ Request orders.OperatorRequest }

// Admit lets a charging point take part in the network, or revokes that.
type Admit struct {
	CPID     charge.CPID
	Admitted bool
}

// PassNext records a gap for the one record that blocks the journal of a
// charging point.
type PassNext struct{ CPID charge.CPID }

// Release ends the quarantine of an identity.
type Release struct{ CPID charge.CPID }

// Settle ends a session up to its last known register: an orphaned session, or
// one of a charging point that is not online.
type Settle struct{ SessionID charge.SessionID }

// Explain adds an operator's words to a gap and clears its alarm.
type Explain struct {
	Gap   int64 // number of the gap
	Words string
}

// Lift ends the fencing of this Central.
type Lift struct{}

func (Order) op()    {}
func (Admit) op()    {}
func (PassNext) op() {}
func (Release) op()  {}
func (Settle) op()   {}
func (Explain) op()  {}
func (Lift) op()     {}

// Reply is the outcome of an Op that was executed and committed. It is stored
// as JSON; see savedReply.
type Reply struct {
	orders.Reply
	Commands []charge.CommandID // commands written for it so far
	Points   int                // how many charging points it is about
	Detail   string             // the reason of a refusal, in words
}

// AllCommands returns the commands of the reply; that of a reservation has only one.
func (r *Reply) AllCommands() []charge.CommandID {
	if len(r.Commands) == 0 && r.CommandID != "" {
		return []charge.CommandID{r.CommandID}
	}
	return r.Commands
}

// Audited is the origin of a request, for the audit log. The zero value writes no
// entry.
type Audited struct {
	access.Actor
	Target string // what the request is about
}

// maxAuditedCommands is how many commands an entry of the audit log names: one for
// each connector of the network would be too many.
const maxAuditedCommands = 100

// operatorIn is an operator's request, on its way through the writer.
type operatorIn struct {
	op  Op
	key IdempotencyKey
	by  Audited
	// reply has a capacity of 1, so that the writer never blocks on a caller
	// that has left; nil if the request is Central's own.
	reply chan<- replyOrError
}

// replyOrError is what Execute returns.
type replyOrError struct {
	Reply
	err error
}

func (a *operatorIn) refuse(err error) { a.answer(replyOrError{err: err}) }

// answer sends the reply. It is called once for each request, so it never
// blocks.
func (a *operatorIn) answer(r replyOrError) {
	if a.reply != nil {
		a.reply <- r
	}
}

// Execute passes an operator's request to the writer and waits until it is
// committed. With any error except ErrUnderWay the request has no effect. ctx
// bounds only the wait until the writer accepts the request: after that the
// request will be committed soon, so Execute waits for the outcome even if ctx
// ends.
func (w *Writer) Execute(ctx context.Context, key IdempotencyKey, op Op) (Reply, error) {
	return w.ExecuteAs(ctx, Audited{}, key, op)
}

// ExecuteAs is Execute with an entry in the audit log, which is part of the
// transaction of the effect. A repeated request has no effect and no entry.
func (w *Writer) ExecuteAs(ctx context.Context, by Audited, key IdempotencyKey, op Op) (Reply, error) {
	reply := make(chan replyOrError, 1)
	select {
	case w.requests <- &operatorIn{op, key, by, reply}:
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	limit := time.NewTimer(replyTimeout)
	defer limit.Stop()
	select {
	case r := <-reply:
		return r.Reply, r.err
	case <-w.stopped:
	case <-limit.C:
	}
	select {
	case r := <-reply:
		return r.Reply, r.err
	case <-w.stopped:
		return Reply{}, ErrStorage // Run has returned, and had replied to everything committed
	default:
		return Reply{}, ErrUnderWay
	}
}

// apply implements input. The reply is sent after the commit.
func (a *operatorIn) apply(u *unit) {
	crashpoint.At(crashpoint.Requested)
	r, known := u.replyByKey(a.key)
	if !known {
		r = u.execute(a.op)
		u.saveReply(a.key, r)
		u.audit(&a.by, &r)
	}
	u.sendReplies = append(u.sendReplies, func() { a.answer(replyOrError{Reply: r}) })
}

// audit adds an entry about a request that was executed or refused.
func (u *unit) audit(by *Audited, r *Reply) {
	if by.Operation == "" {
		return
	}
	e := by.Entry(u.now, by.Target, cmp.Or(r.Refused, access.Done))
	e.Commands = r.AllCommands()
	e.Commands = e.Commands[:min(len(e.Commands), maxAuditedCommands)]
	u.entries = append(u.entries, e)
}

// execute executes a request and returns its reply.
func (u *unit) execute(op Op) Reply {
	before, points := len(u.effects), len(u.changed)
	r, refused := Reply{}, u.refusedByFence(op)
	if refused == nil {
		r, refused = u.dispatch(op)
	}
	if refused != nil {
		r.Refused, r.Detail = refused.reason, refused.detail
	}
	if r.Points == 0 {
		r.Points = len(u.changed) - points
	}
	for _, e := range u.effects[before:] {
		if c, ok := e.(orders.SaveCommand); ok {
			r.Commands = append(r.Commands, c.Command.ID)
		}
	}
	return r
}

// dispatch executes a request by the package that owns the state concerned.
func (u *unit) dispatch(op Op) (r Reply, refused *refusal) {
	switch op := op.(type) {
	case Order:
		r.Reply = u.order(op.Request)
		r.Points, r.Detail = u.pointsConcerned(op.Request), r.Reply.Detail
	case Lift:
		if u.w.orders.FencedBy().IsZero() && !u.w.live.fenced() {
			return r, &refusal{refusedState, "this Central is not fenced"}
		}
		r.Reply = u.order(orders.OperatorLiftFence{})
	case Admit:
		refused = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Admit(cp, op.Admitted), nil })
		if refused == nil {
			r.Reply = u.order(orders.OperatorAdmitted{CPID: op.CPID, Admitted: op.Admitted})
			r.Target = orders.Target{CPID: op.CPID}
		}
	case PassNext:
		refused = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.PassNext(cp, &u.env) })
	case Release:
		refused = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) {
			if !cp.Forked() {
				return nil, errNotForked
			}
			return ledger.Release(cp), nil
		})
	case Settle:
		r.Reply, refused = u.settle(op.SessionID)
	case Explain:
		refused = u.explain(op.Gap, op.Words)
	case SetCP:
		refused = u.setCP(op)
	case AddTariff:
		refused = u.addTariff(op.Tariff)
	case Replay:
		refused = u.replay(op.DeadLetter)
	case ClearAlarm:
		refused = u.clearAlarm(op.Alarm, op.Note)
	}
	return r, refused
}

var errNotForked = errors.New("the charging point is not in quarantine")

// refusal is a request that the ledger refuses: a stable code, and the reason
// in words.
type refusal struct{ reason, detail string }

// Codes of refusals, beside those of package orders. They are part of the API.
const (
	refusedSession = "unknown_session"
	refusedGap     = "unknown_gap"
	refusedAlarm   = "unknown_alarm"
	refusedCleared = "alarm_cleared"
	refusedLasts   = "alarm_lasts"
	refusedState   = "not_possible" // the state of the charging point, session or gap does not allow it
	// A running session is settled only if its charging point is known to be
	// silent.
	refusedOnline = "cp_online"
	refusedStale  = "cp_unknown"
)

// settle ends a session without its charging point, and the desired state of
// its connector with it.
func (u *unit) settle(id charge.SessionID) (orders.Reply, *refusal) {
	s, ok := u.Session(id)
	if !ok {
		return orders.Reply{}, &refusal{refusedSession, "no session " + string(id)}
	}
	if !u.w.caughtUp {
		return orders.Reply{}, &refusal{refusedStale, "what Central published before it started is not read from Kafka yet, and session " + string(id) + " may have its ticket there; settle it when that is read"}
	}
	silent, refused := u.silent(&s)
	if refused != nil {
		return orders.Reply{}, refused
	}
	refused = u.applyTo(s.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Settle(cp, &u.env, id, silent) })
	if refused != nil {
		return orders.Reply{}, refused
	}
	return u.order(orders.OperatorSettled{Target: orders.Target{CPID: s.CPID, Connector: s.Connector}, SessionID: id}), nil
}

// silent reports whether the charging point of an open session cannot end it:
// it is offline, or quarantined, so that its records are not applied.
func (u *unit) silent(s *ledger.Session) (bool, *refusal) {
	if cp := u.w.cps[s.CPID]; s.State != ledger.SessionOpen || cp == nil || cp.Forked() {
		return true, nil
	}
	switch link, since := u.w.live.liveness(s.CPID, u.now); link {
	case ledger.Online:
		return false, &refusal{refusedOnline, "session " + string(s.ID) + " is running and its charging point is online; stop it instead"}
	case ledger.Unknown:
		return false, &refusal{refusedStale, "whether the charging point is there has not been known since " + since.String() +
			", because the connection to all of them is down; settle the session when it is up again"}
	case ledger.Offline:
	}
	return true, nil
}

func (u *unit) explain(gap int64, words string) *refusal {
	h, ok := lookUp(u, func() (ledger.Gap, bool, error) { return u.w.store.Gap(u.ctx, gap) })
	if !ok {
		return &refusal{refusedGap, fmt.Sprintf("no gap %d", gap)}
	}
	return u.applyTo(h.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.ExplainGap(cp, h.ID, words) })
}

// refusedByFence refuses requests that change the ledger while this Central is
// fenced. Package orders refuses its own.
func (u *unit) refusedByFence(op Op) *refusal {
	switch op.(type) {
	case Order, Lift:
		return nil
	case Admit, PassNext, Release, Settle, Explain, Replay, SetCP, ClearAlarm, AddTariff:
	}
	if u.w.orders.FencedBy().IsZero() {
		return nil
	}
	return &refusal{orders.RefusedFenced, "another Central took over; this one only watches"}
}

// applyTo changes a charging point by fn, and notifies orders of the changes.
func (u *unit) applyTo(id charge.CPID, fn func(*ledger.CP) ([]ledger.Change, error)) *refusal {
	cp := u.w.cps[id]
	if cp == nil {
		return &refusal{wire.RefusedUnknownCP, "no such charging point"}
	}
	u.changed[id] = struct{}{}
	u.cp = id
	changes, err := fn(cp)
	if errors.Is(err, ledger.ErrLogUnread) {
		u.w.logReads.request(id)
	}
	if err != nil {
		return &refusal{refusedState, err.Error()}
	}
	u.addChanges(changes)
	u.stepOrders(orders.PresenceReceived{Now: u.moment(), CPID: id, Changes: changes})
	return nil
}

// order passes a request to package orders, which returns exactly one Reply.
func (u *unit) order(a orders.OperatorRequest) (r orders.Reply) {
	u.operatorReply = &r
	u.stepOrders(orders.OperatorRequestReceived{Now: u.moment(), Request: a})
	u.operatorReply = nil
	return r
}

// pointsConcerned returns how many charging points a request for availability
// is about; 0 if the changed charging points are to be counted.
func (u *unit) pointsConcerned(a orders.OperatorRequest) int {
	if av, ok := a.(orders.OperatorAvailability); ok && av.CPID == "" {
		return len(u.w.cps)
	}
	return 0
}
