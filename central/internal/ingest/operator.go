package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/wire"
)

// ErrStorage says that the database cannot be written at present. Nothing has
// happened then.
var ErrStorage = errors.New("the database cannot be written")

// ErrUnderWay says that a request was taken in and that what became of it is not
// known yet. Asking again with the same key tells.
var ErrUnderWay = errors.New("the request is under way")

// replyTimeout is how long who asks waits for the end of the transaction that takes
// the request in.
const replyTimeout = 20 * time.Second

// Op is what an operator asks of the ledger, beside the Asks of orders.
//
//sumtype:decl
type Op interface{ op() }

// Order asks for what orders can do.
type Order struct{ Ask orders.OperatorRequest }

// Admit lets a charging point take part, or takes that back.
type Admit struct {
	CPID     charge.CPID
	Admitted bool
}

// PassNext makes a hole of the one record that holds up a charging point.
type PassNext struct{ CPID charge.CPID }

// Release ends the quarantine of an identity.
type Release struct{ CPID charge.CPID }

// Settle ends a session up to its last known register: an orphaned one, or one
// of a charging point that is not heard.
type Settle struct{ SessionID charge.SessionID }

// Explain writes an operator's words beside a hole and takes its alarm back.
type Explain struct {
	Gap   int64 // its number
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

// Reply is what became of an Op that was taken in and committed.
type Reply struct {
	orders.Reply
	Commands []charge.CommandID // written for it so far
	Points   int                // charging points concerned
	Detail   string             // of a refusal, in words
}

// operatorIn is an operator's request on its way.
type operatorIn struct {
	op    Op
	once  IdempotencyKey
	reply chan<- replyOrError // capacity 1: whoever answers never waits; nil: nobody listens
}

type replyOrError struct {
	Reply
	err error
}

func (a *operatorIn) refuse(err error) { a.answer(replyOrError{err: err}) }

func (a *operatorIn) answer(r replyOrError) {
	if a.reply != nil {
		a.reply <- r
	}
}

// Execute gives an operator's request to the writer and waits until it is
// committed. With any error but ErrUnderWay nothing has happened. ctx bounds how
// long the request waits to be taken in; then its end is near, and is waited for.
func (w *Writer) Execute(ctx context.Context, once IdempotencyKey, op Op) (Reply, error) {
	reply := make(chan replyOrError, 1)
	select {
	case w.requests <- &operatorIn{op, once, reply}:
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
		return Reply{}, ErrStorage // what was committed was answered
	default:
		return Reply{}, ErrUnderWay
	}
}

// apply implements input. The answer leaves after the commit.
func (a *operatorIn) apply(u *unit) {
	crashpoint.At(crashpoint.Requested)
	r, known := u.replyByKey(a.once)
	if !known {
		r = u.execute(a.op)
		u.saveReply(a.once, r)
	}
	u.sendReplies = append(u.sendReplies, func() { a.answer(replyOrError{Reply: r}) })
}

// execute performs what an operator asks.
func (u *unit) execute(op Op) Reply {
	before, points := len(u.effects), len(u.touched)
	r, no := Reply{}, u.refusedByFence(op)
	if no == nil {
		r, no = u.dispatch(op)
	}
	if no != nil {
		r.Refused, r.Detail = no.reason, no.detail
	}
	if r.Points == 0 {
		r.Points = len(u.touched) - points
	}
	for _, e := range u.effects[before:] {
		if c, ok := e.(orders.SaveCommand); ok {
			r.Commands = append(r.Commands, c.Command.ID)
		}
	}
	return r
}

func (u *unit) dispatch(op Op) (r Reply, no *refusal) {
	switch op := op.(type) {
	case Order:
		r.Reply = u.order(op.Ask)
		r.Points = u.pointsConcerned(op.Ask)
	case Lift:
		r.Reply = u.order(orders.OperatorLiftFence{})
	case Admit:
		no = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Admit(cp, op.Admitted), nil })
		if no == nil {
			r.Reply = u.order(orders.OperatorAdmitted{CPID: op.CPID, Admitted: op.Admitted})
			r.Target = orders.Target{CPID: op.CPID}
		}
	case PassNext:
		no = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.SkipNext(cp, &u.env) })
	case Release:
		no = u.applyTo(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Release(cp), nil })
	case Settle:
		r.Reply, no = u.settle(op.SessionID)
	case Explain:
		no = u.explain(op.Gap, op.Words)
	}
	return r, no
}

// refusal is an answer of the ledger: a stable word, and why.
type refusal struct{ reason, detail string }

// Why an operator is refused, beside the words of orders.
const (
	refusedSession = "unknown_session"
	refusedGap     = "unknown_hole"
	refusedState   = "not_possible" // it is not in a state in which this can be done
	// A running session is settled only when its charging point is known to be
	// silent.
	refusedOnline = "cp_heard"
	refusedStale  = "cp_unknown"
)

// settle ends a session without its charging point, and what is wanted of its
// connector.
func (u *unit) settle(id charge.SessionID) (orders.Reply, *refusal) {
	s, ok := u.Session(id)
	if !ok {
		return orders.Reply{}, &refusal{refusedSession, "no session " + string(id)}
	}
	silent, no := u.silent(&s)
	if no != nil {
		return orders.Reply{}, no
	}
	no = u.applyTo(s.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Settle(cp, &u.env, id, silent) })
	if no != nil {
		return orders.Reply{}, no
	}
	return u.order(orders.OperatorSettled{Target: orders.Target{CPID: s.CPID, Connector: s.Connector}, SessionID: id}), nil
}

// silent reports whether the charging point of an open session is silent: not
// heard, or quarantined, so that what it says is not applied.
func (u *unit) silent(s *ledger.Session) (bool, *refusal) {
	if cp := u.w.cps[s.CPID]; s.State != ledger.SessionOpen || cp == nil || cp.Forked() {
		return true, nil
	}
	switch link, since := u.w.live.liveness(s.CPID, u.now); link {
	case ledger.Online:
		return false, &refusal{refusedOnline, "session " + string(s.ID) + " is running and its charging point is heard; stop it instead"}
	case ledger.Unknown:
		return false, &refusal{refusedStale, "whether the charging point is there has not been known since " + since.String() +
			", because the way to all of them is down; settle the session when that works again"}
	case ledger.Offline:
	}
	return true, nil
}

func (u *unit) explain(gap int64, words string) *refusal {
	h, ok := lookUp(u, func() (ledger.Gap, bool, error) { return u.w.store.Gap(u.ctx, gap) })
	if !ok {
		return &refusal{refusedGap, fmt.Sprintf("no hole %d", gap)}
	}
	return u.applyTo(h.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.ExplainGap(cp, h.ID, words) })
}

// refusedByFence refuses what a Central may not do that only watches; orders judges by
// itself what it is asked.
func (u *unit) refusedByFence(op Op) *refusal {
	switch op.(type) {
	case Order, Lift:
		return nil
	case Admit, PassNext, Release, Settle, Explain:
	}
	if u.w.orders.FencedBy().IsZero() {
		return nil
	}
	return &refusal{orders.RefusedFenced, "another Central took over; this one only watches"}
}

func (u *unit) applyTo(id charge.CPID, fn func(*ledger.CP) ([]ledger.Change, error)) *refusal {
	cp := u.w.cps[id]
	if cp == nil {
		return &refusal{wire.RefusedUnknownCP, "no such charging point"}
	}
	u.touched[id] = struct{}{}
	u.cp = id
	changes, err := fn(cp)
	if err != nil {
		return &refusal{refusedState, err.Error()}
	}
	u.addChanges(changes)
	u.stepOrders(orders.PresenceReceived{Now: u.moment(), CPID: id, Changes: changes})
	return nil
}

// order gives an Ask to orders, which answers with exactly one Reply.
func (u *unit) order(a orders.OperatorRequest) (r orders.Reply) {
	u.operatorReply = &r
	u.stepOrders(orders.OperatorRequestReceived{Now: u.moment(), Request: a})
	u.operatorReply = nil
	return r
}

// pointsConcerned is how many charging points a wish of availability is about.
func (u *unit) pointsConcerned(a orders.OperatorRequest) int {
	if av, ok := a.(orders.OperatorAvailability); ok && av.CPID == "" {
		return len(u.w.cps)
	}
	return 0
}
