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

// underWay is how long who asks waits for the end of the transaction that takes
// the request in.
const underWay = 20 * time.Second

// Op is what an operator asks of the ledger, beside the Asks of orders.
//
//sumtype:decl
type Op interface{ op() }

// Ask asks for what orders can do.
type Ask struct{ Ask orders.Ask }

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
	Hole  int64 // its number
	Words string
}

// Lift ends the fencing of this Central.
type Lift struct{}

func (Ask) op()      {}
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

// asked is an operator's request on its way.
type asked struct {
	op    Op
	once  Once
	reply chan<- replied // capacity 1: whoever answers never waits; nil: nobody listens
}

type replied struct {
	Reply
	err error
}

func (a *asked) refuse(err error) { a.answer(replied{err: err}) }

func (a *asked) answer(r replied) {
	if a.reply != nil {
		a.reply <- r
	}
}

// Ask gives an operator's request to the writer and waits until it is
// committed. With any error but ErrUnderWay nothing has happened. ctx bounds how
// long the request waits to be taken in; then its end is near, and is waited for.
func (w *Writer) Ask(ctx context.Context, once Once, op Op) (Reply, error) {
	reply := make(chan replied, 1)
	select {
	case w.asks <- &asked{op, once, reply}:
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	limit := time.NewTimer(underWay)
	defer limit.Stop()
	select {
	case r := <-reply:
		return r.Reply, r.err
	case <-w.ended:
	case <-limit.C:
	}
	select {
	case r := <-reply:
		return r.Reply, r.err
	case <-w.ended:
		return Reply{}, ErrStorage // what was committed was answered
	default:
		return Reply{}, ErrUnderWay
	}
}

// apply implements input. The answer leaves after the commit.
func (a *asked) apply(u *unit) {
	crashpoint.At(crashpoint.Requested)
	r, known := u.answered(a.once)
	if !known {
		r = u.decide(a.op)
		u.keep(a.once, r)
	}
	u.replies = append(u.replies, func() { a.answer(replied{Reply: r}) })
}

// decide performs what an operator asks.
func (u *unit) decide(op Op) Reply {
	before, points := len(u.effects), len(u.touched)
	r, no := Reply{}, u.fenced(op)
	if no == nil {
		r, no = u.perform(op)
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

func (u *unit) perform(op Op) (r Reply, no *refusal) {
	switch op := op.(type) {
	case Ask:
		r.Reply = u.ask(op.Ask)
		r.Points = u.concerned(op.Ask)
	case Lift:
		r.Reply = u.ask(orders.AskLift{})
	case Admit:
		no = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Admit(cp, op.Admitted), nil })
		if no == nil {
			r.Reply = u.ask(orders.AskAdmitted{CPID: op.CPID, Admitted: op.Admitted})
			r.Target = orders.Target{CPID: op.CPID}
		}
	case PassNext:
		no = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.PassNext(cp, &u.env) })
	case Release:
		no = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Release(cp), nil })
	case Settle:
		r.Reply, no = u.settle(op.SessionID)
	case Explain:
		no = u.explain(op.Hole, op.Words)
	}
	return r, no
}

// refusal is an answer of the ledger: a stable word, and why.
type refusal struct{ reason, detail string }

// Why an operator is refused, beside the words of orders.
const (
	refusedSession = "unknown_session"
	refusedHole    = "unknown_hole"
	refusedState   = "not_possible" // it is not in a state in which this can be done
	// A running session is settled only when its charging point is known to be
	// silent.
	refusedHeard = "cp_heard"
	refusedStale = "cp_unknown"
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
	no = u.operate(s.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Settle(cp, &u.env, id, silent) })
	if no != nil {
		return orders.Reply{}, no
	}
	return u.ask(orders.AskSettled{Target: orders.Target{CPID: s.CPID, Connector: s.Connector}, SessionID: id}), nil
}

// silent reports whether the charging point of an open session is silent: not
// heard, or quarantined, so that what it says is not applied.
func (u *unit) silent(s *ledger.Session) (bool, *refusal) {
	if cp := u.w.cps[s.CPID]; s.State != ledger.SessionOpen || cp == nil || cp.Forked() {
		return true, nil
	}
	switch link, since := u.w.live.liveness(s.CPID, u.now); link {
	case ledger.Online:
		return false, &refusal{refusedHeard, "session " + string(s.ID) + " is running and its charging point is heard; stop it instead"}
	case ledger.Unknown:
		return false, &refusal{refusedStale, "whether the charging point is there has not been known since " + since.String() +
			", because the way to all of them is down; settle the session when that works again"}
	case ledger.Offline:
	}
	return true, nil
}

func (u *unit) explain(hole int64, words string) *refusal {
	h, ok := lookUp(u, func() (ledger.Hole, bool, error) { return u.w.store.Hole(u.ctx, hole) })
	if !ok {
		return &refusal{refusedHole, fmt.Sprintf("no hole %d", hole)}
	}
	return u.operate(h.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Explain(cp, h.ID, words) })
}

// fenced refuses what a Central may not do that only watches; orders judges by
// itself what it is asked.
func (u *unit) fenced(op Op) *refusal {
	switch op.(type) {
	case Ask, Lift:
		return nil
	case Admit, PassNext, Release, Settle, Explain:
	}
	if u.w.orders.FencedBy().IsZero() {
		return nil
	}
	return &refusal{orders.RefusedFenced, "another Central took over; this one only watches"}
}

func (u *unit) operate(id charge.CPID, fn func(*ledger.CP) ([]ledger.Change, error)) *refusal {
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
	u.add(changes)
	u.step(orders.PointHeard{Now: u.moment(), CPID: id, Changes: changes})
	return nil
}

// ask gives an Ask to orders, which answers with exactly one Reply.
func (u *unit) ask(a orders.Ask) (r orders.Reply) {
	u.reply = &r
	u.step(orders.OperatorAsked{Now: u.moment(), Ask: a})
	u.reply = nil
	return r
}

// concerned is how many charging points a wish of availability is about.
func (u *unit) concerned(a orders.Ask) int {
	if av, ok := a.(orders.AskAvailability); ok && av.CPID == "" {
		return len(u.w.cps)
	}
	return 0
}
