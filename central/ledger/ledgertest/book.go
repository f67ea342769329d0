package ledgertest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// recordKey names a record of the charging point.
type recordKey struct {
	journal charge.JournalID
	seq     charge.Seq
}

// link is a record's place in the chain: its own hash and that of its predecessor.
type link struct{ hash, prev string }

// connectorKey names a connector in one boot.
type connectorKey struct {
	journal charge.JournalID
	id      charge.ConnectorID
}

// Book is Central's ledger of one charging point: the state in memory (CP) and the
// rows that the changes make. Env reads the rows. Violations collects what a
// database or an operator would not accept, such as a second ticket; tests expect
// it to stay empty.
type Book struct {
	CP         *ledger.CP
	Env        ledger.Env
	Sessions   map[charge.SessionID]ledger.Session
	Tickets    map[string]ledger.Ticket
	Gaps       map[string]ledger.Gap
	Alarms     map[string]ledger.Alarm
	Published  map[string]ledger.Ticket // tickets that the book lacks, see ledger.ReadPublished
	Violations []string                 // in plain text; empty if all rules of the rows hold

	// The rows below are read through Env, Load and Copy only. links has the hashes
	// of all applied records: a book never deletes records.
	links      map[recordKey]link
	point      ledger.Point
	journals   map[charge.JournalID]ledger.Journal
	connectors map[connectorKey]ledger.Connector
	meters     map[charge.ConnectorID]ledger.Meter
}

// NewBook returns an empty ledger of an active Central in epoch 1. It admits new
// charging points and prices with one default tariff; Env may be changed.
func NewBook(id charge.CPID, now charge.Time) *Book {
	b := &Book{
		CP: ledger.NewCP(id), Sessions: map[charge.SessionID]ledger.Session{}, Tickets: map[string]ledger.Ticket{},
		Gaps: map[string]ledger.Gap{}, Alarms: map[string]ledger.Alarm{}, Published: map[string]ledger.Ticket{}, links: map[recordKey]link{},
		point: ledger.Point{ID: id}, journals: map[charge.JournalID]ledger.Journal{}, connectors: map[connectorKey]ledger.Connector{},
		meters: map[charge.ConnectorID]ledger.Meter{},
	}
	b.Env = ledger.Env{
		Ticket:    func(id string) (ledger.Ticket, bool) { t, ok := b.Tickets[id]; return t, ok },
		Published: func(id string) (ledger.Ticket, bool) { t, ok := b.Published[id]; return t, ok },
		Now:       now, Central: charge.Epoch{Number: 1, Run: "0000000000000001"}, AdmitNew: true,
		Default: ledger.Tariff{Version: "default", StartFee: 50 * money.MinorUnit, PerKWh: 40 * money.MinorUnit, Currency: "EUR"},
		Session: func(id charge.SessionID) (ledger.Session, bool) { s, ok := b.Sessions[id]; return s, ok },
		Journal: func(id charge.JournalID) (ledger.Journal, bool) { j, ok := b.journals[id]; return j, ok },
		// The minimum, so that tests read evicted journals back.
		KeepJournals: 1,
		JournalEnding: func(hash string) (charge.JournalID, bool) {
			for id, j := range b.journals {
				if j.Hash == hash {
					return id, true
				}
			}
			return "", false
		},
		HashOf: func(j charge.JournalID, s charge.Seq) (string, bool) {
			l, ok := b.links[recordKey{j, s}]
			return l.hash, ok
		},
		PrevOf: func(j charge.JournalID, s charge.Seq) (string, bool) {
			l, ok := b.links[recordKey{j, s}]
			return l.prev, ok
		},
	}
	return b
}

// Apply delivers one record. It saves the changes at once, so each record is a
// transaction of its own.
func (b *Book) Apply(r wire.Record) (ledger.Outcome, []ledger.Change) {
	out, changes := ledger.Apply(b.CP, &b.Env, ledger.Input{Raw: Raw(r), Record: r})
	if out.Verdict == ledger.Applied {
		b.links[recordKey{r.Journal, r.Seq}] = link{out.Hash, r.Prev}
	}
	b.Save(changes)
	return out, changes
}

// ApplyPresence delivers one presence.
func (b *Book) ApplyPresence(p wire.Presence) (ledger.Outcome, []ledger.Change) {
	out, changes := ledger.ApplyPresence(b.CP, &b.Env, p)
	b.Save(changes)
	return out, changes
}

// Save applies changes to the rows, as a transaction of Central would.
func (b *Book) Save(changes []ledger.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case ledger.PointChanged:
			b.point = c.Point
		case ledger.JournalChanged:
			b.journals[c.Journal.ID] = c.Journal
		case ledger.ConnectorChanged:
			b.connectors[connectorKey{c.Connector.Journal, c.Connector.ID}] = c.Connector
		case ledger.BootDeleted:
			maps.DeleteFunc(b.connectors, func(k connectorKey, _ ledger.Connector) bool { return k.journal == c.Journal })
		case ledger.MeterChanged:
			b.meters[c.Meter.Connector] = c.Meter
		case ledger.SessionChanged:
			// Only a settled session may change after its end, until its correction.
			if was := b.Sessions[c.Session.ID]; was.State == ledger.SessionEnded && !was.Settled {
				b.Violations = append(b.Violations, fmt.Sprintf("session %s changed after its end", was.ID))
			}
			b.Sessions[c.Session.ID] = c.Session
		case ledger.TicketMade:
			if _, again := b.Tickets[c.Ticket.ID]; again {
				b.Violations = append(b.Violations, fmt.Sprintf("second ticket %s", c.Ticket.ID))
			}
			b.Tickets[c.Ticket.ID] = c.Ticket
			delete(b.Published, c.Ticket.ID)
		case ledger.TicketPublished:
			b.Published[c.Ticket.ID] = c.Ticket
		case ledger.GapChanged:
			b.Gaps[c.Gap.ID] = c.Gap
		case ledger.AlarmRaised:
			b.Alarms[c.Alarm.ID] = c.Alarm
		}
	}
}

// Load returns a state built from the rows, as Central does at its start.
func (b *Book) Load() *ledger.CP {
	cp := ledger.NewCP(b.point.ID)
	cp.Point = b.point
	cp.Faults = slices.Clone(b.point.Faults)
	for id, j := range b.journals {
		cp.Journals[id] = &j
		cp.KnownRecords += int64(j.Last)
	}
	for k, c := range b.connectors {
		switch k.journal {
		case cp.CurrentJournal:
			cp.Connectors[k.id] = &c
		case cp.PendingJournal:
			cp.PendingConnectors[k.id] = &c
		}
	}
	for id, m := range b.meters {
		cp.Meters[id] = &m
	}
	for id, s := range b.Sessions {
		if s.State != ledger.SessionEnded {
			s.Spans = slices.Clone(s.Spans)
			cp.Sessions[id] = &s
		}
	}
	for id, h := range b.Gaps {
		if len(h.Missing)+len(h.Unmeasured) > 0 {
			h.Missing, h.Unmeasured = slices.Clone(h.Missing), slices.Clone(h.Unmeasured)
			cp.Gaps[id] = &h
		}
	}
	return cp
}

// Copy returns a book with a copy of the rows and the state loaded from them: a
// restored backup.
func (b *Book) Copy() *Book {
	c := NewBook(b.point.ID, b.Env.Now)
	c.Env.Now, c.Env.Central = b.Env.Now, b.Env.Central
	c.point = b.point
	maps.Copy(c.Sessions, b.Sessions)
	maps.Copy(c.Tickets, b.Tickets)
	maps.Copy(c.Gaps, b.Gaps)
	maps.Copy(c.Alarms, b.Alarms)
	maps.Copy(c.Published, b.Published)
	maps.Copy(c.links, b.links)
	maps.Copy(c.journals, b.journals)
	maps.Copy(c.connectors, b.connectors)
	maps.Copy(c.meters, b.meters)
	c.CP = c.Load()
	return c
}

// OpenAlarms returns the alarms of a kind that are not cleared, in the order of
// their ids.
func (b *Book) OpenAlarms(kind ledger.AlarmKind) []ledger.Alarm {
	var list []ledger.Alarm
	for _, id := range slices.Sorted(maps.Keys(b.Alarms)) {
		if a := b.Alarms[id]; a.Kind == kind && !a.Cleared {
			list = append(list, a)
		}
	}
	return list
}

// FullState returns the state in memory together with the journals that are rows
// only.
func (b *Book) FullState() *ledger.CP {
	cp := *b.CP
	cp.Journals = maps.Clone(cp.Journals)
	for id, j := range b.journals {
		if cp.Journals[id] == nil {
			cp.Journals[id] = &j
		}
	}
	return &cp
}

// Hash returns the ledger hash of all that the book knows.
func (b *Book) Hash() string {
	return ledger.Hash([]*ledger.CP{b.FullState()}, slices.Collect(maps.Values(b.Sessions)), slices.Collect(maps.Values(b.Tickets)))
}

// Billed sums the energy on tickets, corrections included. A correction below zero
// reduces it.
func (b *Book) Billed() (sum charge.WattHours) {
	for _, t := range b.Tickets {
		sum += t.Energy
	}
	return sum
}
