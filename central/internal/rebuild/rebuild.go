package rebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// The names of the counters that Central keeps in the database.
const (
	countApplied = "applied"
	countDead    = "dead_letters"
)

// Tx is one transaction of the new database; *store.Tx implements it.
type Tx interface {
	Ledger(changes []ledger.Change) error
	Orders(effects []orders.Effect) error
	Record(in ledger.Input, hash string, receivedAt charge.Time) error
	Forked(in ledger.Input, hash string, receivedAt charge.Time) error
	CPSettings(s view.CPSettings) error
	DeadLetter(d view.DeadLetter, crc uint32, value []byte) (fresh bool, err error)
	Outbox(topic, key string, headers map[string]string, value []byte, at charge.Time) error
	Offset(topic string, partition int, next int64, crc uint32) error
	Count(name string, n int64) error
	Tariff(t ledger.Tariff, at charge.Time) error
	SaveAccount(a access.Account) error
	AddToken(t access.Token) error
}

// Store is the new database; a *store.Store with an adapted Write implements it.
// Look-ups read the last commit, not the present transaction.
type Store interface {
	Write(ctx context.Context, fn func(Tx) error) error
	Session(ctx context.Context, id charge.SessionID) (ledger.Session, bool, error)
	Ticket(ctx context.Context, id string) (ledger.Ticket, bool, error)
	HashOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
	Billed(ctx context.Context, cp charge.CPID, k charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool, error)
	PrevOf(ctx context.Context, cp charge.CPID, j charge.JournalID, seq charge.Seq) (string, bool, error)
}

// Config holds the parts of Central's configuration that a rebuild needs.
type Config struct {
	Default ledger.Tariff // the configured prices, for sessions that no tariff of the settings covers
	Admit   bool          // charging points are admitted as they appear
	Central string        // the topic central-events, on which tickets are published
	// PublishAfter is the start of that topic's retention. A ticket made before is
	// not published: whether it was published then cannot be known any more.
	PublishAfter charge.Time
	Now          charge.Time // of the rebuild; changes that no record dates are made at this time
}

// Delivered is one Kafka record.
type Delivered struct {
	Topic      string
	Partition  int
	Offset     int64
	CRC        uint32
	Key        string
	Value      []byte
	Kind       string
	ReceivedAt charge.Time
}

// Summary is the result of a rebuild. The counts are deliveries, over all passes.
type Summary struct {
	Applied     int64
	Duplicates  int64
	DeadLetters int64
	Mismatched  int64 // records that do not fit the chain; dropped
	Forked      int64 // records of quarantined identities; kept for the operator
	Tickets     int64
	Published   int64    // tickets that Kafka did not show as published: they are in the outbox now
	Waiting     []string // a line for each charging point whose agent must publish records again
	Unsettled   []string // a line for each session that was settled and could not be settled again
}

// Rebuilder applies Kafka's log to the new database.
type Rebuilder struct {
	cfg      Config
	store    Store
	settings Settings
	tariffs  map[charge.TariffVersion]ledger.Tariff // of the settings and the configuration
	dated    ledger.Tariffs                         // of the settings
	gaps     map[charge.CPID][]Gap                  // of the settings
	settled  map[charge.SessionID]*Settled          // of the settings
	adopted  map[string]ledger.Ticket               // of these, the adopted tickets

	mu sync.Mutex
	// mu guards what follows.
	cps       map[charge.CPID]*ledger.CP
	presences map[charge.CPID]wire.Presence // the last of each, applied by NextPass
	published map[string]ledger.Ticket      // tickets that Kafka shows as published, by id; without an ID where it cannot be used
	waiting   map[charge.CPID]wire.Position // the first record that could not be applied in this pass
	sum       Summary
	// What the present transaction has written: the store's look-ups read the last
	// commit and cannot see it.
	sessions  map[charge.SessionID]ledger.Session
	links     map[recordKey]link
	tickets   []ledger.Ticket
	lookUpErr error // of a look-up; the ledger's callbacks cannot return it
}

// link holds the hash of a record and the hash it names for the record before.
type link struct{ hash, prev string }

type recordKey struct {
	cp  charge.CPID
	j   charge.JournalID
	seq charge.Seq
}

// New returns a Rebuilder that writes to an empty database, and writes the settings
// to it.
func New(ctx context.Context, cfg Config, store Store, settings Settings) (*Rebuilder, error) {
	r := &Rebuilder{
		cfg: cfg, store: store, settings: settings,
		tariffs: map[charge.TariffVersion]ledger.Tariff{}, gaps: map[charge.CPID][]Gap{},
		settled: map[charge.SessionID]*Settled{}, adopted: map[string]ledger.Ticket{},
		cps: map[charge.CPID]*ledger.CP{}, presences: map[charge.CPID]wire.Presence{}, published: map[string]ledger.Ticket{},
		waiting: map[charge.CPID]wire.Position{},
	}
	// Settings are indexed by what records name.
	for i := range settings.Tariffs {
		t := settings.Tariffs[i].ledger()
		r.tariffs[t.Version] = t
		r.dated.Add(t)
	}
	for i := range settings.Settled {
		s := &settings.Settled[i]
		r.settled[s.SessionID] = s
		if s.Ticket != nil && s.Ticket.Adopted {
			t := s.ledger()
			r.adopted[t.ID] = t
		}
	}
	for _, g := range settings.Gaps {
		r.gaps[g.CPID] = append(r.gaps[g.CPID], g)
	}
	err := store.Write(ctx, func(tx Tx) error { return r.writeSettings(tx) })
	if err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	return r, nil
}

// writeSettings writes tariffs, admissions, desired states, cards, groups, accounts and tokens. Gaps and
// settlements are applied later, when the records that they are about are known.
func (r *Rebuilder) writeSettings(tx Tx) error {
	var errs []error
	for i := range r.settings.Tariffs {
		t := &r.settings.Tariffs[i]
		errs = append(errs, tx.Tariff(t.ledger(), t.MadeAt))
	}
	// As at a start of Central: if the version is in the settings, its prices must
	// be the same.
	errs = append(errs, tx.Tariff(r.cfg.Default, r.cfg.Now))
	r.tariffs[r.cfg.Default.Version] = r.cfg.Default
	for _, p := range r.settings.Points {
		if cp := r.point(p.CPID); p.Admitted {
			errs = append(errs, tx.Ledger(ledger.Admit(cp, true)))
		}
		if p.Version > 0 {
			errs = append(errs, tx.CPSettings(view.CPSettings{CPID: p.CPID, Name: p.Name, Place: p.Place, Site: p.Site, Version: p.Version, ChangedAt: p.ChangedAt}))
		}
	}
	for _, a := range r.settings.Availability {
		errs = append(errs, tx.Orders([]orders.Effect{orders.SaveDesired{Desired: orders.Desired{
			Kind: orders.DesiredAvailability, CPID: a.CPID, Connector: a.Connector, Available: a.Available, RequestedAt: a.AskedAt,
		}}}))
	}
	errs = append(errs, tx.Orders(r.settings.cardRows()), tx.Orders(r.settings.groupRows()))
	return errors.Join(append(errs, r.settings.writeAccess(tx)...)...)
}

// point returns the ledger of a charging point; it is created on first use.
func (r *Rebuilder) point(id charge.CPID) *ledger.CP {
	cp := r.cps[id]
	if cp == nil {
		cp = ledger.NewCP(id)
		r.cps[id] = cp
	}
	return cp
}

// Published reads a batch of central-events: the tickets in it are not published
// again, and their sessions end with them. Call it for the whole topic before Records.
func (r *Rebuilder) Published(batch []Delivered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		if e, err := wire.DecodeCentralEvent(batch[i].Value); err == nil && e.EventType == wire.CentralTicket {
			r.published[e.EventID], _ = orders.PublishedTicket(&e)
		}
	}
}

// Presences reads a batch of monitor-events. The last presence of each charging
// point is applied by NextPass, after all records.
func (r *Rebuilder) Presences(ctx context.Context, batch []Delivered) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		d := &batch[i]
		cp, err := charge.ParseCPID(d.Key)
		if d.Kind != wire.KindValuePresence || err != nil {
			continue
		}
		if p, err := wire.DecodePresence(d.Value); err == nil {
			r.presences[cp] = p
		}
	}
	return r.store.Write(ctx, func(tx Tx) error { return offset(tx, batch) })
}

// offset stores that a batch was read: a Central that is started on the database
// continues after it.
func offset(tx Tx, batch []Delivered) error {
	if len(batch) == 0 {
		return nil
	}
	last := &batch[len(batch)-1]
	return tx.Offset(last.Topic, last.Partition, last.Offset+1, last.CRC)
}

// Records applies a batch of journal records of one partition, in their order.
// Records that are applied already change nothing, so the log may be read again.
func (r *Rebuilder) Records(ctx context.Context, batch []Delivered) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transaction(ctx, func(tx Tx) error {
		applied := r.sum.Applied
		for i := range batch {
			if err := r.record(ctx, tx, &batch[i]); err != nil {
				return err
			}
		}
		if n := r.sum.Applied - applied; n > 0 {
			if err := tx.Count(countApplied, n); err != nil {
				return err
			}
		}
		return offset(tx, batch)
	})
}

// transaction runs fn in a transaction. An error of a look-up fails it too.
func (r *Rebuilder) transaction(ctx context.Context, fn func(Tx) error) error {
	r.sessions, r.links, r.lookUpErr = map[charge.SessionID]ledger.Session{}, map[recordKey]link{}, nil
	r.tickets = r.tickets[:0]
	return r.store.Write(ctx, func(tx Tx) error { return errors.Join(fn(tx), r.lookUpErr) })
}

// record applies one Kafka record. One that cannot be decoded is a dead letter.
func (r *Rebuilder) record(ctx context.Context, tx Tx, d *Delivered) error {
	var why reason.Reason
	rec, err := wire.DecodeRecord(d.Value)
	switch {
	case err != nil:
		why = wire.Why(err)
	case d.Key != string(rec.CPID):
		why = reason.Reason{Code: reason.KeyNames, Value: fmt.Sprintf("%.80q", d.Key), Allowed: fmt.Sprintf("%q", rec.CPID)}
	}
	if !why.IsZero() {
		fresh, werr := tx.DeadLetter(view.DeadLetter{
			Topic: d.Topic, Partition: d.Partition, Offset: d.Offset, Key: d.Key[:min(len(d.Key), 200)], Reason: why.String(), Why: why, At: d.ReceivedAt, ReceivedAt: d.ReceivedAt, Size: len(d.Value),
		}, d.CRC, nil)
		if fresh {
			r.sum.DeadLetters++
			werr = errors.Join(werr, tx.Count(countDead, 1))
		}
		return werr
	}
	cp, in := r.point(rec.CPID), ledger.Input{Raw: d.Value, Record: rec}
	env := r.env(ctx, cp.ID, d.ReceivedAt)
	// A record after a gap of the settings is out of order until the gap is passed,
	// as a presence did originally.
	out, changes := ledger.Apply(cp, env, in)
	if out.Verdict == ledger.OutOfOrder && r.passedBefore(&rec, out.Payload) {
		if err := r.write(tx, changes, d.ReceivedAt); err != nil {
			return err
		}
		first := cp.First
		cp.First = wire.Position{Journal: rec.Journal, Seq: rec.Seq} // as the presence reported that made the gap
		out, changes = ledger.Apply(cp, env, in)
		cp.First = first
	}
	if err := r.write(tx, changes, d.ReceivedAt); err != nil {
		return err
	}
	if err := r.settleAgain(tx, cp, env); err != nil {
		return err
	}
	switch out.Verdict {
	case ledger.Applied:
		r.sum.Applied++
		r.links[recordKey{cp.ID, rec.Journal, rec.Seq}] = link{out.Hash, rec.Prev}
		return tx.Record(in, out.Hash, d.ReceivedAt)
	case ledger.Duplicate:
		r.sum.Duplicates++
	case ledger.Mismatched:
		r.sum.Mismatched++
	case ledger.Forked:
		r.sum.Forked++
		return tx.Forked(in, out.Hash, d.ReceivedAt)
	case ledger.OutOfOrder:
		if _, ok := r.waiting[cp.ID]; !ok {
			r.waiting[cp.ID] = wire.Position{Journal: rec.Journal, Seq: rec.Seq}
		}
	}
	return nil
}

// passedBefore reports whether the records that are missing before this one were
// passed as a gap before the database was lost.
func (r *Rebuilder) passedBefore(rec *wire.Record, payload wire.Payload) bool {
	before := wire.Position{Journal: rec.Journal, Seq: rec.Seq - 1}
	if rec.Seq == 1 {
		if reg, ok := payload.(*wire.Registered); ok && reg.After != nil {
			before = *reg.After
		}
	}
	return slices.ContainsFunc(r.gaps[rec.CPID], func(g Gap) bool {
		return g.Journal == before.Journal && g.First <= before.Seq && (before.Seq <= g.Last || g.Last == 0) ||
			rec.Seq == 1 && g.Journal == rec.Journal && g.First == 0
	})
}

// env returns what the ledger needs to apply a record that was received at the
// moment at.
func (r *Rebuilder) env(ctx context.Context, cp charge.CPID, at charge.Time) *ledger.Env {
	return &ledger.Env{
		Now: at, Default: r.dated.Present(at, r.cfg.Default), AdmitNew: r.cfg.Admit,
		Session: func(id charge.SessionID) (ledger.Session, bool) {
			if s, ok := r.sessions[id]; ok {
				return s, true
			}
			return lookUp(r, func() (ledger.Session, bool, error) { return r.store.Session(ctx, id) })
		},
		Ticket: func(id string) (ledger.Ticket, bool) {
			if i := slices.IndexFunc(r.tickets, func(t ledger.Ticket) bool { return t.ID == id }); i >= 0 {
				return r.tickets[i], true
			}
			return lookUp(r, func() (ledger.Ticket, bool, error) { return r.store.Ticket(ctx, id) })
		},
		Published: r.publishedTicket,
		HashOf: func(j charge.JournalID, seq charge.Seq) (string, bool) {
			if l, ok := r.links[recordKey{cp, j, seq}]; ok {
				return l.hash, true
			}
			return lookUp(r, func() (string, bool, error) { return r.store.HashOf(ctx, cp, j, seq) })
		},
		Billed: func(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
			for i := range r.tickets {
				if t := &r.tickets[i]; t.CPID == cp && t.Connector == id && t.Stop > from && t.Start < to && t.Energy > 0 {
					return t.SessionID, true
				}
			}
			return lookUp(r, func() (charge.SessionID, bool, error) { return r.store.Billed(ctx, cp, id, from, to) })
		},
		PrevOf: func(j charge.JournalID, seq charge.Seq) (string, bool) {
			if l, ok := r.links[recordKey{cp, j, seq}]; ok {
				return l.prev, true
			}
			return lookUp(r, func() (string, bool, error) { return r.store.PrevOf(ctx, cp, j, seq) })
		},
		TariffAt: r.dated.At,
		Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) {
			t, ok := r.tariffs[v]
			return t, ok
		},
	}
}

// publishedTicket finds a ticket that Kafka shows as published, or that was adopted
// from there before the database was lost.
func (r *Rebuilder) publishedTicket(id string) (ledger.Ticket, bool) {
	if t, ok := r.adopted[id]; ok {
		return t, true
	}
	t := r.published[id]
	return t, t.ID != ""
}

// lookUp calls the store for the ledger and keeps an error for the transaction.
func lookUp[T any](r *Rebuilder, read func() (T, bool, error)) (T, bool) {
	v, ok, err := read()
	r.lookUpErr = errors.Join(r.lookUpErr, err)
	return v, ok && err == nil
}

// write writes changes, and puts into the outbox the tickets that Kafka does not
// show as published.
func (r *Rebuilder) write(tx Tx, changes []ledger.Change, at charge.Time) error {
	if len(changes) == 0 {
		return nil
	}
	errs := []error{tx.Ledger(changes)}
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.SessionChanged:
			r.sessions[c.Session.ID] = c.Session
		case ledger.TicketMade:
			r.sum.Tickets++
			r.tickets = append(r.tickets, c.Ticket)
			errs = append(errs, r.publishTicket(tx, &c.Ticket, at))
		case ledger.PointChanged, ledger.JournalChanged, ledger.ConnectorChanged, ledger.BootDeleted,
			ledger.MeterChanged, ledger.TicketPublished, ledger.GapChanged, ledger.AlarmRaised:
		}
	}
	return errors.Join(errs...)
}

// publishTicket puts a ticket into the outbox, unless it was published or is older
// than what Kafka retains.
func (r *Rebuilder) publishTicket(tx Tx, t *ledger.Ticket, at charge.Time) error {
	if _, ok := r.published[t.ID]; ok || at < r.cfg.PublishAfter {
		return nil
	}
	e := orders.TicketEvent(t, r.sessions[t.SessionID].Limit, at)
	raw, err := e.Encode()
	if err != nil {
		return fmt.Errorf("publish ticket %s: %w", t.ID, err)
	}
	r.sum.Published++
	return tx.Outbox(r.cfg.Central, e.Key(), e.Headers(), raw, r.cfg.Now)
}

// NextPass applies the presences, after a pass over all records. It reports whether
// another pass over the records can apply more: some could not be applied, and the
// presences have now made gaps of what precedes them.
func (r *Rebuilder) NextPass(ctx context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.transaction(ctx, func(tx Tx) error {
		for _, id := range slices.Sorted(maps.Keys(r.presences)) {
			_, changes := ledger.ApplyPresence(r.point(id), r.env(ctx, id, r.cfg.Now), r.presences[id])
			if err := r.write(tx, changes, r.cfg.Now); err != nil {
				return err
			}
		}
		return nil
	})
	// Without new presences another pass would have the same result as this one.
	again := err == nil && len(r.waiting) > 0 && len(r.presences) > 0
	if again {
		clear(r.waiting)
	}
	clear(r.presences)
	return again, err
}

// Finish settles the sessions of the settings that are not settled yet, and returns
// the summary.
func (r *Rebuilder) Finish(ctx context.Context) (Summary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.transaction(ctx, func(tx Tx) error {
		for _, s := range r.settings.Settled {
			if err := r.settle(ctx, tx, s); err != nil {
				return err
			}
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(r.waiting)) {
		at := r.waiting[id]
		r.sum.Waiting = append(r.sum.Waiting, fmt.Sprintf("%s: what precedes record %s/%d is not on Kafka", id, at.Journal, at.Seq))
	}
	return r.sum, err
}

// settle settles one session of the settings. That it cannot is not an error but a
// line of the summary.
func (r *Rebuilder) settle(ctx context.Context, tx Tx, s Settled) error {
	cp := r.cps[s.CPID]
	if cp == nil {
		r.sum.Unsettled = append(r.sum.Unsettled, fmt.Sprintf("session %s: %s is not known", s.SessionID, s.CPID))
		return nil
	}
	env := r.env(ctx, cp.ID, r.cfg.Now)
	// The tariff of the settlement prices a session that names none.
	if t, ok := r.tariffs[s.Tariff]; ok {
		env.Default, env.TariffAt = t, nil
	}
	if got, ok := env.Session(s.SessionID); ok && got.Settled {
		return nil // by settleAgain
	}
	if s.Ticket != nil && s.Ticket.SettledAt == 0 {
		return nil // adopted: the session ends with it when its records end it
	}
	if s.Ticket != nil {
		if cp.Sessions[s.SessionID] == nil {
			r.sum.Unsettled = append(r.sum.Unsettled, fmt.Sprintf("session %s: no record of it is on Kafka", s.SessionID))
			return nil
		}
		return r.write(tx, ledger.ResettleRest(cp, env, r.settlement), r.cfg.Now)
	}
	changes, err := ledger.Settle(cp, env, s.SessionID, false)
	if err != nil {
		r.sum.Unsettled = append(r.sum.Unsettled, err.Error())
		return nil
	}
	return r.write(tx, changes, r.cfg.Now)
}

// settleAgain settles the sessions of the settings where the operators did, with the
// tickets that their settlements made then. Their later records make the corrections.
func (r *Rebuilder) settleAgain(tx Tx, cp *ledger.CP, env *ledger.Env) error {
	return r.write(tx, ledger.ResettleAll(cp, env, r.settlement), r.cfg.Now)
}

// settlement finds the ticket of a settled session in the settings.
func (r *Rebuilder) settlement(id charge.SessionID) (ledger.Ticket, bool) {
	s := r.settled[id]
	if s == nil || s.Ticket == nil {
		return ledger.Ticket{}, false
	}
	return s.ledger(), true
}
