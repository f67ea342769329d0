package audit

import (
	"maps"
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// replay makes the ledger of a charging point again from its records. Which boot
// is present and what was passed is not in the records but was said by
// presence or an operator: that is taken from the rows.
type replay struct {
	point   *point
	cp      *ledger.CP
	env     ledger.Env
	ended   map[charge.SessionID]ledger.Session
	tickets map[string]ledger.Ticket
	broken  bool // a record could not be applied: what follows it says nothing
}

func (p *point) newReplay() *replay {
	f := &replay{point: p, cp: ledger.NewCP(p.cp.ID), ended: map[charge.SessionID]ledger.Session{}, tickets: map[string]ledger.Ticket{}}
	f.cp.AnnouncedJournal, f.cp.Conn = p.cp.AnnouncedJournal, p.cp.Conn
	for j, seq := range p.pruned {
		past := &ledger.Journal{ID: j, Last: seq, OpenedAt: 1}
		if known := p.cp.Journals[j]; known != nil && known.Last == seq {
			past.Hash = known.Hash // nothing is left that could tell
		}
		f.cp.Journals[j] = past
	}
	// Time stands still: two journals that both grow would otherwise look like
	// two boxes, and those records were not applied then.
	f.env = ledger.Env{Now: 1, Session: f.session, Ticket: f.ticket, HashOf: f.hashOf, PrevOf: f.prevOf, Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) {
		t, ok := p.tariffs[v]
		return t, ok
	}}
	return f
}

func (f *replay) session(id charge.SessionID) (ledger.Session, bool) {
	if s, ok := f.ended[id]; ok {
		return s, true
	}
	if s, ok, err := f.point.db.Session(f.point.ctx, id); err == nil && ok && s.CPID != f.cp.ID {
		return s, true // another charging point has it
	}
	return ledger.Session{}, false
}

func (f *replay) ticket(id string) (ledger.Ticket, bool) {
	t, ok := f.tickets[id]
	return t, ok
}

func (f *replay) hashOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := f.point.held[recordID{j, seq}]
	return l.hash, ok
}

func (f *replay) prevOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := f.point.held[recordID{j, seq}]
	return l.prev, ok
}

// apply applies the next record.
func (f *replay) apply(in ledger.Input) {
	if f.broken {
		return
	}
	f.point.report.checked(CheckReplay, 1)
	r := &in.Record
	if t, ok := f.point.tickets[r.SessionID]; ok { // a session that named no known version was priced by the one of that day
		f.env.Default = f.point.tariffs[t.Tariff]
	}
	f.recreateFilledGap(r)
	out, changes := ledger.Apply(f.cp, &f.env, in)
	if out.Verdict == ledger.OutOfOrder && f.passed(r, out.Payload) {
		f.remember(changes)
		f.cp.First = wire.Position{Journal: r.Journal, Seq: r.Seq} // as presence said then
		out, changes = ledger.Apply(f.cp, &f.env, in)
		f.cp.First = wire.Position{}
	}
	f.remember(changes)
	f.settle(r.SessionID)
	if out.Verdict != ledger.Applied {
		f.broken = true
		f.point.report.wrong(CheckReplay, "record %s/%d of %s cannot be applied again (%s); what follows it was not folded",
			r.Journal, r.Seq, f.cp.ID, out.Verdict)
	}
}

// recreateFilledGap makes the hole that a record filled which turned up late: it was
// there before the record, and perhaps no other record tells of it.
func (f *replay) recreateFilledGap(r *wire.Record) {
	for i := range f.point.gaps {
		h := &f.point.gaps[i]
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

// passed reports whether what is missing before the record is written down: in
// a hole that ends there, or as pruned.
func (f *replay) passed(r *wire.Record, payload wire.Payload) bool {
	before := wire.Position{Journal: r.Journal, Seq: r.Seq - 1}
	if r.Seq == 1 {
		if reg, ok := payload.(*wire.Registered); ok && reg.After != nil {
			before = *reg.After
		}
	}
	return slices.ContainsFunc(f.point.gaps, func(h ledger.Gap) bool {
		return h.Journal == before.Journal && h.First <= before.Seq && (before.Seq <= h.Last || h.Last == 0) ||
			r.Seq == 1 && h.Journal == r.Journal && h.First == 0
	})
}

func (f *replay) remember(changes []ledger.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.SessionChanged:
			if c.Session.State == ledger.SessionEnded {
				f.ended[c.Session.ID] = c.Session
			}
		case ledger.TicketMade:
			f.tickets[c.Ticket.ID] = c.Ticket
		case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted,
			ledger.MeterChanged, ledger.GapChanged, ledger.AlarmRaised:
		}
	}
}

// compare shows where the ledger that the records make and the rows differ.
func (f *replay) compare() {
	if f.broken {
		return
	}
	p := f.point
	for i := range p.sessions {
		f.settle(p.sessions[i].ID)
	}
	made := slices.Collect(maps.Values(f.ended))
	for _, s := range f.cp.Sessions {
		made = append(made, *s)
	}
	got := f.accounts(f.cp, made, slices.Collect(maps.Values(f.tickets)))
	want := f.accounts(p.cp, p.sessions, p.allTickets())
	for line := range want {
		if _, ok := got[line]; !ok {
			p.report.wrong(CheckReplay, "%s: the rows say, the records do not: %s", p.cp.ID, line)
		}
	}
	for line := range got {
		if _, ok := want[line]; !ok {
			p.report.wrong(CheckReplay, "%s: the records say, the rows do not: %s", p.cp.ID, line)
		}
	}
}

// settle ends a session as an operator did: which records were known then is not
// in the records, so its ticket is taken as it is. When that is done makes no
// difference to the rest.
func (f *replay) settle(id charge.SessionID) {
	t, ok := f.point.tickets[id]
	if !ok || t.SettledAt == 0 || f.cp.Sessions[id] == nil {
		return
	}
	if changes, err := ledger.Resettle(f.cp, &f.env, t); err == nil {
		f.remember(changes)
	}
}

// accounts are the lines of a ledger that can be compared. Whether a session is
// orphaned depends on which boot was heard last, so that has no say here.
func (f *replay) accounts(cp *ledger.CP, sessions []ledger.Session, tickets []ledger.Ticket) map[string]struct{} {
	sessions = slices.Clone(sessions)
	for i := range sessions {
		if sessions[i].State == ledger.SessionOrphaned {
			sessions[i].State = ledger.SessionOpen
		}
	}
	// A late record of a lost branch finds a ticket that never changes.
	sessions = slices.DeleteFunc(sessions, func(s ledger.Session) bool { return f.point.inDoubt[s.ID] || f.beginsPruned(s.ID) })
	tickets = slices.DeleteFunc(slices.Clone(tickets), func(t ledger.Ticket) bool { return f.point.inDoubt[t.SessionID] || f.beginsPruned(t.SessionID) })
	lines := map[string]struct{}{}
	for _, l := range ledger.AccountLines(cp, sessions, tickets) {
		if f.comparable(l) {
			lines[l] = struct{}{}
		}
	}
	return lines
}

// comparable reports whether a line is decided by the records that are held.
// What was passed is not: presence or an operator said so. Whether holes and
// positions fit the records is looked at by another check.
func (f *replay) comparable(line string) bool {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "meter":
		return len(f.point.pruned) == 0 && len(f.point.inDoubt) == 0
	case ledger.GapLine:
		return false
	case "journal":
		id, _, _ := strings.Cut(rest, " ")
		return !f.point.endsInGap(charge.JournalID(id))
	}
	return true
}

// endsInGap reports whether the position of a journal is a record that nobody
// has.
func (p *point) endsInGap(id charge.JournalID) bool {
	j := p.cp.Journals[id]
	return j != nil && slices.ContainsFunc(p.gaps, func(h ledger.Gap) bool {
		return h.Journal == id && slices.ContainsFunc(h.Missing, func(r ledger.Range) bool { return inRange(r, j.Last) })
	})
}

// beginsPruned reports whether the beginning of a session is not held any more.
func (f *replay) beginsPruned(id charge.SessionID) bool {
	if len(f.point.pruned) == 0 {
		return false
	}
	if s, ok := f.ended[id]; ok {
		return s.By == ""
	}
	s := f.cp.Sessions[id]
	return s == nil || s.By == ""
}
