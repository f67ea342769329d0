package world

import (
	"maps"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

// wantedOpen reports whether Central's desired state of a connector is available.
func wantedOpen(c *central, cp charge.CPID, id charge.ConnectorID) bool {
	want, ok := c.run.orders.DesiredAvailability(orders.Target{CPID: cp, Connector: id})
	return ok && want
}

// checkRebuilt: S9 and S14. The ledger is a function of the records alone: the
// records of a charging point, applied once more in the order of its journals,
// give the state that Central has, whatever was duplicated, restored or repeated
// before.
func (w *World) checkRebuilt(c *central) {
	for _, a := range w.agents {
		// Without all records there is nothing to compare with.
		if !a.truth.storageLost && a.run != nil {
			w.checkRebuiltAgent(c, a)
		}
	}
}

// checkRebuiltAgent rebuilds the ledger of one charging point.
func (w *World) checkRebuiltAgent(c *central, a *agent) {
	cp := ledger.NewCP(a.id)
	db := newDatabase()
	// Times of Central do not matter for the result, so one is enough.
	env := db.ledgerEnv(a.id, simulationStart)
	env.Published = c.db.adopted
	for _, k := range a.truth.order {
		in, ok := w.ledgerInput(a, k)
		if !ok {
			continue
		}
		out, changes := ledger.Apply(cp, &env, in)
		// In this order nothing is a duplicate, early or a second device.
		if out.Verdict != ledger.Applied {
			w.violated("S9", "%s: record %s/%d is %s when the ledger is rebuilt", a.id, k.j, k.seq, out.Verdict)
			return
		}
		db.records[k] = chainLink{out.Hash, in.Record.Prev}
		for _, ch := range changes {
			db.saveChange(ch)
		}
		// A settlement is not in the records: its ticket is copied.
		for _, ch := range ledger.ResettleAll(cp, &env, c.db.ticketOf) {
			db.saveChange(ch)
		}
	}
	for _, ch := range ledger.ResettleRest(cp, &env, c.db.ticketOf) {
		db.saveChange(ch)
	}
	if was, is := hashOf(c, a.id), ledger.Hash([]*ledger.CP{cp}, values(db.sessions), values(db.tickets)); was != is {
		w.violated("S14", "%s: the ledger rebuilt from its records differs from Central's", a.id)
	}
}

// adopted looks up an adopted ticket for a rebuild: its bill is in no record.
func (db *database) adopted(id string) (ledger.Ticket, bool) {
	t := db.tickets[id]
	return t, t.Adopted
}

// ledgerEnv lets the ledger of one charging point look up rows of db.
func (db *database) ledgerEnv(cp charge.CPID, now charge.Time) ledger.Env {
	t := tariff()
	of := func(j charge.JournalID, seq charge.Seq) (chainLink, bool) {
		l, ok := db.records[recordKey{journalKey{cp, j}, seq}]
		return l, ok
	}
	return ledger.Env{
		// The rebuild has an epoch of its own: no account depends on which Central
		// applied a record.
		Now: now, Central: charge.Epoch{Number: 1, Run: "000000000000beef"}, Default: t, AdmitNew: true,
		JournalEnding: func(hash string) (charge.JournalID, bool) { return db.journalEnding(cp, hash) },
		Session:       func(id charge.SessionID) (ledger.Session, bool) { s, ok := db.sessions[id]; return s, ok },
		Ticket:        func(id string) (ledger.Ticket, bool) { t, ok := db.tickets[id]; return t, ok },
		HashOf:        func(j charge.JournalID, seq charge.Seq) (string, bool) { l, ok := of(j, seq); return l.hash, ok },
		PrevOf:        func(j charge.JournalID, seq charge.Seq) (string, bool) { l, ok := of(j, seq); return l.prev, ok },
		Billed: func(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
			return db.billed(cp, id, from, to)
		},
		Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) { return t, v == t.Version },
	}
}

// ledgerInput returns a durable record as it was delivered.
func (w *World) ledgerInput(a *agent, k recordKey) (ledger.Input, bool) {
	f := a.truth.records[k]
	if f == nil || !f.durable {
		return ledger.Input{}, false
	}
	return ledger.Input{Raw: f.raw, Record: f.rec}, true
}

// hashOf returns the hash of Central's ledger of one charging point. Journals that
// the state in memory has dropped come from the database.
func hashOf(c *central, id charge.CPID) string {
	var sessions []ledger.Session
	for _, k := range sortedKeys(c.db.sessions) {
		if s := c.db.sessions[k]; s.CPID == id {
			sessions = append(sessions, s)
		}
	}
	var tickets []ledger.Ticket
	for _, k := range sortedKeys(c.db.tickets) {
		if t := c.db.tickets[k]; t.CPID == id {
			tickets = append(tickets, t)
		}
	}
	// The copy keeps the additions below out of the running Central.
	cp := *c.run.cps[id]
	cp.Journals = maps.Clone(cp.Journals)
	for k, j := range c.db.journals {
		if k.cp == id && cp.Journals[k.j] == nil {
			cp.Journals[k.j] = &j
		}
	}
	return ledger.Hash([]*ledger.CP{&cp}, sessions, tickets)
}

// values returns the values of a map in the order of its keys.
func values[K interface {
	~string
}, V any](m map[K]V) []V {
	var all []V
	for _, k := range sortedKeys(m) {
		all = append(all, m[k])
	}
	return all
}
