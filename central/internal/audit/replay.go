package audit

import (
	"maps"
	"slices"
	"strings"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// replay makes the ledger of a charging point again by applying its records to an
// empty one. Which gaps were passed, which sessions were settled, which tickets
// were adopted and which boot's clock was far ahead is not in the records; that is read from the rows.
type replay struct {
	point   *point
	cp      *ledger.CP // made so far
	env     ledger.Env
	ended   map[charge.SessionID]ledger.Session // made so far; cp holds those that have not ended
	tickets map[string]ledger.Ticket            // made so far, by id
	adopted map[string]ledger.Ticket            // stored tickets with the bill of an earlier run, by id
	broken  bool                                // a record could not be applied, so a comparison would mean nothing
}

// newReplay returns a replay that begins after the pruned records.

func (p *point) newReplay() *replay {
	f := &replay{point: p, cp: ledger.NewCP(p.cp.ID), ended: map[charge.SessionID]ledger.Session{}, tickets: map[string]ledger.Ticket{}, adopted: map[string]ledger.Ticket{}}
	for _, t := range p.allTickets() {
		if t.Adopted {
			f.adopted[t.ID] = t
		}
	}
	for j, seq := range p.pruned {
		past := &ledger.Journal{ID: j, Last: seq, OpenedAt: 1}
		if known := p.cp.Journals[j]; known != nil && known.Last == seq {
			past.Hash = known.Hash // no record is left to derive it from
		}
		f.cp.Journals[j] = past
	}
	// The time is constant. Otherwise two journals that both grow would look like two
	// devices with one identity; records of a quarantine are not stored as applied.
	f.env = ledger.Env{Now: 1, Session: f.session, Ticket: f.ticket, Published: f.published, HashOf: f.hashOf, PrevOf: f.prevOf, Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) {
		t, ok := p.tariffs[v]
		return t, ok
	}}
	return f
}

// session, ticket, published, hashOf and prevOf are the look-ups of the ledger. They find what
// the replay has made so far, and sessions of other charging points: an id that is
// used elsewhere must be refused as it was then.
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

func (f *replay) published(id string) (ledger.Ticket, bool) {
	t, ok := f.adopted[id]
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

// apply applies the next record, and before it what decided then how it was
// applied.
func (f *replay) apply(in ledger.Input) {
	if f.broken {
		return
	}
	f.point.report.checked(CheckReplay, 1)
	r := &in.Record
	// The default tariff of that day is not stored, but the ticket names it.
	if t, ok := f.point.tickets[r.SessionID]; ok { // a session without a known tariff was priced by the tariff of its day
		f.env.Default = f.point.tariffs[t.Tariff]
	}
	// A clock that was not found to be far ahead is so far from its own record only.
	if j := f.point.cp.Journals[r.Journal]; j == nil || j.Clock == r.Clock {
		in.ReceivedAt = r.At
	}
	f.recreateFilledGap(r)
	// A record after a gap is out of order until the gap is passed. Originally a
	// presence passed it, by naming this record as the first that the agent held.
	out, changes := ledger.Apply(f.cp, &f.env, in)
	if out.Verdict == ledger.OutOfOrder && f.passed(r, out.Payload) {
		f.remember(changes)
		f.cp.First = wire.Position{Journal: r.Journal, Seq: r.Seq} // as the presence reported that made the gap
		out, changes = ledger.Apply(f.cp, &f.env, in)
		f.cp.First = wire.Position{}
	}
	// What is behind its predecessor may have been passed when it came.
	if out.Verdict == ledger.Mismatched && f.cp.ForgetHash(preceding(r, out.Payload), f.point.gaps) {
		f.remember(changes)
		out, changes = ledger.Apply(f.cp, &f.env, in)
	}
	f.remember(changes)
	f.remember(ledger.ResettleAll(f.cp, &f.env, f.settlement))
	// Every stored record was applied once, so it must be applied again.
	if out.Verdict != ledger.Applied {
		f.broken = true
		f.point.report.wrong(CheckReplay, "record %s/%d of %s cannot be applied again (%s); the records after it were not replayed",
			r.Journal, r.Seq, f.cp.ID, out.Verdict)
	}
}

// recreateFilledGap passes the gap that a late record fills: records that followed
// the gap may be pruned, so that nothing else shows that it was passed.
func (f *replay) recreateFilledGap(r *wire.Record) {
	for i := range f.point.gaps {
		g := &f.point.gaps[i]
		if g.Journal != r.Journal || r.Seq < g.First || r.Seq > g.Last || g.First == 0 {
			continue
		}
		j := f.cp.Journals[g.Journal]
		if j == nil {
			j = &ledger.Journal{ID: g.Journal}
			f.cp.Journals[g.Journal] = j
		}
		if j.Last+1 == g.First {
			j.Last, j.Hash = g.Last, ""
			f.cp.Gaps[g.ID] = &ledger.Gap{
				ID: g.ID, CPID: g.CPID, Journal: g.Journal, First: g.First, Last: g.Last, Missing: []ledger.Range{{First: g.First, Last: g.Last}},
			}
		}
	}
}

// preceding returns the position before a record.
func preceding(r *wire.Record, payload wire.Payload) wire.Position {
	if reg, ok := payload.(*wire.Registered); ok && r.Seq == 1 && reg.After != nil {
		return *reg.After
	}
	return wire.Position{Journal: r.Journal, Seq: r.Seq - 1}
}

// passed reports whether what is missing before the record was passed as a gap that
// ends there.
func (f *replay) passed(r *wire.Record, payload wire.Payload) bool {
	before := preceding(r, payload)
	return slices.ContainsFunc(f.point.gaps, func(g ledger.Gap) bool {
		return g.Journal == before.Journal && g.First <= before.Seq && (before.Seq <= g.Last || g.Last == 0) ||
			r.Seq == 1 && g.Journal == r.Journal && g.First == 0
	})
}

// remember keeps what the ledger does not hold in memory: ended sessions and
// tickets.
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
			ledger.MeterChanged, ledger.TicketPublished, ledger.GapChanged, ledger.AlarmRaised:
		}
	}
}

// compare makes a finding of each difference between the ledger that the records
// make and the rows.
func (f *replay) compare() {
	if f.broken {
		return
	}
	p := f.point
	f.remember(ledger.ResettleRest(f.cp, &f.env, f.settlement))
	made := slices.Collect(maps.Values(f.ended))
	for _, s := range f.cp.Sessions {
		made = append(made, *s)
	}
	got := f.accounts(f.cp, made, slices.Collect(maps.Values(f.tickets)))
	want := f.accounts(p.cp, p.sessions, p.allTickets())
	for line := range want {
		if _, ok := got[line]; !ok {
			p.report.wrong(CheckReplay, "%s: in the rows and not from the records: %s", p.cp.ID, line)
		}
	}
	for line := range got {
		if _, ok := want[line]; !ok {
			p.report.wrong(CheckReplay, "%s: from the records and not in the rows: %s", p.cp.ID, line)
		}
	}
}

// settlement finds the stored ticket of a session: which records were known when an
// operator settled it is not in the records, but in its ticket.
func (f *replay) settlement(id charge.SessionID) (ledger.Ticket, bool) {
	t, ok := f.point.tickets[id]
	return t, ok
}

// accounts returns the lines of a ledger that can be compared. An orphaned session
// counts as open: which it is depends on the last presence and not on records.
func (f *replay) accounts(cp *ledger.CP, sessions []ledger.Session, tickets []ledger.Ticket) map[string]struct{} {
	sessions = slices.Clone(sessions)
	for i := range sessions {
		if sessions[i].State == ledger.SessionOrphaned {
			sessions[i].State = ledger.SessionOpen
		}
	}
	// A record that came after the ticket was made could not change it, but changes
	// the session of the replay.
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

// comparable reports whether a line follows from the stored records alone. Gaps do
// not: a presence or an operator decided them. Whether gaps and positions fit the
// records is another check.
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

// endsInGap reports whether the last known record of a journal is missing.
func (p *point) endsInGap(id charge.JournalID) bool {
	j := p.cp.Journals[id]
	return j != nil && slices.ContainsFunc(p.gaps, func(g ledger.Gap) bool {
		return g.Journal == id && slices.ContainsFunc(g.Missing, func(r ledger.Range) bool { return inRange(r, j.Last) })
	})
}

// beginsPruned reports whether the grant of a session was pruned, so that the replay
// does not know how it began.
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
