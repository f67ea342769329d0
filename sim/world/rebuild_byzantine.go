package world

import (
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// rebuild rebuilds the ledger of a Byzantine charging point from the records that
// Central applied, in the order in which it applied them. Gaps that were passed and
// settlements of operators are not in the records: they come from the rows, as in
// central/internal/audit.
type rebuild struct {
	central *central
	faulty  *byzantineCP
	cp      *ledger.CP // the rebuilt state
	env     ledger.Env
	db      *database    // the rebuilt rows
	gaps    []ledger.Gap // Central's
}

// checkRebuiltByzantine: S15. The accounts of a Byzantine charging point follow from
// its records, however little sense these make.
func (w *World) checkRebuiltByzantine(c *central, b *byzantineCP) {
	if c.run.cps[b.id] == nil { // it never reported anything
		return
	}
	f := &rebuild{central: c, faulty: b, cp: ledger.NewCP(b.id), db: newDatabase()}
	f.env = f.db.ledgerEnv(b.id, 1) // at a constant time no second device is detected; its records were not applied
	// The ledger rejects session ids of other charging points, which it looks up in
	// Central's rows.
	own := f.env.Session
	f.env.Published = c.db.adopted
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
	// Not the order of its journals: that one has no meaning here.
	for _, k := range c.db.applied {
		if k.cp == b.id && !f.applyNext(k) {
			return
		}
	}
	f.save(ledger.ResettleRest(f.cp, &f.env, c.db.ticketOf))
	was, is := f.accounts(c.db, c.run.cps[b.id]), f.accounts(f.db, f.cp)
	for _, line := range was {
		if !slices.Contains(is, line) {
			w.violated("S15", "%s: Central has %s, which does not follow from its records", b.id, line)
			return
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			w.violated("S15", "%s: %s follows from its records, and Central does not have it", b.id, line)
			return
		}
	}
}

// applyNext applies the next record; false ends the rebuild.
func (f *rebuild) applyNext(k recordKey) bool {
	known := f.central.db.records[k]
	// Several records may have the same key; the hash identifies the one that was
	// applied.
	i := slices.IndexFunc(f.faulty.written[k], func(v nonsenseRecord) bool { return v.hash == known.hash })
	if i < 0 {
		return false // checkCommit reports it
	}
	v := f.faulty.written[k][i]
	f.passGapOf(&v.rec)
	in := ledger.Input{Raw: v.raw, Record: v.rec}
	// A clock that was not found to be far ahead is so far from its own record only.
	if f.central.db.journals[k.journalKey].Clock == v.rec.Clock {
		in.ReceivedAt = v.rec.At
	}
	out, changes := ledger.Apply(f.cp, &f.env, in)
	// Its predecessors were in a gap that Central passed because presence named a later
	// first record. The rebuild claims the same.
	if out.Verdict == ledger.OutOfOrder {
		f.save(changes)
		f.cp.First = wire.Position{Journal: v.rec.Journal, Seq: v.rec.Seq} // as presence claimed then, so the gap was passed
		out, changes = ledger.Apply(f.cp, &f.env, in)
		f.cp.First = wire.Position{}
	}
	// What is behind its predecessor may have been passed when it came.
	if reg, ok := out.Payload.(*wire.Registered); ok && out.Verdict == ledger.Mismatched && v.rec.Seq == 1 && reg.After != nil && f.cp.ForgetHash(*reg.After, f.gaps) {
		f.save(changes)
		out, changes = ledger.Apply(f.cp, &f.env, in)
	}
	if out.Verdict != ledger.Applied {
		f.central.w.violated("S15", "%s: record %s/%d is %s when the ledger is rebuilt", f.faulty.id, k.j, k.seq, out.Verdict)
		return false
	}
	f.save(changes)
	f.db.records[k] = known
	f.save(ledger.ResettleAll(f.cp, &f.env, f.central.db.ticketOf))
	return true
}

// save writes changes to the rebuilt rows.
func (f *rebuild) save(changes []ledger.Change) {
	for _, c := range changes {
		f.db.saveChange(c)
	}
}

// passGapOf passes the gap that contained a late record. Nothing else in the
// records may reveal it.
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
		// As when the gap was passed: behind it the hash of the predecessor is unknown.
		if j.Last+1 == h.First {
			j.Last, j.Hash = h.Last, ""
			f.cp.Gaps[h.ID] = &ledger.Gap{
				ID: h.ID, CPID: h.CPID, Journal: h.Journal, First: h.First, Last: h.Last, Missing: []ledger.Range{{First: h.First, Last: h.Last}},
			}
		}
	}
}

// accounts returns the lines of the accounts that the records alone determine. Left
// out are which boot was received last, gaps, and tickets that a late record would
// have changed, about which there is an alarm.
func (f *rebuild) accounts(db *database, cp *ledger.CP) []string {
	doubted := func(id charge.SessionID) bool {
		_, some := f.central.db.alarms[string(ledger.AlarmTicket)+"."+string(f.faulty.id)+"."+string(id)]
		return some
	}
	doubts := false
	var sessions []ledger.Session
	for _, id := range sortedKeys(db.sessions) {
		s := db.sessions[id]
		// Whether an open session is orphaned depends on presence.
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
		// Lines about journals and gaps depend on presence and time as well.
		switch kind, _, _ := strings.Cut(line, " "); kind {
		case "session", "ticket":
			return false
		case "meter":
			return doubts
		}
		return true
	})
}
