package world

import (
	"iter"
	"maps"
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// unit is one transaction in the making. It is the view that orders has of the
// ledger; look-ups see its rows over those of the database.
type unit struct {
	run    *centralRun
	now    charge.Time
	env    ledger.Env
	cp     charge.CPID
	inputs []input

	changes       []ledger.Change
	effects       []orders.Effect
	applied       []appliedRecord
	offsets       map[partition]cursor
	events        []wire.CentralEvent
	publishedRows []int64
	deadLetters   int
	sessions      map[charge.SessionID]ledger.Session
	links         map[recordKey]chainLink
	reservations  map[charge.ReservationID]orders.Reservation
	requests      map[orders.RequestKey]orders.Request

	acks         []journalKey
	commands     []wire.Command
	fenceChecked bool // it was judged who is fenced
	replies      []func()
	accepted     []func()
	reply        *orders.Reply
}

// appliedRecord is a record that the ledger took in.
type appliedRecord struct {
	key recordKey
	raw []byte
	chainLink
}

func (r *centralRun) newUnit() *unit {
	u := &unit{
		run: r, now: r.central.now(), offsets: map[partition]cursor{}, sessions: map[charge.SessionID]ledger.Session{}, links: map[recordKey]chainLink{},
		reservations: map[charge.ReservationID]orders.Reservation{}, requests: map[orders.RequestKey]orders.Request{},
	}
	t := tariff()
	u.env = ledger.Env{
		Now: u.now, Central: r.epoch, Active: r.active(), Default: t, AdmitNew: true, Session: u.Session, Ticket: u.ticket, HashOf: u.hashOf,
		Journal: u.journal, KeepJournals: 1, JournalEnding: u.journalEnding, PrevOf: u.prevOf, Billed: u.billed,
		Tariff: func(v charge.TariffVersion) (ledger.Tariff, bool) { return t, v == t.Version },
	}
	if r.w.bug(BugForeignSession) {
		u.env.Session = u.ownSession
	}
	return u
}

func (u *unit) moment() orders.Now {
	return orders.Now{At: u.now, IDs: func() string { return u.run.central.rng.newID(u.now) }}
}

func (u *unit) chargingPoint(id charge.CPID) *ledger.CP {
	cp := u.run.cps[id]
	if cp == nil {
		cp = ledger.NewCP(id)
		u.run.cps[id] = cp
	}
	u.cp = id
	return cp
}

func (u *unit) addChanges(changes []ledger.Change) {
	for _, c := range changes {
		if s, ok := c.(ledger.SessionChanged); ok {
			u.sessions[s.Session.ID] = s.Session
		}
	}
	u.changes = append(u.changes, changes...)
}

// step gives an event to orders and takes its effects.
func (u *unit) step(e orders.Event) {
	for _, f := range orders.Step(u.run.orders, u, e) {
		switch f := f.(type) {
		case orders.SendCommand:
			u.commands = append(u.commands, f.Command)
			continue
		case orders.PublishEvent:
			u.events = append(u.events, f.Event)
			continue
		case orders.CountRefusal:
			continue
		case orders.Reply:
			if u.reply != nil {
				*u.reply = f
			}
			continue
		case orders.SaveReservation:
			u.reservations[f.Reservation.ID] = f.Reservation
		case orders.SaveRequest:
			u.requests[f.Request.Key()] = f.Request
		case orders.SaveFence:
			u.fenceChecked = true
		case orders.SaveDesired, orders.SaveCommand:
		}
		u.effects = append(u.effects, f)
	}
}

func (u *unit) empty() bool {
	return len(u.changes)+len(u.effects)+len(u.applied)+len(u.offsets)+len(u.events)+len(u.publishedRows)+u.deadLetters == 0
}

// write is the transaction.
func (u *unit) write() {
	db := u.run.central.db
	u.run.w.checkWrite(u)
	for _, c := range u.changes {
		db.saveChange(c)
	}
	for _, e := range u.effects {
		db.saveEffect(e)
	}
	for _, a := range u.applied {
		db.records[a.key] = a.chainLink
		db.applied = append(db.applied, a.key)
	}
	for i := range u.events {
		raw, err := u.events[i].Encode()
		if err != nil {
			u.run.w.violated("shell", "cannot tell %s: %v", u.events[i].EventType, err)
			return
		}
		db.addToOutbox(&u.events[i], raw)
	}
	db.deleteFromOutbox(u.publishedRows)
	db.deadLetters += u.deadLetters
	u.placeOffsets()
}

func (u *unit) placeOffsets() { maps.Copy(u.run.central.db.offsets, u.offsets) }

// readsTopic reports whether something of a topic is in the unit.
func (u *unit) readsTopic(topic string) bool {
	for _, in := range u.inputs {
		if b, ok := in.(*batchInput); ok && b.batch.topic == topic {
			return true
		}
	}
	return false
}

// deleteFromOutbox deletes rows of the outbox.
func (db *database) deleteFromOutbox(ids []int64) {
	if len(ids) == 0 {
		return
	}
	gone := map[int64]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	var rest []outboxRow
	for _, o := range db.outbox {
		if !gone[o.id] {
			rest = append(rest, o)
		}
	}
	db.outbox = rest
}

// refuseOperators answers operators that nothing happened and leaves the rest.
func refuseOperators(inputs []input) []input {
	var rest []input
	for _, in := range inputs {
		if a, ok := in.(*operatorInput); ok {
			a.answer(orders.Reply{Refused: "storage"})
			continue
		}
		rest = append(rest, in)
	}
	return rest
}

// CP implements orders.View.
func (u *unit) CP(id charge.CPID) *ledger.CP { return u.run.cps[id] }

// CPs implements orders.View.
func (u *unit) CPs() iter.Seq[*ledger.CP] { return maps.Values(u.run.cps) }

// Liveness implements orders.View.
func (u *unit) Liveness(id charge.CPID, now charge.Time) ledger.Liveness {
	link, since := u.run.live.of(id, now)
	return ledger.OrderLiveness(link, since, now)
}

// Session implements orders.View.
func (u *unit) Session(id charge.SessionID) (ledger.Session, bool) {
	if s, ok := u.sessions[id]; ok {
		return s, true
	}
	s, ok := u.run.central.db.sessions[id]
	return s, ok
}

func (u *unit) ticket(id string) (ledger.Ticket, bool) {
	for _, c := range u.changes {
		if made, ok := c.(ledger.TicketMade); ok && made.Ticket.ID == id {
			return made.Ticket, true
		}
	}
	t, ok := u.run.central.db.tickets[id]
	return t, ok
}

// Reservation implements orders.View.
func (u *unit) Reservation(id charge.ReservationID) (orders.Reservation, bool) {
	if v, ok := u.reservations[id]; ok {
		return v, true
	}
	v, ok := u.run.central.db.reservations[id]
	return v, ok
}

// Command implements orders.View.
func (u *unit) Command(id charge.CommandID) (orders.Command, bool) {
	v, ok := u.run.central.db.commands[id]
	return v, ok
}

func (u *unit) request(k orders.RequestKey) (orders.Request, bool) {
	if v, ok := u.requests[k]; ok {
		return v, true
	}
	v, ok := u.run.central.db.requests[k]
	return v, ok
}

func (u *unit) journal(id charge.JournalID) (ledger.Journal, bool) {
	for _, change := range slices.Backward(u.changes) {
		if c, ok := change.(ledger.JournalChanged); ok && c.CPID == u.cp && c.Journal.ID == id {
			return c.Journal, true
		}
	}
	j, ok := u.run.central.db.journals[journalKey{u.cp, id}]
	return j, ok
}

func (u *unit) linkOf(j charge.JournalID, seq charge.Seq) (chainLink, bool) {
	k := recordKey{journalKey{u.cp, j}, seq}
	if l, ok := u.links[k]; ok {
		return l, true
	}
	l, ok := u.run.central.db.records[k]
	return l, ok
}

func (u *unit) hashOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := u.linkOf(j, seq)
	return l.hash, ok
}

func (u *unit) prevOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := u.linkOf(j, seq)
	return l.prev, ok
}

func (u *unit) journalEnding(hash string) (charge.JournalID, bool) {
	for _, change := range slices.Backward(u.changes) {
		if c, ok := change.(ledger.JournalChanged); ok && c.CPID == u.cp && c.Journal.Hash == hash {
			return c.Journal.ID, true
		}
	}
	return u.run.central.db.journalEnding(u.cp, hash)
}

func (u *unit) billed(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
	for _, change := range u.changes {
		if c, ok := change.(ledger.TicketMade); ok && c.Ticket.CPID == u.cp && bills(&c.Ticket, id, from, to) {
			return c.Ticket.SessionID, true
		}
	}
	return u.run.central.db.billed(u.cp, id, from, to)
}
