package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Tolerances of the checkers.
const (
	powerTolerance     = 450 * time.Millisecond  // power against a rule: 100 ms to see it, the contact's way, and a tick
	deadAgentTolerance = 1200 * time.Millisecond // a contactor after its agent died
	timerSlack         = 5 * time.Second         // of timers
	fenceWithin        = 10 * time.Minute        // an older Central beside a later one
)

// checkEvent is what must hold after every event.
func (w *World) checkEvent() {
	for _, a := range w.agents {
		for _, o := range a.outlets {
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

// checkPower: S1 no power without right, S2 none without an agent, V4 none
// without a vehicle.
func (t *groundTruth) checkPower(o *outlet) {
	w, b := t.agent.w, t.agent.run
	if b == nil {
		if w.now-t.diedAt > deadAgentTolerance {
			w.violated("S2", "%s/%d is closed %s after its agent died", t.agent.id, o.id, w.now-t.diedAt)
		}
		return
	}
	why := ""
	switch m := b.machines[o.id-1]; {
	case !b.ready:
		why = "before the agent has read its journal"
	case !o.plugged:
		why = "without a vehicle"
	case !o.requesting || o.broken.pilot:
		why = "though the vehicle does not ask"
	case o.broken.tripped != "" || o.broken.pressed:
		why = "with a fault"
	case m.state.Session.ID == "":
		why = "without a session"
	case b.blocked:
		why = "though nothing can be written down"
	}
	if why == "" {
		delete(t.violatedSince, o.id)
		return
	}
	since, was := t.violatedSince[o.id]
	if !was {
		t.violatedSince[o.id] = w.now
		w.after(powerTolerance+time.Millisecond, "looked at", func() {})
	} else if w.now-since > powerTolerance {
		w.violated("S1", "%s/%d is closed %s for %s", t.agent.id, o.id, why, w.now-since)
	}
}

// checkClosing: S2 a contact that closes has an agent; one that was on its way
// when the agent died is opened soon.
func (w *World) checkClosing(o *outlet) {
	if o.agent.run == nil && !o.broken.welded && w.now-o.agent.truth.diedAt > deadAgentTolerance {
		w.violated("S2", "%s/%d closes without an agent", o.agent.id, o.id)
	}
}

// checkCommand: S1 a contactor is told to close for a session whose grant is on
// disk.
func (w *World) checkCommand(o *outlet) {
	id := o.agent.run.machines[o.id-1].state.Session.ID
	if g := o.agent.truth.granted[id]; g == nil || g.ended && !o.agent.truth.storageLost {
		w.violated("S1", "%s/%d closes for session %q whose grant is not on disk", o.agent.id, o.id, id)
	}
}

// checkState: S10 a reservation ends.
func (t *groundTruth) checkState(b *boot) {
	w := t.agent.w
	for _, m := range b.machines {
		r := &m.state.Reservation
		if r.ID == "" {
			continue
		}
		h := t.held[m.outlet.id]
		switch {
		case h == nil || h.id != r.ID || h.since > w.now:
		case w.now-h.since > max(h.life, connector.ClockWithin)+timerSlack:
			w.violated("S10", "%s/%d holds reservation %s for %s, which was to last %s", t.agent.id, m.outlet.id, r.ID, w.now-h.since, h.life)
		case w.clocksRight && w.wall().Sub(r.Until) > 2*lineTimeout+timerSlack:
			w.violated("S10", "%s/%d holds reservation %s %s after its end", t.agent.id, m.outlet.id, r.ID, w.wall().Sub(r.Until))
		}
	}
}

// checkAck: an agent hears of nothing that no Central has.
func (w *World) checkAck(b *boot, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	if known := w.acked[journalKey{b.agent.id, *ack.Journal}]; ack.Seq > known {
		w.violated("S6", "%s hears that Central has %s/%d; it has %d", b.agent.id, *ack.Journal, ack.Seq, known)
	}
}

// checkAcking: an acknowledgement leaves only after the commit.
func (r *centralRun) checkAcking(cp charge.CPID, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	k := journalKey{cp, *ack.Journal}
	if has := r.central.db.journals[k].Last; ack.Seq > has {
		r.w.violated("S6", "Central acknowledges %s %s/%d, its database has %d", cp, k.j, ack.Seq, has)
	}
	r.w.acked[k] = max(r.w.acked[k], ack.Seq)
	by := ackKey{k, ack.Central}
	r.w.ackedBy[by] = max(r.w.ackedBy[by], ack.Seq)
}

// checkPosition: an agent remembers as acknowledged only what a Central has, or
// had in the life that said so: the next one corrects it.
func (w *World) checkPosition(b *boot, p delivery.Position) {
	k := recordKey{journalKey{b.agent.id, p.Journal}, p.Seq}
	if p.Journal == "" || w.ackedBy[ackKey{k.journalKey, p.Central}] >= p.Seq {
		return
	}
	if !w.inAnyDatabase(k) && !w.inAnyGap(k) {
		w.violated("S6", "%s takes %s/%d as acknowledged, which no Central has", b.agent.id, p.Journal, p.Seq)
	}
}

// inAnyGap reports whether a record is in a hole.
func (w *World) inAnyGap(k recordKey) bool {
	for _, c := range w.centrals {
		if c.db.inGap(k) {
			return true
		}
	}
	return false
}

// checkRise: S14 no number is higher than how often Centrals took one: what
// charging points claim does not use them up.
func (w *World) checkRise(r *centralRun) {
	w.epochsIssued++
	if most := firstEpochNumber + w.epochsIssued; r.epoch.Number > most {
		w.violated("S14", "a Central has the number %d after %d starts of all", r.epoch.Number, w.epochsIssued)
	}
}

// checkFenced: S14 an older Central falls silent when a later one speaks.
func (r *centralRun) checkFenced(kind string) {
	for _, c := range r.w.centrals {
		x := c.run
		if x == nil || !x.active() || !r.epoch.Less(x.epoch) || x == r || r.w.now-x.activeSince < fenceWithin || r.w.now-r.activeSince < fenceWithin {
			continue
		}
		if r.central.line.carriedFor(fenceWithin) && x.central.line.carriedFor(fenceWithin) && r.w.now-r.w.kafka.upSince > fenceWithin {
			r.w.violated("S14", "an older Central says %s, and the later one has been active for %s", kind, r.w.now-x.activeSince)
		}
	}
}

// checkDeleted checks S6 for the records that the journal deleted.
func (t *groundTruth) checkDeleted(b *boot) {
	held := b.log.Held()
	if len(held) == 0 {
		return
	}
	first := recordKey{journalKey{t.agent.id, held[0].Journal}, held[0].First}
	at := t.deleted
	for at < len(t.order) && t.order[at] != first {
		at++
	}
	if at == len(t.order) { // a record that was never announced, or storage that was set back
		return
	}
	for ; t.deleted < at; t.deleted++ {
		t.agent.w.stats.Deleted++
		k := t.order[t.deleted]
		if !t.agent.w.inAnyDatabase(k) && !t.storageLost {
			t.agent.w.violated("S6", "%s forgot record %s/%d, which no Central has", t.agent.id, k.j, k.seq)
			return
		}
	}
}

// inAnyDatabase reports whether a record is in the database of the latest Central, or in
// a hole of it.
func (w *World) inAnyDatabase(k recordKey) bool {
	for _, c := range w.centrals {
		if _, ok := c.db.records[k]; ok {
			return true
		}
	}
	return false
}

// checkWrite looks at a transaction beside what is there.
func (w *World) checkWrite(u *unit) {
	here := map[recordKey]bool{}
	for i := range u.applied {
		k := u.applied[i].key
		if _, twice := u.run.central.db.records[k]; twice || here[k] {
			w.violated("S9", "Central applies %s %s/%d twice", k.cp, k.j, k.seq)
		}
		here[k] = true
	}
	for _, c := range u.changes { // before the tickets: what is in a hole shows in them
		if h, ok := c.(ledger.GapChanged); ok && len(h.Gap.Missing) > 0 && h.Gap.DetectedAt == u.now {
			w.stats.Gaps++
			w.checkGap(&h.Gap)
		}
	}
	w.checkTickets(u)
	w.checkRows(u)
}

// checkTickets: S4 at most one ticket per session and one correction of a settled
// one, for ever the same, together never for more than flowed.
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
		if w.byzantineOf(t.CPID) != nil {
			w.tickets[t.ID] = t
			continue
		}
		hidden := (t.AuthorizedAt == 0 || t.EndedAt == 0) && w.agentOf(t.CPID).truth.storageLost // its beginning or end, in a hole
		// A settlement that was made after the backup is lost with it: the session
		// goes on, and is billed as if nobody had settled it.
		hidden = hidden || w.settledOnce[t.SessionID] && w.restored
		if t.SettledAt != 0 {
			w.settledOnce[t.SessionID] = true
		}
		if was, ok := w.tickets[t.ID]; ok && was != t && !hidden {
			w.violated("S14", "ticket %s was %+v and is %+v", t.ID, was, t)
		}
		w.tickets[t.ID] = t
		a := w.agentOf(t.CPID)
		k := &a.truth
		o := a.outlets[t.Connector-1]
		flowed := k.energy[t.SessionID]
		if o.closed && o.closedFor == t.SessionID {
			flowed += o.register() - o.closedFrom
		}
		billed := t.Energy
		if t.Corrects != "" {
			first, _ := u.ticket(t.Corrects)
			if billed += first.Energy; first.SettledAt == 0 {
				w.violated("S4", "ticket %s corrects %s, which no operator settled", t.ID, t.Corrects)
			}
		}
		if billed > flowed && !k.meterInexact && !k.storageLost {
			w.violated("S4", "ticket %s bills %d Wh, %d flowed", t.ID, billed, flowed)
		}
	}
}

// checkCommit is what must hold of the database after each commit.
func (w *World) checkCommit(r *centralRun, u *unit) {
	db := r.central.db
	for i := range u.applied {
		k := u.applied[i].key
		if !w.wasWritten(k, u.applied[i].hash) {
			w.violated("S7", "Central applied %s %s/%d, which was never written so", k.cp, k.j, k.seq)
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

// checkFork: S13 only what lost its storage may look like two boxes.
func (w *World) checkFork(p *ledger.Point) {
	if a := w.agentOf(p.ID); a != nil && p.Forked() && !a.truth.storageLost {
		w.violated("S13", "%s is quarantined, and nothing was lost: %s", a.id, p.ForkReason)
	}
}

// wasWritten reports whether a charging point wrote a record so.
func (w *World) wasWritten(k recordKey, hash string) bool {
	if b := w.byzantineOf(k.cp); b != nil {
		return slices.ContainsFunc(b.written[k], func(v nonsenseRecord) bool { return v.hash == hash })
	}
	return w.agentOf(k.cp).truth.records[k].matches(hash)
}

func (f *writtenRecord) matches(hash string) bool {
	if f == nil {
		return false
	}
	return f.hash == hash || slices.Contains(f.alternatives, hash)
}

// checkOrder: S8 what is applied follows what is known.
func (w *World) checkOrder(db *database, k recordKey) {
	if k.seq == 1 {
		return
	}
	before := recordKey{k.journalKey, k.seq - 1}
	if _, ok := db.records[before]; ok || db.inGap(before) {
		return
	}
	w.violated("S8", "Central applied %s %s/%d, and the record before it is neither known nor in a hole", k.cp, k.j, k.seq)
}

// inGap reports whether a record is, or was, in a hole.
func (db *database) inGap(k recordKey) bool {
	for _, h := range db.gaps {
		if h.CPID == k.cp && h.Journal == k.j && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return true
		}
	}
	return false
}

// checkGap: nothing is passed that can still come.
func (w *World) checkGap(h *ledger.Gap) {
	if w.byzantineOf(h.CPID) != nil {
		return
	}
	k := &w.agentOf(h.CPID).truth
	if k.storageLost {
		return
	}
	// Only a database had it, and a backup was put in its place. What Kafka has
	// behind a loss of its own does not help: nobody can say what it follows.
	if k.deletedAll(h) && (w.kafka.lostRecords || !w.kafka.holdsAnyOf(h)) {
		k.storageLost = true
		return
	}
	w.violated("S8", "Central passed records %d to %d of %s %s as %s, and nothing was lost", h.First, h.Last, h.CPID, h.Journal, h.Cause)
}

// checkOpen: S3 one open session per connector.
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

// checkShown: S10 nothing is shown as reserved after its end.
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

// shown is the status as the page shows it.
func (r *centralRun) shown(cp *ledger.CP, id charge.ConnectorID, now charge.Time) charge.Status {
	if r.w.bug(BugStoredStatus) {
		return r.storedStatuses[connectorKey{journalKey{cp: cp.ID}, id}]
	}
	return cp.Status(id, now)
}

// checkAnswer: S9 a repeat of a request repeats its answer.
func (w *World) checkAnswer(e *wire.CentralEvent) {
	was, known := w.answers[e.EventID]
	switch {
	case !known:
		w.answers[e.EventID] = e.ReservationID
	case was != e.ReservationID && !w.answersMayDiffer:
		w.violated("S9", "request %s is answered with reservation %q, and again with %q", e.MessageID, was, e.ReservationID)
	}
}

// checkPublishedTicket: what drivers hear of a ticket is what the database says.
func (w *World) checkPublishedTicket(e *wire.CentralEvent) {
	t, ok := w.tickets[e.EventID]
	if ok && w.byzantineOf(t.CPID) != nil {
		return
	}
	if !ok || e.EnergyKWh == nil || charge.WattHours(*e.EnergyKWh) != t.Energy {
		w.violated("S4", "a driver is told of ticket %s that does not exist so", e.EventID)
	}
}
