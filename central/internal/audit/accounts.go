package audit

import (
	"cmp"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// checkSessions checks sessions against tickets, both ways.
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
		if t, ok := p.tickets[id]; !ok || t.ID != c.Corrects || t.SettledAt == 0 {
			p.report.wrong(CheckReferences, "ticket %s of %s corrects %s, which is no ticket of a settled session", c.ID, p.cp.ID, c.Corrects)
		}
	}
}

// checkTicket makes the ticket of a session again.
func (p *point) checkTicket(s *ledger.Session, t *ledger.Ticket) {
	tariff, ok := p.tariffs[t.Tariff]
	if !ok {
		p.report.wrong(CheckTickets, "ticket %s names tariff %q, which is not known", t.ID, t.Tariff)
		return
	}
	want := ledger.MakeTicket(s, tariff)
	if t.SettledAt != 0 {
		// What the session was at that moment is not kept; with its correction the
		// ticket makes the whole session.
		want = *t
		want.Energy, want.Cost = t.Stop-t.Start, tariff.Cost(t.Energy, t.Started)
		if c, ok := p.corrects[s.ID]; ok {
			p.compareTickets(&c, new(ledger.MakeCorrection(s, tariff, t)))
		}
	}
	p.compareTickets(t, &want)
}

func (p *point) compareTickets(t, want *ledger.Ticket) {
	if *t != *want {
		p.report.wrong(CheckTickets, "ticket %s is not what its session makes: %s", t.ID, t.Diff(want))
	}
}

// allTickets are all tickets with their corrections.
func (p *point) allTickets() []ledger.Ticket {
	return slices.AppendSeq(slices.Collect(maps.Values(p.tickets)), maps.Values(p.corrects))
}

// checkEnergy checks each meter against tickets and running sessions.
func (p *point) checkEnergy() {
	p.report.checked(CheckEnergy, len(p.cp.Meters))
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
	for id, e := range billed {
		if e != 0 {
			p.report.wrong(CheckEnergy, "tickets of %s/%d hold %d Wh, and there is no meter", p.cp.ID, id, e)
		}
	}
}

// checkOverlaps finds a Wh that is on two tickets. Registers of a meter that was
// replaced cannot be compared with those of the one before.
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
	slices.SortFunc(all, func(a, b ledger.Ticket) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID)) })
	for i := 1; i < len(all); i++ {
		if before, t := &all[i-1], &all[i]; t.Start < before.Stop {
			p.reportOverlap(id, "tickets %s and %s at %s/%d share %d Wh", before.ID, t.ID, p.cp.ID, id, min(before.Stop, t.Stop)-t.Start)
		}
	}
}

// reportOverlap tells of energy that is on two tickets or sessions. Where an alarm
// shows it, the charging point reported it so; otherwise the books are wrong.
func (p *point) reportOverlap(id charge.ConnectorID, format string, args ...any) {
	if p.overlapAlarms[id] {
		p.report.reported(CheckEnergy, format, args...)
	} else {
		p.report.wrong(CheckEnergy, format, args...)
	}
}
