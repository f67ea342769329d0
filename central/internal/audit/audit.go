package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// Database is a database at one moment; *store.Store implements it.
type Database interface {
	// Integrity returns what SQLite finds wrong with the file.
	Integrity(ctx context.Context) ([]string, error)
	// ForeignKeys returns a line for each row that refers to one that does not exist.
	ForeignKeys(ctx context.Context) ([]string, error)
	// CPs returns all charging points as the ledger keeps them in memory.
	CPs(ctx context.Context) (map[charge.CPID]*ledger.CP, error)
	// Tariffs returns all versions of the prices.
	Tariffs(ctx context.Context) ([]ledger.Tariff, error)
	// Session returns one session of any charging point.
	Session(ctx context.Context, id charge.SessionID) (ledger.Session, bool, error)
	// SessionsOf, TicketsOf and GapsOf return all of a charging point.
	SessionsOf(ctx context.Context, cp charge.CPID) ([]ledger.Session, error)
	TicketsOf(ctx context.Context, cp charge.CPID) ([]ledger.Ticket, error)
	GapsOf(ctx context.Context, cp charge.CPID) ([]ledger.Gap, error)
	// PublishedTickets returns the published tickets that the database lacks.
	PublishedTickets(ctx context.Context) ([]ledger.Ticket, error)
	// TicketsInDoubt returns the sessions for which an alarm shows that a late record
	// would have made another ticket.
	TicketsInDoubt(ctx context.Context, cp charge.CPID) (map[charge.SessionID]bool, error)
	// OverlapsShown returns the connectors for which an alarm shows that energy is on
	// two tickets or sessions.
	OverlapsShown(ctx context.Context, cp charge.CPID) (map[charge.ConnectorID]bool, error)
	// PrunedOf returns, by journal, up to which record the records were pruned.
	PrunedOf(ctx context.Context, cp charge.CPID) (map[charge.JournalID]charge.Seq, error)
	// RecordsOf calls fn with each stored record, in the order in which they were
	// applied.
	RecordsOf(ctx context.Context, cp charge.CPID,
		fn func(j charge.JournalID, seq charge.Seq, hash string, raw []byte) error) error
	// Stuck returns a line for each reservation, command and request that should have
	// ended by itself.
	Stuck(ctx context.Context) ([]string, error)
	// Wanted counts the rows that Stuck checks.
	Wanted(ctx context.Context) (int64, error)
}

// Run makes all checks. What cannot be read is a finding, not an error; Run returns
// an error only when ctx ends, with what was checked until then.
func Run(ctx context.Context, b Database) (*Report, error) {
	// The checks of the database itself come first: they explain what the others may
	// find because of damage.
	a := &audit{ctx: ctx, db: b, report: newReport(), tariffs: map[charge.TariffVersion]ledger.Tariff{}}
	a.lines(CheckFile, b.Integrity)
	a.report.checked(CheckFile, 1)
	a.lines(CheckReferences, b.ForeignKeys)
	tariffs, err := b.Tariffs(ctx)
	a.unreadable(CheckTickets, err)
	for _, t := range tariffs {
		a.tariffs[t.Version] = t
	}
	cps, err := b.CPs(ctx)
	a.unreadable(CheckReferences, err)
	hashes := map[charge.CPID]string{}
	for _, id := range slices.Sorted(maps.Keys(cps)) {
		if ctx.Err() != nil {
			break
		}
		p := &point{audit: a, cp: cps[id]}
		hashes[id] = p.run()
	}
	a.listPublished()
	a.report.Points, a.report.Hash = len(cps), ledger.HashNetwork(hashes)
	a.lines(CheckOrders, b.Stuck)
	n, err := b.Wanted(ctx)
	a.unreadable(CheckOrders, err)
	a.report.checked(CheckOrders, int(n))
	return a.report, ctx.Err()
}

// audit is one Run.
type audit struct {
	ctx     context.Context //nolint:containedctx // lives only as long as Run
	db      Database
	report  *Report
	tariffs map[charge.TariffVersion]ledger.Tariff
}

// listPublished lists the tickets that drivers have and the database lacks: it was
// restored, and their sessions have not ended here again. That is no damage.
func (a *audit) listPublished() {
	tickets, err := a.db.PublishedTickets(a.ctx)
	a.unreadable(CheckTickets, err)
	for i := range tickets {
		t := &tickets[i]
		a.report.reported(CheckTickets, "ticket %s of %q at %s/%d, %s kWh for %s, was published before the database was restored, and its session has not ended here",
			t.ID, t.Username, t.CPID, t.Connector, t.Energy.KWh(), t.Cost)
	}
}

// lines makes a check that the database does by itself: each line is a finding.
func (a *audit) lines(check string, find func(context.Context) ([]string, error)) {
	found, err := find(a.ctx)
	a.unreadable(check, err)
	for _, line := range found {
		a.report.wrong(check, "%s", line)
	}
}

// unreadable makes a finding of an error that kept a check from reading, but for
// the end of the context.
func (a *audit) unreadable(check string, err error) {
	if err != nil && a.ctx.Err() == nil {
		a.report.wrong(check, "cannot be read: %s", err)
	}
}

// point is one charging point under audit.
type point struct {
	*audit
	cp            *ledger.CP
	sessions      []ledger.Session // ended ones too
	tickets       map[charge.SessionID]ledger.Ticket
	corrects      map[charge.SessionID]ledger.Ticket // corrections, by the settled session
	gaps          []ledger.Gap                       // by journal and first record; filled ones too
	pruned        map[charge.JournalID]charge.Seq    // up to which record a journal was pruned
	inDoubt       map[charge.SessionID]bool          // sessions with a record that could not change their ticket
	overlapAlarms map[charge.ConnectorID]bool        // connectors with an alarm about an overlap
	held          map[recordID]chainLink             // the records that are stored
}

// recordID names a record of a charging point.
type recordID struct {
	journal charge.JournalID
	seq     charge.Seq
}

// run makes the checks of one charging point and returns the hash of its ledger.
func (p *point) run() string {
	sessions, err1 := p.db.SessionsOf(p.ctx, p.cp.ID)
	tickets, err2 := p.db.TicketsOf(p.ctx, p.cp.ID)
	gaps, err3 := p.db.GapsOf(p.ctx, p.cp.ID)
	pruned, err4 := p.db.PrunedOf(p.ctx, p.cp.ID)
	inDoubt, err5 := p.db.TicketsInDoubt(p.ctx, p.cp.ID)
	overlapAlarms, err6 := p.db.OverlapsShown(p.ctx, p.cp.ID)
	p.overlapAlarms = overlapAlarms
	// The checks go on with what could be read; each failure is a finding.
	for _, err := range []error{err1, err2, err3, err4, err5, err6} {
		p.unreadable(CheckReferences, err)
	}
	slices.SortFunc(gaps, func(a, b ledger.Gap) int {
		return cmp.Or(cmp.Compare(a.Journal, b.Journal), cmp.Compare(a.First, b.First))
	})
	p.sessions, p.gaps, p.pruned, p.inDoubt = sessions, gaps, pruned, inDoubt
	p.tickets = make(map[charge.SessionID]ledger.Ticket, len(tickets))
	p.corrects = map[charge.SessionID]ledger.Ticket{}
	for i := range tickets {
		if t := &tickets[i]; t.Corrects != "" {
			p.corrects[t.SessionID] = *t
		} else {
			p.tickets[t.SessionID] = *t
		}
	}
	if len(pruned) > 0 {
		p.report.Pruned++
	}
	p.checkSessions(len(tickets))
	p.checkEnergy()
	p.checkRecords()
	return ledger.HashPoint(p.cp, sessions, tickets)
}
