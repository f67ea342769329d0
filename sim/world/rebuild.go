package world

import (
	"maps"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
)

func wantedOpen(c *central, cp charge.CPID, id charge.ConnectorID) bool {
	want, ok := c.run.orders.DesiredAvailability(orders.Target{CPID: cp, Connector: id})
	return ok && want
}

// checkRebuilt: S9 and S14 the state is the fold of the records alone. The
// records that Central applied, applied once more in the order of the journals,
// give the same accounts, whatever was doubled, restored or repeated on the way.
func (w *World) checkRebuilt(c *central) {
	for _, a := range w.agents {
		if !a.truth.storageLost && a.run != nil {
			w.checkRebuiltAgent(c, a)
		}
	}
}

func (w *World) checkRebuiltAgent(c *central, a *agent) {
	cp := ledger.NewCP(a.id)
	db := newDatabase()
	env := db.ledgerEnv(a.id, simulationStart)
	for _, k := range a.truth.order {
		in, ok := w.ledgerInput(a, k)
		if !ok {
			continue
		}
		out, changes := ledger.Apply(cp, &env, in)
		if out.Verdict != ledger.Applied {
			w.violated("S9", "%s: record %s/%d is %s when the ledger is built again", a.id, k.j, k.seq, out.Verdict)
			return
		}
		db.records[k] = chainLink{out.Hash, in.Record.Prev}
		for _, ch := range changes {
			db.saveChange(ch)
		}
		// What an operator settled is no record: its ticket is taken as it is.
		if t := c.db.tickets[ledger.TicketID(in.Record.SessionID)]; t.SettledAt != 0 && cp.Sessions[t.SessionID] != nil {
			changes, err := ledger.Resettle(cp, &env, t)
			if err != nil {
				w.violated("shell", "%s: %v", a.id, err)
				return
			}
			for _, ch := range changes {
				db.saveChange(ch)
			}
		}
	}
	if was, is := hashOf(c, a.id), ledger.Hash([]*ledger.CP{cp}, values(db.sessions), values(db.tickets)); was != is {
		w.violated("S14", "%s: the ledger built again from its records is not the one that Central has", a.id)
	}
}

// ledgerEnv is what the ledger of one charging point finds in the rows.
func (db *database) ledgerEnv(cp charge.CPID, now charge.Time) ledger.Env {
	t := tariff()
	of := func(j charge.JournalID, seq charge.Seq) (chainLink, bool) {
		l, ok := db.records[recordKey{journalKey{cp, j}, seq}]
		return l, ok
	}
	return ledger.Env{
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

// ledgerInput is a record as it was delivered.
func (w *World) ledgerInput(a *agent, k recordKey) (ledger.Input, bool) {
	f := a.truth.records[k]
	if f == nil || !f.durable {
		return ledger.Input{}, false
	}
	return ledger.Input{Raw: f.raw, Record: f.rec}, true
}

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
	cp := *c.run.cps[id]
	cp.Journals = maps.Clone(cp.Journals)
	for k, j := range c.db.journals {
		if k.cp == id && cp.Journals[k.j] == nil {
			cp.Journals[k.j] = &j
		}
	}
	return ledger.Hash([]*ledger.CP{&cp}, sessions, tickets)
}

func values[K interface {
	~string
}, V any](m map[K]V) []V {
	var all []V
	for _, k := range sortedKeys(m) {
		all = append(all, m[k])
	}
	return all
}
