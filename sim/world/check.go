package world

import (
	"bytes"
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Tolerances of the checks: how long a rule may be broken because reactions need time.
const (
	// Power against a rule: 100 ms of detection, the time of the contact, and a tick.
	powerTolerance = 450 * time.Millisecond
	// A closed contactor after the death of its agent: the keeper's 800 ms, and the time of the contact.
	deadAgentTolerance = 1200 * time.Millisecond
	timerSlack         = 5 * time.Second // timers that fire late
	// An older Central beside a later one, on healthy lines.
	fenceWithin = 10 * time.Minute
)

// checkEvent runs the checks that apply after every event.
func (w *World) checkEvent() {
	w.checkFuse()
	for _, a := range w.agents {
		for _, o := range a.outlets {
			// Cheap first: most contactors are open at most events.
			if o.closed && !o.broken.welded {
				a.truth.checkPower(o)
			} else if len(a.truth.violatedSince) > 0 {
				delete(a.truth.violatedSince, o.id)
			}
		}
		if b := a.run; b != nil && b.ready {
			a.truth.checkState(b)
		}
	}
}

// checkPower: S1 and S2. A closed contactor needs a running agent, and everything
// that permits power: a vehicle that requests it, no fault, and a session. A
// welded contactor is exempt, since nothing can open it.
func (t *groundTruth) checkPower(o *outlet) {
	w, b := t.agent.w, t.agent.run
	if b == nil {
		if w.now-t.diedAt > deadAgentTolerance {
			w.violated("S2", "%s/%d is closed %s after its agent died", t.agent.id, o.id, w.now-t.diedAt)
		}
		return
	}
	why := ""
	switch {
	case !b.ready:
		why = "before the agent has read its journal"
	case !o.plugged:
		why = "without a vehicle"
	case !o.requesting || o.broken.pilot:
		why = "though the vehicle does not request power"
	case o.broken.tripped != "" || o.broken.pressed:
		why = "with a fault"
	case b.view.Connectors[o.id-1].Session.ID == "":
		why = "without a session"
	case b.view.Blocked:
		why = "though nothing can be recorded"
	}
	if why == "" {
		delete(t.violatedSince, o.id)
		return
	}
	// The rule may be broken for powerTolerance; an event is scheduled so that the check
	// runs again by then.
	since, was := t.violatedSince[o.id]
	if !was {
		t.violatedSince[o.id] = w.now
		w.after(powerTolerance+time.Millisecond, "check power", func() {})
	} else if w.now-since > powerTolerance {
		w.violated("S1", "%s/%d is closed %s for %s", t.agent.id, o.id, why, w.now-since)
	}
}

// checkClosing: S2. A contact that closes has an agent. One that was already moving
// when the agent died is opened soon.
func (w *World) checkClosing(o *outlet) {
	if o.agent.run == nil && !o.broken.welded && w.now-o.agent.truth.diedAt > deadAgentTolerance {
		w.violated("S2", "%s/%d closes without an agent", o.agent.id, o.id)
	}
}

// checkCommand: S1. A contactor is commanded to close only for a session whose
// grant is durable.
func (w *World) checkCommand(o *outlet) {
	id := o.agent.run.view.Connectors[o.id-1].Session.ID
	// A session that ended may be continued only if the record of its end was lost.
	if g := o.agent.truth.granted[id]; g == nil || g.ended && !o.agent.truth.storageLost {
		w.violated("S1", "%s/%d closes for session %q whose grant is not on disk", o.agent.id, o.id, id)
	}
}

// checkState: S10. An agent holds a reservation no longer than it may: by the
// monotonic clock always, and by the wall clock if no clock was wrong.
func (t *groundTruth) checkState(b *boot) {
	w := t.agent.w
	for i := range b.view.Connectors {
		c := &b.view.Connectors[i]
		r := &c.Reservation
		if r.ID == "" {
			continue
		}
		// The ground truth knows the reservation from its durable acceptance.
		h := t.held[c.ID]
		switch {
		case h == nil || h.id != r.ID || h.since > w.now:
		case w.now-h.since > max(h.life, connector.ClockWithin)+timerSlack:
			w.violated("S10", "%s/%d holds reservation %s for %s, which was to last %s", t.agent.id, c.ID, r.ID, w.now-h.since, h.life)
		case w.clocksRight && w.wall().Sub(r.Until) > 2*lineTimeout+timerSlack:
			w.violated("S10", "%s/%d holds reservation %s %s after its end", t.agent.id, c.ID, r.ID, w.wall().Sub(r.Until))
		}
	}
}

// checkAck: S6. An agent receives acknowledgements of nothing that no Central has.
func (w *World) checkAck(b *boot, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	if known := w.acked[journalKey{b.agent.id, *ack.Journal}]; ack.Seq > known {
		w.violated("S6", "%s receives an acknowledgement of %s/%d; Central has acknowledged %d", b.agent.id, *ack.Journal, ack.Seq, known)
	}
}

// checkAcking: S6. Central acknowledges only what is committed.
func (r *centralRun) checkAcking(cp charge.CPID, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	k := journalKey{cp, *ack.Journal}
	// Of the database, not of the state in memory.
	if has := r.central.db.journals[k].Last; ack.Seq > has {
		r.w.violated("S6", "Central acknowledges %s %s/%d, its database has %d", cp, k.j, ack.Seq, has)
	}
	r.w.acked[k] = max(r.w.acked[k], ack.Seq)
	by := ackKey{k, ack.Central}
	r.w.ackedBy[by] = max(r.w.ackedBy[by], ack.Seq)
}

// checkPosition: S6. An agent stores a position only if a Central has its record,
// or had it when it acknowledged it in that epoch. A Central that was restored
// since then corrects the position with a higher epoch.
func (w *World) checkPosition(b *boot, p delivery.Position) {
	k := recordKey{journalKey{b.agent.id, p.Journal}, p.Seq}
	if p.Journal == "" || w.ackedBy[ackKey{k.journalKey, p.Central}] >= p.Seq {
		return
	}
	if !w.inAnyDatabase(k) && !w.inAnyGap(k) {
		w.violated("S6", "%s stores %s/%d as acknowledged, which no Central has", b.agent.id, p.Journal, p.Seq)
	}
}

// inAnyGap reports whether any Central has passed a gap with the record.
func (w *World) inAnyGap(k recordKey) bool {
	for _, c := range w.centrals {
		if c.db.inGap(k) {
			return true
		}
	}
	return false
}

// checkRise: S14. The number of an epoch is at most the number of times that
// Centrals raised theirs: claims of charging points do not exhaust the numbers.
func (w *World) checkRise(r *centralRun) {
	w.epochsIssued++
	if most := firstEpochNumber + w.epochsIssued; r.epoch.Number > most {
		w.violated("S14", "a Central has the epoch number %d after %d epochs of all", r.epoch.Number, w.epochsIssued)
	}
}

// checkFenced: S14. An older Central publishes nothing once a later one has been
// active for fenceWithin, with healthy lines and Kafka up for as long.
func (r *centralRun) checkFenced(kind string) {
	for _, c := range r.w.centrals {
		x := c.run
		if x == nil || !x.active() || !r.epoch.Less(x.epoch) || x == r || r.w.now-x.activeSince < fenceWithin || r.w.now-r.activeSince < fenceWithin {
			continue
		}
		// With a broken line it cannot know of the later one.
		if r.central.line.carriedFor(fenceWithin) && x.central.line.carriedFor(fenceWithin) && r.w.now-r.w.kafka.upSince > fenceWithin {
			r.w.violated("S14", "an older Central publishes %s, and the later one has been active for %s", kind, r.w.now-x.activeSince)
		}
	}
}

// checkDeleted: S6. The journal deletes only records that a Central has, or that a
// restored Central has still to read in Kafka. It is called when the journal may have
// deleted some.
func (t *groundTruth) checkDeleted(b *boot) {
	held := b.log.Held()
	if len(held) == 0 {
		return
	}
	first := recordKey{journalKey{t.agent.id, held[0].Journal}, held[0].First}
	at := t.deleted
	// Everything before the first record that the journal still has was deleted.
	for at < len(t.order) && t.order[at] != first {
		at++
	}
	if at == len(t.order) { // a record of an uncertain append, or a disk that was rolled back
		return
	}
	for ; t.deleted < at; t.deleted++ {
		t.agent.w.stats.Deleted++
		k := t.order[t.deleted]
		if w := t.agent.w; !w.inAnyDatabase(k) && !t.storageLost && (!w.restored || !w.kafka.holds(k)) {
			t.agent.w.violated("S6", "%s deleted record %s/%d, which no Central has", t.agent.id, k.j, k.seq)
			return
		}
	}
}

// inAnyDatabase reports whether a record is in the database of any Central.
func (w *World) inAnyDatabase(k recordKey) bool {
	for _, c := range w.centrals {
		if _, ok := c.db.records[k]; ok {
			return true
		}
	}
	return false
}

// checkWrite checks a transaction against the database before it is written.
func (w *World) checkWrite(u *unit) {
	here := map[recordKey]bool{}
	for i := range u.applied {
		k := u.applied[i].key
		if _, twice := u.run.central.db.records[k]; twice || here[k] {
			w.violated("S9", "Central applies %s %s/%d twice", k.cp, k.j, k.seq)
		}
		here[k] = true
	}
	for _, c := range u.changes { // before the tickets, which may lack what is in a gap
		if h, ok := c.(ledger.GapChanged); ok && len(h.Gap.Missing) > 0 && h.Gap.DetectedAt == u.now {
			w.stats.Gaps++
			w.checkGap(&h.Gap)
		}
	}
	w.checkTickets(u)
	w.checkRows(u)
}

// checkTickets: S4 and S14. A session has at most one ticket, and one correction if
// it was settled; a ticket never changes, even in another database; together they
// bill at most what flowed.
func (w *World) checkTickets(u *unit) {
	for _, c := range u.changes {
		made, ok := c.(ledger.TicketMade)
		if !ok {
			continue
		}
		t := made.Ticket
		if _, twice := u.run.central.db.tickets[t.ID]; twice {
			w.violated("S4", "second ticket %s", t.ID)
		}
		// Its tickets may bill anything, but they reach drivers like all others.
		if w.byzantineOf(t.CPID) != nil {
			w.tickets[t.ID] = t
			continue
		}
		hidden := (t.AuthorizedAt == 0 || t.EndedAt == 0) && w.agentOf(t.CPID).truth.storageLost // its beginning or end is in a gap
		// A settlement that was made after the backup is lost with it: the session
		// continues, and is billed as if it had not been settled.
		hidden = hidden || w.settledOnce[t.SessionID] && w.restored
		if t.SettledAt != 0 {
			w.settledOnce[t.SessionID] = true
		}
		if was, ok := w.tickets[t.ID]; ok && was != t && !hidden && !t.Adopted {
			w.violated("S14", "ticket %s was %+v and is %+v", t.ID, was, t)
		}
		w.tickets[t.ID] = t
		a := w.agentOf(t.CPID)
		k := &a.truth
		o := a.outlets[t.Connector-1]
		// Closures that have ended, and the present one.
		flowed := k.energy[t.SessionID]
		if o.closed && o.closedFor == t.SessionID {
			flowed += o.register() - o.closedFrom
		}
		billed := t.Energy
		if t.Corrects != "" {
			first, _ := u.ticket(t.Corrects)
			if billed += first.Energy; first.SettledAt == 0 && !first.Adopted {
				w.violated("S4", "ticket %s corrects %s, which was not settled nor adopted", t.ID, t.Corrects)
			}
		}
		if billed > flowed && !k.meterInexact && !k.storageLost {
			w.violated("S4", "ticket %s bills %d Wh, %d flowed", t.ID, billed, flowed)
		}
	}
}

// checkCommit checks the database after each commit: S7 and S8 for the records, S3
// and S13 for what they changed.
func (w *World) checkCommit(r *centralRun, u *unit) {
	db := r.central.db
	for i := range u.applied {
		k := u.applied[i].key
		if !w.wasWritten(k, u.applied[i].hash) {
			w.violated("S7", "Central applied %s %s/%d, with bytes that were never written", k.cp, k.j, k.seq)
		}
		w.checkOrder(db, k)
	}
	for _, c := range u.changes {
		switch c := c.(type) {
		case ledger.SessionChanged:
			w.checkOpen(r, c.Session.CPID)
		case ledger.PointChanged:
			w.checkFork(&c.Point)
		default:
		}
	}
}

// checkFork: S13. Only a charging point that lost its storage may look like two devices.
func (w *World) checkFork(p *ledger.Point) {
	if a := w.agentOf(p.ID); a != nil && p.Forked() && !a.truth.storageLost {
		w.violated("S13", "%s is quarantined, and nothing was lost: %s", a.id, p.Fork)
	}
}

// wasWritten reports whether a charging point wrote a record with the hash.
func (w *World) wasWritten(k recordKey, hash string) bool {
	if b := w.byzantineOf(k.cp); b != nil {
		return slices.ContainsFunc(b.written[k], func(v nonsenseRecord) bool { return v.hash == hash })
	}
	return w.agentOf(k.cp).truth.records[k].matches(hash)
}

// matches reports whether the record was written with the hash; false if f is nil.
func (f *writtenRecord) matches(hash string) bool {
	if f == nil {
		return false
	}
	return f.hash == hash || slices.Contains(f.alternatives, hash)
}

// checkOrder: S8. An applied record follows one that is applied or in a gap.
func (w *World) checkOrder(db *database, k recordKey) {
	if k.seq == 1 {
		return
	}
	before := recordKey{k.journalKey, k.seq - 1}
	if _, ok := db.records[before]; ok || db.inGap(before) {
		return
	}
	w.violated("S8", "Central applied %s %s/%d, and the record before it is neither applied nor in a gap", k.cp, k.j, k.seq)
}

// inGap reports whether a record is, or was, in a gap.
func (db *database) inGap(k recordKey) bool {
	for _, h := range db.gaps {
		if h.CPID == k.cp && h.Journal == k.j && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return true
		}
	}
	return false
}

// checkGap: S8. A gap is passed only if its records can never come.
func (w *World) checkGap(h *ledger.Gap) {
	if w.byzantineOf(h.CPID) != nil {
		return
	}
	k := &w.agentOf(h.CPID).truth
	if k.storageLost {
		return
	}
	// Only a database had the records, and a backup replaced it. Records that Kafka
	// kept from behind a loss do not help: their predecessors are unknown.
	if k.deletedAll(h) && (w.kafka.lostRecords || !w.kafka.holdsFirstOf(h)) {
		k.storageLost = true
		return
	}
	w.violated("S8", "Central passed records %d to %d of %s %s as %s, and nothing was lost", h.First, h.Last, h.CPID, h.Journal, h.Cause)
}

// checkOpen: S3. A connector has at most one open session at Central.
func (w *World) checkOpen(r *centralRun, id charge.CPID) {
	open := map[charge.ConnectorID]charge.SessionID{}
	for sid, s := range r.cps[id].Sessions {
		if s.State != ledger.SessionOpen {
			continue
		}
		if other := open[s.Connector]; other != "" {
			w.violated("S3", "Central has sessions %s and %s open at %s/%d", min(other, sid), max(other, sid), id, s.Connector)
		}
		open[s.Connector] = sid
	}
}

// checkShown: S10. Nothing is shown as reserved after the end of the reservation.
func (w *World) checkShown(r *centralRun) {
	now := r.central.now()
	for _, k := range sortedKeys(r.cps) {
		cp := r.cps[k]
		for _, id := range sortedKeys(cp.Connectors) {
			c := cp.Connectors[id]
			if r.shown(cp, id, now) == charge.StatusReserved && now > c.Held.Until {
				w.violated("S10", "Central shows %s/%d as reserved after the end of the reservation", cp.ID, id)
			}
		}
	}
}

// shown returns the status that the page shows.
func (r *centralRun) shown(cp *ledger.CP, id charge.ConnectorID, now charge.Time) charge.Status {
	if r.w.bug(BugStoredStatus) {
		return r.storedStatuses[connectorKey{journalKey{cp: cp.ID}, id}]
	}
	return cp.Status(id, now)
}

// checkAnswer: S9. A repeat of a request gets the same answer.
func (w *World) checkAnswer(e *wire.CentralEvent) {
	was, known := w.answers[e.EventID]
	switch {
	case !known:
		w.answers[e.EventID] = e.ReservationID
	case was != e.ReservationID && !w.answersMayDiffer:
		w.violated("S9", "request %s is answered with reservation %q, and again with %q", e.MessageID, was, e.ReservationID)
	}
}

// checkBilledAgain: S4. A Central publishes no ticket that Kafka holds with another
// bill: a restored one reads what earlier ones have published.
func (w *World) checkBilledAgain(m *message) {
	e, err := wire.DecodeCentralEvent(m.value)
	t, ok := orders.PublishedTicket(&e)
	if err != nil || !ok {
		return
	}
	for n := range w.kafka.partitions {
		for _, before := range w.kafka.log(partition{wire.TopicCentralEvents, n}).messages {
			if !bytes.Contains(before.value, []byte(t.ID)) {
				continue
			}
			if b, err := wire.DecodeCentralEvent(before.value); err == nil && b.EventID == t.ID {
				if was, _ := orders.PublishedTicket(&b); was.Energy != t.Energy || was.Cost != t.Cost || was.DurationSec != t.DurationSec || was.Username != t.Username {
					w.violated("S4", "ticket %s is published with %d Wh, %s and %d s, and was with %d Wh, %s and %d s",
						t.ID, t.Energy, t.Cost, t.DurationSec, was.Energy, was.Cost, was.DurationSec)
				}
			}
		}
	}
}

// checkPublishedTicket: S4. A ticket that a driver receives is in a database.
func (w *World) checkPublishedTicket(e *wire.CentralEvent) {
	t, ok := w.tickets[e.EventID]
	if ok && w.byzantineOf(t.CPID) != nil {
		return
	}
	if !ok || e.EnergyKWh == nil || charge.WattHours(*e.EnergyKWh) != t.Energy {
		w.violated("S4", "a driver receives ticket %s, which no database has", e.EventID)
	}
}
