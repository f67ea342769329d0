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

// unit is one transaction that is being built: the changes of all inputs that are
// applied together. It implements orders.View; look-ups see its own rows before
// those of the database.
type unit struct {
	run *centralRun
	now charge.Time // one time for all inputs
	env ledger.Env
	// The charging point whose message is being applied.
	cp charge.CPID
	// To apply them again when the commit is refused.
	inputs []input

	// Rows to write.
	changes       []ledger.Change
	effects       []orders.Effect
	applied       []appliedRecord
	offsets       map[partition]cursor
	events        []wire.CentralEvent // for the outbox
	publishedRows []int64             // to delete from the outbox
	deadLetters   int

	// Rows of this unit that a later input of the same unit may look up.
	sessions     map[charge.SessionID]ledger.Session
	links        map[recordKey]chainLink
	reservations map[charge.ReservationID]orders.Reservation
	requests     map[orders.RequestKey]orders.Request

	// What to do after the commit, see centralRun.release.
	acks         []journalKey
	commands     []wire.Command
	fenceChecked bool     // orders decided about the fence
	replies      []func() // to operators
	accepted     []func()
	// Receives the reply to the operator's request that is being applied.
	reply *orders.Reply
}

// appliedRecord is a record that the ledger applied.
type appliedRecord struct {
	key recordKey
	chainLink
}

// newUnit starts a transaction at the present time of Central's clock.
func (r *centralRun) newUnit() *unit {
	u := &unit{
		run: r, now: r.central.now(), offsets: map[partition]cursor{}, sessions: map[charge.SessionID]ledger.Session{}, links: map[recordKey]chainLink{},
		reservations: map[charge.ReservationID]orders.Reservation{}, requests: map[orders.RequestKey]orders.Request{},
	}
	t := tariff()
	u.env = ledger.Env{
		// KeepJournals is 1, so that old journals leave memory and are looked up in the
		// database.
		Now: u.now, Central: r.epoch, Active: r.active(), Default: t, AdmitNew: true, Session: u.Session, Ticket: u.ticket, Published: u.published, HashOf: u.hashOf,
		Journal: u.journal, KeepJournals: 1, JournalEnding: u.journalEnding, PrevOf: u.prevOf, Billed: u.billed,
		Tariff:  func(v charge.TariffVersion) (ledger.Tariff, bool) { return t, v == t.Version },
		LogRead: func() bool { return r.logReads.Covers(u.cp) },
	}
	if r.w.bug(BugForeignSession) {
		u.env.Session = u.ownSession
	}
	return u
}

// moment is the present for an event of orders, with a source of ids.
func (u *unit) moment() orders.Now {
	return orders.Now{At: u.now, IDs: func() string { return u.run.central.rng.newID(u.now) }}
}

// chargingPoint returns the ledger's state of a charging point, which is new if it
// was never received, and makes it the one that look-ups concern.
func (u *unit) chargingPoint(id charge.CPID) *ledger.CP {
	cp := u.run.cps[id]
	// The state is changed before the commit; a refused commit loads it again.
	if cp == nil {
		cp = ledger.NewCP(id)
		u.run.cps[id] = cp
	}
	u.cp = id
	return cp
}

// addChanges adds changes of the ledger.
func (u *unit) addChanges(changes []ledger.Change) {
	for _, c := range changes {
		// A later record of the same transaction may concern the session.
		if s, ok := c.(ledger.SessionChanged); ok {
			u.sessions[s.Session.ID] = s.Session
		}
	}
	u.changes = append(u.changes, changes...)
}

// step passes an event to orders, and collects the effects: rows, and what to
// publish after the commit.
func (u *unit) step(e orders.Event) {
	// Effects that are not rows wait for the commit.
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
			// Several inputs may reply in one unit; each operator gets the reply to its
			// own.
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
		case orders.SaveDesired, orders.SaveCommand, orders.SaveCard, orders.SaveLocalList, orders.SaveGroup, orders.SaveGroupMember:
		}
		u.effects = append(u.effects, f)
	}
}

// empty reports whether there is nothing to write.
func (u *unit) empty() bool {
	return len(u.changes)+len(u.effects)+len(u.applied)+len(u.offsets)+len(u.events)+len(u.publishedRows)+u.deadLetters == 0
}

// write writes all rows; it stands for the transaction.
func (u *unit) write() {
	db := u.run.central.db
	// Before the rows change: the checks compare with what was there.
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
	// Events are rows of the same transaction, so that none is published that is not
	// true, and none is lost.
	for i := range u.events {
		raw, err := u.events[i].Encode()
		if err != nil {
			u.run.w.violated("shell", "%s cannot be encoded: %v", u.events[i].EventType, err)
			return
		}
		db.addToOutbox(&u.events[i], raw)
	}
	db.deleteFromOutbox(u.publishedRows)
	db.deadLetters += u.deadLetters
	u.placeOffsets()
}

// placeOffsets writes the offsets.
func (u *unit) placeOffsets() { maps.Copy(u.run.central.db.offsets, u.offsets) }

// readsTopic reports whether a batch of the topic is in the unit.
func (u *unit) readsTopic(topic string) bool {
	for _, in := range u.inputs {
		if b, ok := in.(*batchInput); ok && b.batch.topic == topic {
			return true
		}
	}
	return false
}

// deleteFromOutbox deletes rows that Kafka has.
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

// refuseOperators answers requests of operators with a refusal, and returns all
// other inputs. An operator sees at once that nothing happened, and can retry.
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

// TariffOf implements orders.View.
func (*unit) TariffOf(charge.TariffVersion, charge.Time) ledger.Tariff { return tariff() }

// Running implements orders.View, without telemetry.
func (*unit) Running(s *ledger.Session) ledger.Usage { return s.Usage() }

// Session implements orders.View.
func (u *unit) Session(id charge.SessionID) (ledger.Session, bool) {
	if s, ok := u.sessions[id]; ok {
		return s, true
	}
	s, ok := u.run.central.db.sessions[id]
	return s, ok
}

// ticket looks up a ticket; it implements ledger.Env, as do the methods below.
func (u *unit) ticket(id string) (ledger.Ticket, bool) {
	for _, c := range u.changes {
		if made, ok := c.(ledger.TicketMade); ok && made.Ticket.ID == id {
			return made.Ticket, true
		}
	}
	t, ok := u.run.central.db.tickets[id]
	return t, ok
}

// published looks up a published ticket that the database lacks.
func (u *unit) published(id string) (ledger.Ticket, bool) {
	for _, c := range u.changes {
		if p, ok := c.(ledger.TicketPublished); ok && p.Ticket.ID == id {
			return p.Ticket, true
		}
	}
	t, ok := u.run.central.db.published[id]
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

// request looks up a driver's request.
func (u *unit) request(k orders.RequestKey) (orders.Request, bool) {
	if v, ok := u.requests[k]; ok {
		return v, true
	}
	v, ok := u.run.central.db.requests[k]
	return v, ok
}

// journal looks up a journal of the present charging point.
func (u *unit) journal(id charge.JournalID) (ledger.Journal, bool) {
	for _, change := range slices.Backward(u.changes) {
		if c, ok := change.(ledger.JournalChanged); ok && c.CPID == u.cp && c.Journal.ID == id {
			return c.Journal, true
		}
	}
	j, ok := u.run.central.db.journals[journalKey{u.cp, id}]
	return j, ok
}

// linkOf looks up the hashes of a record of the present charging point.
func (u *unit) linkOf(j charge.JournalID, seq charge.Seq) (chainLink, bool) {
	k := recordKey{journalKey{u.cp, j}, seq}
	if l, ok := u.links[k]; ok {
		return l, true
	}
	l, ok := u.run.central.db.records[k]
	return l, ok
}

// hashOf looks up the hash of an applied record.
func (u *unit) hashOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := u.linkOf(j, seq)
	return l.hash, ok
}

// prevOf looks up the hash of the predecessor that an applied record names.
func (u *unit) prevOf(j charge.JournalID, seq charge.Seq) (string, bool) {
	l, ok := u.linkOf(j, seq)
	return l.prev, ok
}

// journalEnding looks up the journal whose last record has a hash.
func (u *unit) journalEnding(hash string) (charge.JournalID, bool) {
	for _, change := range slices.Backward(u.changes) {
		if c, ok := change.(ledger.JournalChanged); ok && c.CPID == u.cp && c.Journal.Hash == hash {
			return c.Journal.ID, true
		}
	}
	return u.run.central.db.journalEnding(u.cp, hash)
}

// billed looks up a session that bills energy between two registers of a connector.
func (u *unit) billed(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool) {
	for _, change := range u.changes {
		if c, ok := change.(ledger.TicketMade); ok && c.Ticket.CPID == u.cp && bills(&c.Ticket, id, from, to) {
			return c.Ticket.SessionID, true
		}
	}
	return u.run.central.db.billed(u.cp, id, from, to)
}
