package world

import (
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// database is Central's database: the tables of central/internal/store as maps of
// values. Values are never changed in place, so a copy of the maps is a backup.
type database struct {
	points     map[charge.CPID]ledger.Point
	journals   map[journalKey]ledger.Journal
	connectors map[connectorKey]ledger.Connector
	// The key's journal is empty: a meter outlives boots.
	meters   map[connectorKey]ledger.Meter
	sessions map[charge.SessionID]ledger.Session
	tickets  map[string]ledger.Ticket
	// Tickets that this database lacks.
	published map[string]ledger.Ticket
	gaps      map[string]ledger.Gap
	alarms    map[string]ledger.Alarm
	records   map[recordKey]chainLink
	// Keys of records, in the order in which they were applied.
	applied []recordKey

	reservations map[charge.ReservationID]orders.Reservation
	desired      map[desiredKey]orders.Desired
	commands     map[charge.CommandID]orders.Command // open ones only
	requests     map[orders.RequestKey]orders.Request
	cards        map[cards.ID]cards.Card
	lists        map[charge.CPID]orders.LocalList
	groups       map[orders.GroupID]orders.Group
	members      map[orders.Target]orders.GroupMember
	// The later Central that fenced this database's; zero for none.
	fence charge.Epoch

	outbox  []outboxRow
	lastRow int64
	// Committed with the rows that result from the records before.
	offsets map[partition]cursor
	// The highest this database's Central has used.
	epoch       charge.Epoch
	deadLetters int
}

// journalKey identifies a journal: one boot of one charging point.
type journalKey struct {
	cp charge.CPID
	j  charge.JournalID
}

// connectorKey identifies a connector in one boot.
type connectorKey struct {
	journalKey
	id charge.ConnectorID
}

// ackKey identifies what one epoch of Central acknowledged of a journal.
type ackKey struct {
	journalKey
	central charge.Epoch
}

// recordKey identifies a record.
type recordKey struct {
	journalKey
	seq charge.Seq
}

// chainLink is the hash of a record, and the hash of its predecessor that the
// record names.
type chainLink struct{ hash, prev string }

// desiredKey identifies a desired state.
type desiredKey struct {
	kind      orders.DesiredKind
	cp        charge.CPID
	connector charge.ConnectorID
	session   charge.SessionID
}

// outboxRow is an event that was committed and is not yet known to be in Kafka.
type outboxRow struct {
	id    int64
	topic string
	key   string
	value []byte
}

// newDatabase creates an empty database.
func newDatabase() *database {
	return &database{
		points: map[charge.CPID]ledger.Point{}, journals: map[journalKey]ledger.Journal{},
		connectors: map[connectorKey]ledger.Connector{}, meters: map[connectorKey]ledger.Meter{},
		sessions: map[charge.SessionID]ledger.Session{}, tickets: map[string]ledger.Ticket{}, published: map[string]ledger.Ticket{}, gaps: map[string]ledger.Gap{},
		alarms: map[string]ledger.Alarm{}, records: map[recordKey]chainLink{},
		reservations: map[charge.ReservationID]orders.Reservation{}, desired: map[desiredKey]orders.Desired{},
		commands: map[charge.CommandID]orders.Command{}, requests: map[orders.RequestKey]orders.Request{}, offsets: map[partition]cursor{},
		cards: map[cards.ID]cards.Card{}, lists: map[charge.CPID]orders.LocalList{},
		groups: map[orders.GroupID]orders.Group{}, members: map[orders.Target]orders.GroupMember{},
	}
}

// backup returns a copy of the database as it is now.
func (db *database) backup() *database {
	c := *db
	c.points, c.journals, c.connectors, c.meters = maps.Clone(db.points), maps.Clone(db.journals), maps.Clone(db.connectors), maps.Clone(db.meters)
	c.sessions, c.tickets, c.gaps, c.alarms = maps.Clone(db.sessions), maps.Clone(db.tickets), maps.Clone(db.gaps), maps.Clone(db.alarms)
	c.published = maps.Clone(db.published)
	c.records, c.applied = maps.Clone(db.records), slices.Clone(db.applied)
	c.reservations, c.desired, c.commands = maps.Clone(db.reservations), maps.Clone(db.desired), maps.Clone(db.commands)
	c.cards, c.lists = maps.Clone(db.cards), maps.Clone(db.lists)
	c.groups, c.members = maps.Clone(db.groups), maps.Clone(db.members)
	c.requests, c.offsets, c.outbox = maps.Clone(db.requests), maps.Clone(db.offsets), slices.Clone(db.outbox)
	return &c
}

// saveChange writes a change of the ledger.
func (db *database) saveChange(c ledger.Change) {
	switch c := c.(type) {
	case ledger.PointChanged:
		db.points[c.Point.ID] = c.Point
	case ledger.JournalChanged:
		db.journals[journalKey{c.CPID, c.Journal.ID}] = c.Journal
	case ledger.ConnectorChanged:
		db.connectors[connectorKey{journalKey{c.CPID, c.Connector.Journal}, c.Connector.ID}] = c.Connector
	case ledger.BootDeleted:
		maps.DeleteFunc(db.connectors, func(k connectorKey, _ ledger.Connector) bool { return k.cp == c.CPID && k.j == c.Journal })
	case ledger.MeterChanged:
		db.meters[connectorKey{journalKey{cp: c.CPID}, c.Meter.Connector}] = c.Meter
	case ledger.SessionChanged:
		db.sessions[c.Session.ID] = c.Session
	case ledger.TicketMade:
		db.tickets[c.Ticket.ID] = c.Ticket
		delete(db.published, c.Ticket.ID)
	case ledger.TicketPublished:
		db.published[c.Ticket.ID] = c.Ticket
	case ledger.GapChanged:
		db.gaps[c.Gap.ID] = c.Gap
	case ledger.AlarmRaised:
		db.alarms[c.Alarm.ID] = c.Alarm
	}
}

// saveEffect writes an effect of orders, if it is a row.
func (db *database) saveEffect(e orders.Effect) {
	switch e := e.(type) {
	case orders.SaveReservation:
		db.reservations[e.Reservation.ID] = e.Reservation
	case orders.SaveDesired:
		w := e.Desired
		db.desired[desiredKey{w.Kind, w.CPID, w.Connector, w.SessionID}] = w
	case orders.SaveCommand:
		if e.Command.State.Open() {
			db.commands[e.Command.ID] = e.Command
		} else {
			delete(db.commands, e.Command.ID) // the product keeps it for its page
		}
	case orders.SaveRequest:
		db.requests[e.Request.Key()] = e.Request
	case orders.SaveCard:
		db.cards[e.Card.ID] = e.Card
	case orders.SaveGroup:
		db.groups[e.Group.ID] = e.Group
	case orders.SaveGroupMember:
		db.members[e.Member.Target] = e.Member
	case orders.SaveLocalList:
		db.lists[e.List.CPID] = e.List
	case orders.SaveFence:
		db.fence = e.By
	case orders.SendCommand, orders.PublishEvent, orders.CountRefusal, orders.Reply:
	}
}

// loadPoints builds the ledger's state in memory from the rows, as
// central/internal/store does: ended sessions and closed gaps stay on disk.
func (db *database) loadPoints() map[charge.CPID]*ledger.CP {
	cps := map[charge.CPID]*ledger.CP{}
	for id, p := range db.points {
		cp := ledger.NewCP(id)
		cp.Point = p
		cp.Faults = slices.Clone(p.Faults)
		cps[id] = cp
	}
	for k, j := range db.journals {
		j.Reported = slices.Clone(j.Reported)
		cps[k.cp].Journals[k.j] = &j
		cps[k.cp].KnownRecords += int64(j.Last)
	}
	for k, c := range db.connectors {
		c.Faults = slices.Clone(c.Faults)
		switch cp := cps[k.cp]; k.j {
		case cp.CurrentJournal:
			cp.Connectors[k.id] = &c
		case cp.PendingJournal:
			cp.PendingConnectors[k.id] = &c
		}
	}
	for k, m := range db.meters {
		cps[k.cp].Meters[k.id] = &m
	}
	for id, s := range db.sessions {
		if s.State != ledger.SessionEnded {
			s.Spans = slices.Clone(s.Spans)
			cps[s.CPID].Sessions[id] = &s
		}
	}
	for id, h := range db.gaps {
		if len(h.Missing)+len(h.Unmeasured) > 0 {
			h.Missing, h.Unmeasured = slices.Clone(h.Missing), slices.Clone(h.Unmeasured)
			cps[h.CPID].Gaps[id] = &h
		}
	}
	return cps
}

// loadOrders builds the state of orders in memory from the rows that are still open.
func (db *database) loadOrders(cfg orders.Config, epoch charge.Epoch, numbers orders.Numbers) *orders.State {
	s := orders.New(cfg, epoch, numbers)
	for _, v := range db.reservations {
		if !v.Released {
			s.LoadReservation(v)
		}
	}
	for _, v := range db.desired {
		if v.EndedAt == 0 {
			s.LoadDesired(v)
		}
	}
	for _, v := range db.commands {
		s.LoadCommand(v)
	}
	for _, v := range db.requests {
		if v.Answer == nil && !v.Ignored {
			s.LoadRequest(v)
		}
	}
	for _, v := range db.cards {
		s.LoadCard(v)
	}
	for _, v := range db.lists {
		s.LoadLocalList(v)
	}
	for _, v := range db.groups {
		if !v.Deleted {
			s.LoadGroup(v)
		}
	}
	for _, v := range db.members {
		s.LoadGroupMember(v)
	}
	s.LoadFence(db.fence)
	return s
}

// addToOutbox appends an event to the outbox.
func (db *database) addToOutbox(e *wire.CentralEvent, raw []byte) {
	db.lastRow++
	db.outbox = append(db.outbox, outboxRow{db.lastRow, wire.TopicCentralEvents, e.Key(), raw})
}

// ticketOf returns the ticket of a session.
func (db *database) ticketOf(id charge.SessionID) (ledger.Ticket, bool) {
	t, ok := db.tickets[ledger.TicketID(id)]
	return t, ok
}

// journalEnding returns a journal of a charging point whose last record has the
// hash; the smallest of several, so that the result does not depend on map order.
func (db *database) journalEnding(cp charge.CPID, hash string) (found charge.JournalID, ok bool) {
	for k, j := range db.journals {
		if k.cp == cp && j.Hash == hash && (!ok || k.j < found) {
			found, ok = k.j, true
		}
	}
	return found, ok
}

// billed returns a session of which a ticket bills energy between two registers.
func (db *database) billed(cp charge.CPID, id charge.ConnectorID, from, to charge.WattHours) (found charge.SessionID, ok bool) {
	for _, t := range db.tickets {
		if t.CPID == cp && bills(&t, id, from, to) && (!ok || t.SessionID < found) {
			found, ok = t.SessionID, true
		}
	}
	return found, ok
}

// bills reports whether a ticket bills energy of a connector between two registers.
func bills(t *ledger.Ticket, id charge.ConnectorID, from, to charge.WattHours) bool {
	return t.Connector == id && t.Stop > from && t.Start < to && t.Energy > 0
}
