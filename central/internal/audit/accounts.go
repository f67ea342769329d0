package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// checkSessions checks that each ended session has its ticket, each ticket its
// session, and each correction the ticket of a session that was settled or whose ticket
// was adopted. tickets is how many
// tickets the charging point has, corrections included.
func (p *point) checkSessions(tickets int) {
	p.report.checked(CheckTickets, tickets)
	p.report.checked(CheckReferences, len(p.sessions))
	known := make(map[charge.SessionID]struct{}, len(p.sessions))
	for i := range p.sessions {
		s := &p.sessions[i]
		known[s.ID] = struct{}{}
		t, ok := p.tickets[s.ID]
		switch {
		case s.State == ledger.SessionEnded && !ok:
			p.report.wrong(CheckReferences, "session %s of %s has ended and has no ticket", s.ID, p.cp.ID)
		case s.State != ledger.SessionEnded && ok:
			p.report.wrong(CheckReferences, "session %s of %s is %s and has ticket %s", s.ID, p.cp.ID, s.State, t.ID)
		case ok:
			p.checkTicket(s, &t)
		}
	}
	for id := range p.tickets {
		if _, ok := known[id]; !ok {
			p.report.wrong(CheckReferences, "ticket %s of %s is of session %s, which does not exist there", p.tickets[id].ID, p.cp.ID, id)
		}
	}
	for id, c := range p.corrects {
		if t, ok := p.tickets[id]; !ok || t.ID != c.Corrects || t.SettledAt == 0 && !t.Adopted {
			p.report.wrong(CheckReferences, "ticket %s of %s corrects %s, which is no ticket of a settled session and was not adopted", c.ID, p.cp.ID, c.Corrects)
		}
	}
}

// checkTicket makes the ticket of a session again and compares it with the row.
func (p *point) checkTicket(s *ledger.Session, t *ledger.Ticket) {
	tariff, ok := p.tariffs[t.Tariff]
	if !ok {
		p.report.wrong(CheckTickets, "ticket %s names tariff %q, which is not known", t.ID, t.Tariff)
		return
	}
	want := ledger.MakeTicket(s, tariff)
	if t.SettledAt != 0 || t.Adopted {
		// What was known of the session when it was settled is not stored, so only the
		// price of the ticket is checked; with its correction it must be the ticket of
		// the whole session. The bill of an adopted one is of records that may be lost.
		want = *t
		if !t.Adopted {
			want.Energy, want.Cost = t.Stop-t.Start, tariff.Cost(t.Usage())
		}
		if c, ok := p.corrects[s.ID]; ok && !c.Adopted {
			p.compareTickets(&c, new(ledger.MakeCorrection(s, tariff, t)))
		}
	}
	p.compareTickets(t, &want)
}

// compareTickets makes a finding of a ticket that is not the one it should be.
func (p *point) compareTickets(t, want *ledger.Ticket) {
	if *t != *want {
		p.report.wrong(CheckTickets, "ticket %s is not what its session makes: %s", t.ID, t.Diff(want))
	}
}

// allTickets returns all tickets, corrections included.
func (p *point) allTickets() []ledger.Ticket {
	return slices.AppendSeq(slices.Collect(maps.Values(p.tickets)), maps.Values(p.corrects))
}

// checkEnergy checks that each meter has as much energy billed and running as its
// tickets and open sessions have, and that both together are not more than the
// meter measured.
func (p *point) checkEnergy() {
	p.report.checked(CheckEnergy, len(p.cp.Meters))
	// What the tickets and open sessions add up to, by connector.
	billed := map[charge.ConnectorID]charge.WattHours{}
	for _, t := range p.allTickets() {
		billed[t.Connector] += t.Energy
	}
	running := map[charge.ConnectorID]charge.WattHours{}
	for _, s := range p.cp.Sessions {
		if s.State == ledger.SessionOpen {
			running[s.Connector] += s.Energy()
		}
	}
	for id, m := range p.cp.Meters {
		if m.Billed != billed[id] {
			p.report.wrong(CheckEnergy, "meter %s/%d has %d Wh on tickets, its tickets have %d Wh", p.cp.ID, id, m.Billed, billed[id])
		}
		if m.Running != running[id] {
			p.report.wrong(CheckEnergy, "meter %s/%d has %d Wh running, its sessions have %d Wh", p.cp.ID, id, m.Running, running[id])
		}
		if u := m.Unaccounted(); u < 0 {
			p.reportOverlap(id, "meter %s/%d: tickets and sessions hold %d Wh more than went through it", p.cp.ID, id, -u)
		}
		delete(billed, id)
		p.checkOverlaps(id, m)
	}
	// What is left belongs to connectors without a meter.
	for id, e := range billed {
		if e != 0 {
			p.report.wrong(CheckEnergy, "tickets of %s/%d hold %d Wh, and there is no meter", p.cp.ID, id, e)
		}
	}
}

// checkOverlaps finds tickets of a connector whose ranges of registers overlap: the
// same Wh on two tickets. After a meter was replaced its registers cannot be
// compared with those of the meter before, so such connectors are not checked.
func (p *point) checkOverlaps(id charge.ConnectorID, m *ledger.Meter) {
	if m.Previous.Known || m.Carried != 0 {
		return
	}
	var all []ledger.Ticket
	for _, t := range p.allTickets() {
		if t.Connector == id && t.Energy > 0 {
			all = append(all, t)
		}
	}
	// In the order of their first register, only neighbours need to be compared.
	slices.SortFunc(all, func(a, b ledger.Ticket) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID)) })
	for i := 1; i < len(all); i++ {
		if before, t := &all[i-1], &all[i]; t.Start < before.Stop {
			p.reportOverlap(id, "tickets %s and %s at %s/%d share %d Wh", before.ID, t.ID, p.cp.ID, id, min(before.Stop, t.Stop)-t.Start)
		}
	}
}

// reportOverlap records that energy is on two tickets or sessions. If an alarm
// shows it, the charging point reported it so, and the database is right to hold
// it; otherwise it is a finding.
func (p *point) reportOverlap(id charge.ConnectorID, format string, args ...any) {
	if p.overlapAlarms[id] {
		p.report.reported(CheckEnergy, format, args...)
	} else {
		p.report.wrong(CheckEnergy, format, args...)
	}
}
