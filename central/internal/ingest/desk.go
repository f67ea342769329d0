package ingest

import (
	"context"
	"errors"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
)

// Errors of Ask. Nothing has happened then.
var (
	// ErrStorage says that the database cannot be written at present.
	ErrStorage = errors.New("the database cannot be written")
	// ErrUnknownCP says that no such charging point was ever heard.
	ErrUnknownCP = errors.New("no such charging point")
)

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

// Settle ends an orphaned session up to its last known register.
type Settle struct {
	CPID      charge.CPID
	SessionID charge.SessionID
}

// Explain writes an operator's words beside a hole and takes its alarm back.
type Explain struct {
	CPID  charge.CPID
	Hole  string // id of the hole
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
// committed. With an error nothing has happened, unless ctx ended while it was
// under way.
func (w *Writer) Ask(ctx context.Context, op Op) (Reply, error) {
	reply := make(chan replied, 1)
	select {
	case w.asks <- &asked{op, reply}:
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	select {
	case r := <-reply:
		return r.Reply, r.err
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// apply implements input. The answer leaves after the commit.
func (a *asked) apply(u *unit) {
	crashpoint.At(crashpoint.Requested)
	r := replied{}
	before := len(u.effects)
	points := len(u.touched)
	switch op := a.op.(type) {
	case Ask:
		r.Reply.Reply = u.ask(op.Ask)
		r.Points = u.concerned(op.Ask)
	case Lift:
		r.Reply.Reply = u.ask(orders.AskLift{})
	case Admit:
		r.err = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Admit(cp, op.Admitted), nil })
		if r.err == nil {
			r.Reply.Reply = u.ask(orders.AskAdmitted{CPID: op.CPID, Admitted: op.Admitted})
			r.Target = orders.Target{CPID: op.CPID}
		}
	case PassNext:
		r.err = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.PassNext(cp, &u.env) })
	case Release:
		r.err = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Release(cp), nil })
	case Settle:
		r.err = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Settle(cp, &u.env, op.SessionID) })
	case Explain:
		r.err = u.operate(op.CPID, func(cp *ledger.CP) ([]ledger.Change, error) { return ledger.Explain(cp, op.Hole, op.Words) })
	}
	var refused *refusal
	if errors.As(r.err, &refused) {
		r.Refused, r.Detail, r.err = refused.reason, refused.Error(), nil
	}
	if r.Points == 0 {
		r.Points = len(u.touched) - points
	}
	for _, e := range u.effects[before:] {
		if c, ok := e.(orders.SaveCommand); ok {
			r.Commands = append(r.Commands, c.Command.ID)
		}
	}
	u.replies = append(u.replies, func() { a.answer(r) })
}

// refusal is an answer of the ledger in words.
type refusal struct {
	error
	reason string
}

func (u *unit) operate(id charge.CPID, fn func(*ledger.CP) ([]ledger.Change, error)) error {
	cp := u.w.cps[id]
	if cp == nil {
		return ErrUnknownCP
	}
	if by := u.w.orders.FencedBy(); by != "" {
		return &refusal{errors.New("another Central took over; this one only watches"), orders.RefusedFenced}
	}
	u.touched[id] = struct{}{}
	u.cp = id
	changes, err := fn(cp)
	if err != nil {
		return &refusal{err, orders.RefusedNotFound}
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
