package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
)

// Account is the result of a reconciliation. Energy is in Wh since the start of
// the run.
type Account struct {
	Journalled  int64            `json:"journalled"` // records on the agents' disks, also those deleted since
	Applied     int64            `json:"applied"`    // of them, those in Central's database with the same bytes
	Duplicates  int64            `json:"duplicates"` // deliveries of records that Central had
	Sessions    int64            `json:"sessions"`
	Tickets     int64            `json:"tickets"`
	Metered     charge.WattHours `json:"metered_wh"` // counted by the boards' registers
	Billed      charge.WattHours `json:"billed_wh"`
	Unaccounted charge.WattHours `json:"unaccounted_wh"`
	// Violations are the rules that were broken, a sentence each; empty: none.
	Violations []string `json:"violations"`
}

// Lost is the number of journalled records that Central does not have.
func (a *Account) Lost() int64 { return a.Journalled - a.Applied }

func (a *Account) violate(format string, args ...any) {
	a.Violations = append(a.Violations, fmt.Sprintf(format, args...))
}

// Reconcile compares journals, registers and relays with Central's database.
// The agents and Central must have ended; the boards still run. A difference is
// a violation in the Account; an error means that one of the sources could not
// be read.
func (n *Network) Reconcile(ctx context.Context) (Account, error) {
	b, err := readBooks(ctx, n.Database())
	if err != nil {
		return Account{}, err
	}
	a := Account{Duplicates: b.duplicates, Tickets: int64(len(b.tickets))}
	a.checkRest(&b)
	// The other direction: a record that Central applied must be in a journal.
	onDisk := map[recordKey]bool{}
	for _, p := range n.Points {
		records, err := p.records()
		if err != nil {
			return a, err
		}
		for i := range records {
			onDisk[records[i].recordKey] = true
		}
		sessions, err := a.checkJournal(p.ID, records, &b)
		if err != nil {
			return a, err
		}
		board, err := p.Inspect(ctx)
		if err != nil {
			return a, fmt.Errorf("board of %s: %w", p.ID, err)
		}
		a.checkEnergy(p, &board, &b)
		if err := a.checkRelays(p, &board, sessions); err != nil {
			return a, err
		}
	}
	for at := range b.applied {
		if !onDisk[at] {
			a.violate("%v: applied, and not in the journal", at)
		}
	}
	return a, nil
}

// ReconcileJournal compares the journal of a charging point that is not one of
// Points, and whose agent has ended, with Central's database: records and
// tickets. Energy and relays are for the caller, which knows the hardware.
func (n *Network) ReconcileJournal(ctx context.Context, cp charge.CPID, dir string) (Account, error) {
	b, err := readBooks(ctx, n.Database())
	if err != nil {
		return Account{}, err
	}
	a := Account{}
	records, err := readJournal(cp, dir)
	if err != nil {
		return a, err
	}
	_, err = a.checkJournal(cp, records, &b)
	return a, err
}

// checkJournal checks records and tickets of a charging point and returns the
// sessions of its records.
func (a *Account) checkJournal(cp charge.CPID, records []journalRecord, b *books) (map[charge.SessionID]*journalSession, error) {
	a.checkRecords(records, b)
	sessions, err := foldSessions(records)
	if err != nil {
		return nil, err
	}
	a.checkTickets(cp, sessions, b)
	return sessions, nil
}

// checkRest checks the database by itself: it is intact, no record is counted
// twice, and no session, reservation or gap is left over.
func (a *Account) checkRest(b *books) {
	if b.integrity != "ok" {
		a.violate("Central's database: %s", b.integrity)
	}
	if b.appliedCounter != int64(len(b.applied)) {
		a.violate("%d records counted as applied, %d are there: some twice or not at all", b.appliedCounter, len(b.applied))
	}
	if b.openSessions > 0 {
		a.violate("%d sessions are still open in Central", b.openSessions)
	}
	if b.gaps > 0 {
		a.violate("%d gaps although no storage was touched", b.gaps)
	}
	for _, r := range b.reserved {
		a.violate("reservation %s has not ended", r)
	}
}

// checkRecords checks that every journalled record is applied, with the same
// bytes.
func (a *Account) checkRecords(records []journalRecord, b *books) {
	for i := range records {
		r := &records[i]
		a.Journalled++
		switch hash, some := b.applied[r.recordKey]; {
		case !some:
			a.violate("%v (%s): journalled, and not applied", r.recordKey, r.Type)
		case hash != r.hash:
			a.violate("%v (%s): applied with other bytes", r.recordKey, r.Type)
		default:
			a.Applied++
		}
	}
}

// checkTickets checks that every session ended once, and has one ticket over
// exactly its energy.
func (a *Account) checkTickets(cp charge.CPID, sessions map[charge.SessionID]*journalSession, b *books) {
	tickets := map[charge.SessionID][]ticket{}
	for _, t := range b.tickets {
		if t.cp == cp {
			tickets[t.session] = append(tickets[t.session], t)
		}
	}
	for _, s := range sortedSessions(sessions) {
		a.Sessions++
		if s.authorizations != 1 || s.stops != 1 {
			a.violate("%s session %s: granted %d times, ended %d times", cp, s.id, s.authorizations, s.stops)
		}
		// What is left in tickets at the end belongs to no session.
		mine := tickets[s.id]
		delete(tickets, s.id)
		if len(mine) != 1 {
			a.violate("%s session %s: %d tickets", cp, s.id, len(mine))
			continue
		}
		if want := s.endRegister - s.startRegister; mine[0].energy != want || mine[0].connector != s.connector {
			a.violate("%s session %s: ticket over %d Wh at connector %d; the journal has %d Wh at %d",
				cp, s.id, mine[0].energy, mine[0].connector, want, s.connector)
		}
	}
	for id := range tickets {
		a.violate("%s: ticket for session %s, which is not in the journal", cp, id)
	}
}

// checkEnergy checks that every Wh of a board's register is on a ticket or
// shown as unaccounted, and that Central's account of the register agrees.
func (a *Account) checkEnergy(p *Point, board *sim.Snapshot, b *books) {
	for i, o := range board.Connectors {
		at := connectorKey{p.ID, o.Connector}
		// The board's own register is the truth about energy.
		metered := o.Register - p.initial.Connectors[i].Register
		var billed charge.WattHours
		for _, t := range b.tickets {
			if t.connectorKey == at {
				billed += t.energy
			}
		}
		m := b.meters[at]
		a.Metered += metered
		a.Billed += billed
		a.Unaccounted += m.unaccounted
		if metered != billed+m.unaccounted || m.billed != billed || m.metered != metered {
			a.violate("%s connector %d: the register counted %d Wh; tickets %d, shown unaccounted %d (Central's account: %d metered, %d billed)",
				p.ID, o.Connector, metered, billed, m.unaccounted, m.metered, m.billed)
		}
	}
}

// checkRelays checks that no contactor was closed without an authorized
// session, that each opened within a second of its agent's death, and that all
// are open at the end.
func (a *Account) checkRelays(p *Point, board *sim.Snapshot, sessions map[charge.SessionID]*journalSession) error {
	// The board's trace is the truth about power; grants and ends are the
	// journal's.
	list, err := readFlows(board)
	if err != nil {
		return err
	}
	a.Violations = append(a.Violations, unauthorizedFlows(p.ID, list, sessions)...)
	for _, d := range p.agentDeaths() {
		for _, o := range board.Connectors {
			till, closed := openedAt(list, o.Connector, d.at)
			if delay := till.Sub(d.at); closed && (till.IsZero() || delay > openWithin) {
				a.violate("%s connector %d: open only %v after its agent was %s", p.ID, o.Connector, delay.Round(time.Millisecond), d.cause)
			}
		}
	}
	if i := slices.IndexFunc(board.Connectors, func(o sim.Outlet) bool { return o.Closed }); i >= 0 {
		a.violate("%s connector %d is closed at the end", p.ID, i+1)
	}
	return nil
}
