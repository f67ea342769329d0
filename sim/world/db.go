package world

import (
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// rows is Central's database: what central/internal/store keeps, as maps of
// values. Values are never changed in place, so a copy of the maps is a backup.
type rows struct {
	points     map[charge.CPID]ledger.Point
	journals   map[journalKey]ledger.Journal
	connectors map[connectorKey]ledger.Connector
	meters     map[connectorKey]ledger.Meter
	sessions   map[charge.SessionID]ledger.Session
	tickets    map[string]ledger.Ticket
	holes      map[string]ledger.Hole
	alarms     map[string]ledger.Alarm
	records    map[recordKey]link
	applied    []recordKey // in the order of applying

	reservations map[charge.ReservationID]orders.Reservation
	wishes       map[wishKey]orders.Wish
	commands     map[charge.CommandID]orders.Command
	requests     map[orders.RequestKey]orders.Request
	fence        charge.Epoch

	outbox  []outgoing
	lastRow int64
	offsets map[part]place
	epoch   charge.Epoch
	dead    int
}

type journalKey struct {
	cp charge.CPID
	j  charge.JournalID
}

type connectorKey struct {
	journalKey
	id charge.ConnectorID
}

// ackKey is what one Central says of a journal.
type ackKey struct {
	journalKey
	central charge.Epoch
}

type recordKey struct {
	journalKey
	seq charge.Seq
}

// link is the hash of a record and the one it names of the record before it.
type link struct{ hash, prev string }

type wishKey struct {
	kind      orders.WishKind
	cp        charge.CPID
	connector charge.ConnectorID
	session   charge.SessionID
}

// outgoing is a row of the outbox.
type outgoing struct {
	id    int64
	topic string
	key   string
	value []byte
}

func newRows() *rows {
	return &rows{
		points: map[charge.CPID]ledger.Point{}, journals: map[journalKey]ledger.Journal{},
		connectors: map[connectorKey]ledger.Connector{}, meters: map[connectorKey]ledger.Meter{},
		sessions: map[charge.SessionID]ledger.Session{}, tickets: map[string]ledger.Ticket{}, holes: map[string]ledger.Hole{},
		alarms: map[string]ledger.Alarm{}, records: map[recordKey]link{},
		reservations: map[charge.ReservationID]orders.Reservation{}, wishes: map[wishKey]orders.Wish{},
		commands: map[charge.CommandID]orders.Command{}, requests: map[orders.RequestKey]orders.Request{}, offsets: map[part]place{},
	}
}

// backup is a copy as it is now.
func (r *rows) backup() *rows {
	c := *r
	c.points, c.journals, c.connectors, c.meters = maps.Clone(r.points), maps.Clone(r.journals), maps.Clone(r.connectors), maps.Clone(r.meters)
	c.sessions, c.tickets, c.holes, c.alarms = maps.Clone(r.sessions), maps.Clone(r.tickets), maps.Clone(r.holes), maps.Clone(r.alarms)
	c.records, c.applied = maps.Clone(r.records), slices.Clone(r.applied)
	c.reservations, c.wishes, c.commands = maps.Clone(r.reservations), maps.Clone(r.wishes), maps.Clone(r.commands)
	c.requests, c.offsets, c.outbox = maps.Clone(r.requests), maps.Clone(r.offsets), slices.Clone(r.outbox)
	return &c
}

// keep writes a change of the ledger.
func (r *rows) keep(c ledger.Change) {
	switch c := c.(type) {
	case ledger.PointChanged:
		r.points[c.Point.ID] = c.Point
	case ledger.JournalChanged:
		r.journals[journalKey{c.CPID, c.Journal.ID}] = c.Journal
	case ledger.ConnectorChanged:
		r.connectors[connectorKey{journalKey{c.CPID, c.Connector.Journal}, c.Connector.ID}] = c.Connector
	case ledger.BootForgotten:
		maps.DeleteFunc(r.connectors, func(k connectorKey, _ ledger.Connector) bool { return k.cp == c.CPID && k.j == c.Journal })
	case ledger.MeterChanged:
		r.meters[connectorKey{journalKey{cp: c.CPID}, c.Meter.Connector}] = c.Meter
	case ledger.SessionChanged:
		r.sessions[c.Session.ID] = c.Session
	case ledger.TicketMade:
		r.tickets[c.Ticket.ID] = c.Ticket
	case ledger.HoleChanged:
		r.holes[c.Hole.ID] = c.Hole
	case ledger.AlarmRaised:
		r.alarms[c.Alarm.ID] = c.Alarm
	}
}

// save writes an effect of orders that is a row.
func (r *rows) save(e orders.Effect) {
	switch e := e.(type) {
	case orders.SaveReservation:
		r.reservations[e.Reservation.ID] = e.Reservation
	case orders.SaveWish:
		w := e.Wish
		r.wishes[wishKey{w.Kind, w.CPID, w.Connector, w.SessionID}] = w
	case orders.SaveCommand:
		if e.Command.State.Open() {
			r.commands[e.Command.ID] = e.Command
		} else {
			delete(r.commands, e.Command.ID) // the product keeps it for its page
		}
	case orders.SaveRequest:
		r.requests[e.Request.Key()] = e.Request
	case orders.SaveFence:
		r.fence = e.By
	case orders.SendCommand, orders.Tell, orders.Refused, orders.Reply:
	}
}

// loadPoints makes the ledger's state of the rows.
func (r *rows) loadPoints() map[charge.CPID]*ledger.CP {
	cps := map[charge.CPID]*ledger.CP{}
	for id, p := range r.points {
		cp := ledger.NewCP(id)
		cp.Point = p
		cp.Faults = slices.Clone(p.Faults)
		cps[id] = cp
	}
	for k, j := range r.journals {
		j.Reported = slices.Clone(j.Reported)
		cps[k.cp].Journals[k.j] = &j
		cps[k.cp].Known += int64(j.Last)
	}
	for k, c := range r.connectors {
		c.Faults = slices.Clone(c.Faults)
		switch cp := cps[k.cp]; k.j {
		case cp.Present:
			cp.Connectors[k.id] = &c
		case cp.WaitingJournal:
			cp.Waiting[k.id] = &c
		}
	}
	for k, m := range r.meters {
		cps[k.cp].Meters[k.id] = &m
	}
	for id, s := range r.sessions {
		if s.State != ledger.SessionEnded {
			s.Spans = slices.Clone(s.Spans)
			cps[s.CPID].Sessions[id] = &s
		}
	}
	for id, h := range r.holes {
		if len(h.Missing)+len(h.Waiting) > 0 {
			h.Missing, h.Waiting = slices.Clone(h.Missing), slices.Clone(h.Waiting)
			cps[h.CPID].Holes[id] = &h
		}
	}
	return cps
}

// loadOrders makes the state of what is wanted of the rows.
func (r *rows) loadOrders(cfg orders.Config, self charge.Epoch, numbers orders.Numbers) *orders.State {
	s := orders.New(cfg, self, numbers)
	for _, v := range r.reservations {
		if !v.Gone {
			s.LoadReservation(v)
		}
	}
	for _, v := range r.wishes {
		if v.EndedAt == 0 {
			s.LoadWish(v)
		}
	}
	for _, v := range r.commands {
		s.LoadCommand(v)
	}
	for _, v := range r.requests {
		if v.Answer == nil && !v.Silent {
			s.LoadRequest(v)
		}
	}
	s.LoadFence(r.fence)
	return s
}

// post adds a row to the outbox.
func (r *rows) post(e *wire.CentralEvent, raw []byte) {
	r.lastRow++
	r.outbox = append(r.outbox, outgoing{r.lastRow, wire.TopicCentralEvents, e.Key(), raw})
}

// journalEnding finds a journal of a charging point whose last record has a hash.
func (r *rows) journalEnding(cp charge.CPID, hash string) (found charge.JournalID, ok bool) {
	for k, j := range r.journals {
		if k.cp == cp && j.Hash == hash && (!ok || k.j < found) {
			found, ok = k.j, true
		}
	}
	return found, ok
}

// billed finds a session whose ticket holds energy between two registers.
func (r *rows) billed(cp charge.CPID, id charge.ConnectorID, from, to charge.WattHours) (found charge.SessionID, ok bool) {
	for _, t := range r.tickets {
		if t.CPID == cp && bills(&t, id, from, to) && (!ok || t.SessionID < found) {
			found, ok = t.SessionID, true
		}
	}
	return found, ok
}

func bills(t *ledger.Ticket, id charge.ConnectorID, from, to charge.WattHours) bool {
	return t.Connector == id && t.Stop > from && t.Start < to && t.Energy > 0
}
