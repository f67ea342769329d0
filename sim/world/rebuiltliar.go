package world

import (
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// refold makes the ledger of a liar again from the records that were applied, in
// the order of applying. What was passed, and what an operator settled, is not in
// the records: that is taken from the rows, as central/internal/audit does.
type refold struct {
	c     *central
	l     *liar
	cp    *ledger.CP
	env   ledger.Env
	db    *rows
	holes []ledger.Hole
}

// checkRebuiltLiar: S15 the accounts of a charging point whose records make no
// sense are those that its records make.
func (w *World) checkRebuiltLiar(c *central, l *liar) {
	if c.run.cps[l.id] == nil { // it never said anything
		return
	}
	f := &refold{c: c, l: l, cp: ledger.NewCP(l.id), db: newRows()}
	p := c.db.points[l.id]
	f.cp.Named, f.cp.Conn = p.Named, p.Conn
	f.env = f.db.env(l.id, 1) // time stands still: two journals that both grow were not applied then
	own := f.env.Session
	f.env.Session = func(id charge.SessionID) (ledger.Session, bool) {
		if s, ok := own(id); ok {
			return s, true
		}
		s, ok := c.db.sessions[id]
		return s, ok && s.CPID != l.id
	}
	for _, id := range sortedKeys(c.db.holes) {
		if h := c.db.holes[id]; h.CPID == l.id {
			f.holes = append(f.holes, h)
		}
	}
	for _, k := range c.db.applied {
		if k.cp == l.id && !f.take(k) {
			return
		}
	}
	for _, id := range sortedKeys(c.db.sessions) {
		f.settle(id)
	}
	was, is := f.accounts(c.db, c.run.cps[l.id]), f.accounts(f.db, f.cp)
	for _, line := range was {
		if !slices.Contains(is, line) {
			w.object("S15", "%s: Central has %s, which its records do not make", l.id, line)
			return
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			w.object("S15", "%s: its records make %s, which Central does not have", l.id, line)
			return
		}
	}
}

// take applies one record as it was applied.
func (f *refold) take(k recordKey) bool {
	known := f.c.db.records[k]
	i := slices.IndexFunc(f.l.wrote[k], func(v lie) bool { return v.hash == known.hash })
	if i < 0 {
		return false // seen by another check
	}
	v := f.l.wrote[k][i]
	f.passHoleOf(&v.rec)
	in := ledger.Input{Raw: v.raw, Record: v.rec}
	out, changes := ledger.Apply(f.cp, &f.env, in)
	if out.Verdict == ledger.Gap {
		f.keep(changes)
		f.cp.First = wire.Position{Journal: v.rec.Journal, Seq: v.rec.Seq} // as presence said then
		out, changes = ledger.Apply(f.cp, &f.env, in)
		f.cp.First = wire.Position{}
	}
	if out.Verdict != ledger.Applied {
		f.c.w.object("S15", "%s: record %s/%d is %s when the ledger is built again", f.l.id, k.j, k.seq, out.Verdict)
		return false
	}
	f.keep(changes)
	f.db.records[k] = known
	f.settle(v.rec.SessionID)
	return true
}

func (f *refold) keep(changes []ledger.Change) {
	for _, c := range changes {
		f.db.keep(c)
	}
}

// passHoleOf makes the hole that a late record filled, which perhaps no other
// record tells of.
func (f *refold) passHoleOf(r *wire.Record) {
	for i := range f.holes {
		h := &f.holes[i]
		if h.Journal != r.Journal || r.Seq < h.First || r.Seq > h.Last || h.First == 0 {
			continue
		}
		j := f.cp.Journals[h.Journal]
		if j == nil {
			j = &ledger.Journal{ID: h.Journal}
			f.cp.Journals[h.Journal] = j
		}
		if j.Last+1 == h.First {
			j.Last, j.Hash = h.Last, ""
			f.cp.Holes[h.ID] = &ledger.Hole{
				ID: h.ID, CPID: h.CPID, Journal: h.Journal, First: h.First, Last: h.Last, Missing: []ledger.Range{{First: h.First, Last: h.Last}},
			}
		}
	}
}

// settle ends a session as an operator did.
func (f *refold) settle(id charge.SessionID) {
	t := f.c.db.tickets[ledger.TicketID(id)]
	if t.SettledAt == 0 || t.CPID != f.l.id || f.cp.Sessions[id] == nil {
		return
	}
	changes, err := ledger.Resettle(f.cp, &f.env, t)
	if err != nil {
		f.c.w.object("shell", "%s: %v", f.l.id, err)
		return
	}
	f.keep(changes)
}

// accounts are the lines that the records alone decide: not which boot was heard
// last, nor what was passed, nor the ticket that a late record would change.
func (f *refold) accounts(db *rows, cp *ledger.CP) []string {
	doubted := func(id charge.SessionID) bool {
		_, some := f.c.db.alarms[string(ledger.AlarmTicket)+"."+string(f.l.id)+"."+string(id)]
		return some
	}
	doubts := false
	var sessions []ledger.Session
	for _, id := range sortedKeys(db.sessions) {
		s := db.sessions[id]
		if s.State == ledger.SessionOrphaned {
			s.State = ledger.SessionOpen
		}
		if doubts = doubts || doubted(id); s.CPID == f.l.id && !doubted(id) {
			sessions = append(sessions, s)
		}
	}
	var tickets []ledger.Ticket
	for _, id := range sortedKeys(db.tickets) {
		if t := db.tickets[id]; t.CPID == f.l.id && !doubted(t.SessionID) {
			tickets = append(tickets, t)
		}
	}
	return slices.DeleteFunc(ledger.Accounts(cp, sessions, tickets), func(line string) bool {
		kind, _, _ := strings.Cut(line, " ")
		return kind == "hole" || kind == "journal" || kind == "meter" && doubts
	})
}
