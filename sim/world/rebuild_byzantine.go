package world

import (
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// rebuild makes the ledger of a liar again from the records that were applied, in
// the order of applying. What was passed, and what an operator settled, is not in
// the records: that is taken from the rows, as central/internal/audit does.
type rebuild struct {
	central *central
	faulty  *byzantineCP
	cp      *ledger.CP
	env     ledger.Env
	db      *database
	gaps    []ledger.Gap
}

// checkRebuiltByzantine: S15 the accounts of a charging point whose records make no
// sense are those that its records make.
func (w *World) checkRebuiltByzantine(c *central, b *byzantineCP) {
	if c.run.cps[b.id] == nil { // it never said anything
		return
	}
	f := &rebuild{central: c, faulty: b, cp: ledger.NewCP(b.id), db: newDatabase()}
	p := c.db.points[b.id]
	f.cp.AnnouncedJournal, f.cp.Conn = p.AnnouncedJournal, p.Conn
	f.env = f.db.ledgerEnv(b.id, 1) // time stands still: two journals that both grow were not applied then
	own := f.env.Session
	f.env.Session = func(id charge.SessionID) (ledger.Session, bool) {
		if s, ok := own(id); ok {
			return s, true
		}
		s, ok := c.db.sessions[id]
		return s, ok && s.CPID != b.id
	}
	for _, id := range sortedKeys(c.db.gaps) {
		if h := c.db.gaps[id]; h.CPID == b.id {
			f.gaps = append(f.gaps, h)
		}
	}
	for _, k := range c.db.applied {
		if k.cp == b.id && !f.applyNext(k) {
			return
		}
	}
	for _, id := range sortedKeys(c.db.sessions) {
		f.settle(id)
	}
	was, is := f.accounts(c.db, c.run.cps[b.id]), f.accounts(f.db, f.cp)
	for _, line := range was {
		if !slices.Contains(is, line) {
			w.violated("S15", "%s: Central has %s, which its records do not make", b.id, line)
			return
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			w.violated("S15", "%s: its records make %s, which Central does not have", b.id, line)
			return
		}
	}
}

// applyNext applies one record as it was applied.
func (f *rebuild) applyNext(k recordKey) bool {
	known := f.central.db.records[k]
	i := slices.IndexFunc(f.faulty.written[k], func(v nonsenseRecord) bool { return v.hash == known.hash })
	if i < 0 {
		return false // seen by another check
	}
	v := f.faulty.written[k][i]
	f.passGapOf(&v.rec)
	in := ledger.Input{Raw: v.raw, Record: v.rec}
	out, changes := ledger.Apply(f.cp, &f.env, in)
	if out.Verdict == ledger.OutOfOrder {
		f.save(changes)
		f.cp.First = wire.Position{Journal: v.rec.Journal, Seq: v.rec.Seq} // as presence said then
		out, changes = ledger.Apply(f.cp, &f.env, in)
		f.cp.First = wire.Position{}
	}
	if out.Verdict != ledger.Applied {
		f.central.w.violated("S15", "%s: record %s/%d is %s when the ledger is built again", f.faulty.id, k.j, k.seq, out.Verdict)
		return false
	}
	f.save(changes)
	f.db.records[k] = known
	f.settle(v.rec.SessionID)
	return true
}

func (f *rebuild) save(changes []ledger.Change) {
	for _, c := range changes {
		f.db.saveChange(c)
	}
}

// passGapOf makes the hole that a late record filled, which perhaps no other
// record tells of.
func (f *rebuild) passGapOf(r *wire.Record) {
	for i := range f.gaps {
		h := &f.gaps[i]
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
			f.cp.Gaps[h.ID] = &ledger.Gap{
				ID: h.ID, CPID: h.CPID, Journal: h.Journal, First: h.First, Last: h.Last, Missing: []ledger.Range{{First: h.First, Last: h.Last}},
			}
		}
	}
}

// settle ends a session as an operator did.
func (f *rebuild) settle(id charge.SessionID) {
	t := f.central.db.tickets[ledger.TicketID(id)]
	if t.SettledAt == 0 || t.CPID != f.faulty.id || f.cp.Sessions[id] == nil {
		return
	}
	changes, err := ledger.Resettle(f.cp, &f.env, t)
	if err != nil {
		f.central.w.violated("shell", "%s: %v", f.faulty.id, err)
		return
	}
	f.save(changes)
}

// accounts are the lines that the records alone decide: not which boot was heard
// last, nor what was passed, nor the ticket that a late record would change.
func (f *rebuild) accounts(db *database, cp *ledger.CP) []string {
	doubted := func(id charge.SessionID) bool {
		_, some := f.central.db.alarms[string(ledger.AlarmTicket)+"."+string(f.faulty.id)+"."+string(id)]
		return some
	}
	doubts := false
	var sessions []ledger.Session
	for _, id := range sortedKeys(db.sessions) {
		s := db.sessions[id]
		if s.State == ledger.SessionOrphaned {
			s.State = ledger.SessionOpen
		}
		if doubts = doubts || doubted(id); s.CPID == f.faulty.id && !doubted(id) {
			sessions = append(sessions, s)
		}
	}
	var tickets []ledger.Ticket
	for _, id := range sortedKeys(db.tickets) {
		if t := db.tickets[id]; t.CPID == f.faulty.id && !doubted(t.SessionID) {
			tickets = append(tickets, t)
		}
	}
	return slices.DeleteFunc(ledger.AccountLines(cp, sessions, tickets), func(line string) bool {
		kind, _, _ := strings.Cut(line, " ")
		return kind == ledger.GapLine || kind == "journal" || kind == "meter" && doubts
	})
}
