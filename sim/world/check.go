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
	wrongFor = 450 * time.Millisecond  // power against a rule: 100 ms to see it, the contact's way, and a tick
	goneFor  = 1200 * time.Millisecond // a contactor after its agent died
	slack    = 5 * time.Second         // of timers
	unfenced = 10 * time.Minute        // an older Central beside a later one
)

// checkEvent is what must hold after every event.
func (w *World) checkEvent() {
	for _, a := range w.points {
		for _, o := range a.hw {
			if o.closed && !o.broken.welded {
				a.known.checkPower(o)
			} else if len(a.known.wrong) > 0 {
				delete(a.known.wrong, o.id)
			}
		}
		if b := a.run; b != nil && b.ready {
			a.known.checkState(b)
		}
	}
}

// checkPower: S1 no power without right, S2 none without an agent, V4 none
// without a vehicle.
func (t *truth) checkPower(o *outlet) {
	w, b := t.a.w, t.a.run
	if b == nil {
		if w.now-t.diedAt > goneFor {
			w.object("S2", "%s/%d is closed %s after its agent died", t.a.id, o.id, w.now-t.diedAt)
		}
		return
	}
	why := ""
	switch m := b.machines[o.id-1]; {
	case !b.ready:
		why = "before the agent has read its journal"
	case !o.plugged:
		why = "without a vehicle"
	case !o.asking || o.broken.pilot:
		why = "though the vehicle does not ask"
	case o.broken.tripped != "" || o.broken.pressed:
		why = "with a fault"
	case m.state.Session.ID == "":
		why = "without a session"
	case b.blocked:
		why = "though nothing can be written down"
	}
	if why == "" {
		delete(t.wrong, o.id)
		return
	}
	since, was := t.wrong[o.id]
	if !was {
		t.wrong[o.id] = w.now
		w.after(wrongFor+time.Millisecond, "looked at", func() {})
	} else if w.now-since > wrongFor {
		w.object("S1", "%s/%d is closed %s for %s", t.a.id, o.id, why, w.now-since)
	}
}

// checkClosing: S2 a contact that closes has an agent; one that was on its way
// when the agent died is opened soon.
func (w *World) checkClosing(o *outlet) {
	if o.a.run == nil && !o.broken.welded && w.now-o.a.known.diedAt > goneFor {
		w.object("S2", "%s/%d closes without an agent", o.a.id, o.id)
	}
}

// checkCommand: S1 a contactor is told to close for a session whose grant is on
// disk.
func (w *World) checkCommand(o *outlet) {
	id := o.a.run.machines[o.id-1].state.Session.ID
	if g := o.a.known.granted[id]; g == nil || g.ended && !o.a.known.storageLost {
		w.object("S1", "%s/%d closes for session %q whose grant is not on disk", o.a.id, o.id, id)
	}
}

// checkState: S10 a reservation ends.
func (t *truth) checkState(b *boot) {
	w := t.a.w
	for _, m := range b.machines {
		r := &m.state.Reservation
		if r.ID == "" {
			continue
		}
		h := t.holds[m.o.id]
		switch {
		case h == nil || h.id != r.ID || h.since > w.now:
		case w.now-h.since > max(h.life, connector.ClockWithin)+slack:
			w.object("S10", "%s/%d holds reservation %s for %s, which was to last %s", t.a.id, m.o.id, r.ID, w.now-h.since, h.life)
		case w.honest && w.wall().Sub(r.Until) > 2*gone+slack:
			w.object("S10", "%s/%d holds reservation %s %s after its end", t.a.id, m.o.id, r.ID, w.wall().Sub(r.Until))
		}
	}
}

// checkAck: an agent hears of nothing that no Central has.
func (w *World) checkAck(b *boot, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	if known := w.acked[journalKey{b.a.id, *ack.Journal}]; ack.Seq > known {
		w.object("S6", "%s hears that Central has %s/%d; it has %d", b.a.id, *ack.Journal, ack.Seq, known)
	}
}

// checkAcking: an acknowledgement leaves only after the commit.
func (r *reign) checkAcking(cp charge.CPID, ack *wire.Ack) {
	if ack.Journal == nil {
		return
	}
	k := journalKey{cp, *ack.Journal}
	if has := r.c.db.journals[k].Last; ack.Seq > has {
		r.w.object("S6", "Central acknowledges %s %s/%d, its database has %d", cp, k.j, ack.Seq, has)
	}
	r.w.acked[k] = max(r.w.acked[k], ack.Seq)
	by := ackKey{k, ack.Central}
	r.w.ackedBy[by] = max(r.w.ackedBy[by], ack.Seq)
}

// checkPosition: an agent remembers as acknowledged only what a Central has, or
// had in the life that said so: the next one corrects it.
func (w *World) checkPosition(b *boot, p delivery.Position) {
	k := recordKey{journalKey{b.a.id, p.Journal}, p.Seq}
	if p.Journal == "" || w.ackedBy[ackKey{k.journalKey, p.Central}] >= p.Seq {
		return
	}
	if !w.has(k) && !w.passed(k) {
		w.object("S6", "%s takes %s/%d as acknowledged, which no Central has", b.a.id, p.Journal, p.Seq)
	}
}

// passed reports whether a record is in a hole.
func (w *World) passed(k recordKey) bool {
	for _, c := range w.centrals {
		if c.db.inHole(k) {
			return true
		}
	}
	return false
}

// checkRise: S14 no number is higher than how often Centrals took one: what
// charging points claim does not use them up.
func (w *World) checkRise(r *reign) {
	w.rises++
	if most := firstNumber + w.rises; r.self.Number > most {
		w.object("S14", "a Central has the number %d after %d starts of all", r.self.Number, w.rises)
	}
}

// checkFenced: S14 an older Central falls silent when a later one speaks.
func (r *reign) checkFenced(kind string) {
	for _, c := range r.w.centrals {
		x := c.run
		if x == nil || !x.active() || !r.self.Less(x.self) || x == r || r.w.now-x.since < unfenced || r.w.now-r.since < unfenced {
			continue
		}
		if r.c.line.whole(unfenced) && x.c.line.whole(unfenced) && r.w.now-r.w.kafka.since > unfenced {
			r.w.object("S14", "an older Central says %s, and the later one has been active for %s", kind, r.w.now-x.since)
		}
	}
}

// forgot checks S6 for the records that the journal deleted.
func (t *truth) forgot(b *boot) {
	held := b.log.Held()
	if len(held) == 0 {
		return
	}
	first := recordKey{journalKey{t.a.id, held[0].Journal}, held[0].First}
	at := t.head
	for at < len(t.order) && t.order[at] != first {
		at++
	}
	if at == len(t.order) { // a record that was never announced, or storage that was set back
		return
	}
	for ; t.head < at; t.head++ {
		t.a.w.stats.Forgotten++
		k := t.order[t.head]
		if !t.a.w.has(k) && !t.storageLost {
			t.a.w.object("S6", "%s forgot record %s/%d, which no Central has", t.a.id, k.j, k.seq)
			return
		}
	}
}

// has reports whether a record is in the database of the latest Central, or in
// a hole of it.
func (w *World) has(k recordKey) bool {
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
		if _, twice := u.r.c.db.records[k]; twice || here[k] {
			w.object("S9", "Central applies %s %s/%d twice", k.cp, k.j, k.seq)
		}
		here[k] = true
	}
	for _, c := range u.changes { // before the tickets: what is in a hole shows in them
		if h, ok := c.(ledger.HoleChanged); ok && len(h.Hole.Missing) > 0 && h.Hole.FoundAt == u.now {
			w.stats.Holes++
			w.checkHole(&h.Hole)
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
		if _, twice := u.r.c.db.tickets[t.ID]; twice {
			w.object("S4", "second ticket %s", t.ID)
		}
		if w.liarOf(t.CPID) != nil {
			w.tickets[t.ID] = t
			continue
		}
		hidden := (t.AuthorizedAt == 0 || t.EndedAt == 0) && w.pointOf(t.CPID).known.storageLost // its beginning or end, in a hole
		// A settlement that was made after the backup is lost with it: the session
		// goes on, and is billed as if nobody had settled it.
		hidden = hidden || w.settledOnce[t.SessionID] && w.restored
		if t.SettledAt != 0 {
			w.settledOnce[t.SessionID] = true
		}
		if was, ok := w.tickets[t.ID]; ok && was != t && !hidden {
			w.object("S14", "ticket %s was %+v and is %+v", t.ID, was, t)
		}
		w.tickets[t.ID] = t
		a := w.pointOf(t.CPID)
		k := &a.known
		o := a.hw[t.Connector-1]
		flowed := k.energy[t.SessionID]
		if o.closed && o.owner == t.SessionID {
			flowed += o.register() - o.closedFrom
		}
		billed := t.Energy
		if t.Corrects != "" {
			first, _ := u.ticket(t.Corrects)
			if billed += first.Energy; first.SettledAt == 0 {
				w.object("S4", "ticket %s corrects %s, which no operator settled", t.ID, t.Corrects)
			}
		}
		if billed > flowed && !k.meterLied && !k.storageLost {
			w.object("S4", "ticket %s bills %d Wh, %d flowed", t.ID, billed, flowed)
		}
	}
}

// checkCommit is what must hold of the database after each commit.
func (w *World) checkCommit(r *reign, u *unit) {
	db := r.c.db
	for i := range u.applied {
		k := u.applied[i].key
		if !w.wrote(k, u.applied[i].hash) {
			w.object("S7", "Central applied %s %s/%d, which was never written so", k.cp, k.j, k.seq)
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
	if a := w.pointOf(p.ID); a != nil && p.Forked() && !a.known.storageLost {
		w.object("S13", "%s is quarantined, and nothing was lost: %s", a.id, p.Fork)
	}
}

// wrote reports whether a charging point wrote a record so.
func (w *World) wrote(k recordKey, hash string) bool {
	if l := w.liarOf(k.cp); l != nil {
		return slices.ContainsFunc(l.wrote[k], func(v lie) bool { return v.hash == hash })
	}
	return w.pointOf(k.cp).known.records[k].is(hash)
}

func (f *fact) is(hash string) bool {
	if f == nil {
		return false
	}
	return f.hash == hash || slices.Contains(f.also, hash)
}

// checkOrder: S8 what is applied follows what is known.
func (w *World) checkOrder(db *rows, k recordKey) {
	if k.seq == 1 {
		return
	}
	before := recordKey{k.journalKey, k.seq - 1}
	if _, ok := db.records[before]; ok || db.inHole(before) {
		return
	}
	w.object("S8", "Central applied %s %s/%d, and the record before it is neither known nor in a hole", k.cp, k.j, k.seq)
}

// inHole reports whether a record is, or was, in a hole.
func (r *rows) inHole(k recordKey) bool {
	for _, h := range r.holes {
		if h.CPID == k.cp && h.Journal == k.j && h.First <= k.seq && (h.Last == 0 || k.seq <= h.Last) {
			return true
		}
	}
	return false
}

// checkHole: nothing is passed that can still come.
func (w *World) checkHole(h *ledger.Hole) {
	if w.liarOf(h.CPID) != nil {
		return
	}
	k := &w.pointOf(h.CPID).known
	if k.storageLost {
		return
	}
	// Only a database had it, and a backup was put in its place. What Kafka has
	// behind a loss of its own does not help: nobody can say what it follows.
	if k.forgotAll(h) && (w.kafka.lost || !w.kafka.holds(h)) {
		k.storageLost = true
		return
	}
	w.object("S8", "Central passed records %d to %d of %s %s as %s, and nothing was lost", h.First, h.Last, h.CPID, h.Journal, h.Cause)
}

// checkOpen: S3 one open session per connector.
func (w *World) checkOpen(r *reign, id charge.CPID) {
	open := map[charge.ConnectorID]charge.SessionID{}
	for sid, s := range r.cps[id].Sessions {
		if s.State != ledger.SessionOpen {
			continue
		}
		if other := open[s.Connector]; other != "" {
			w.object("S3", "Central has sessions %s and %s open at %s/%d", min(other, sid), max(other, sid), id, s.Connector)
		}
		open[s.Connector] = sid
	}
}

// checkShown: S10 nothing is shown as reserved after its end.
func (w *World) checkShown(r *reign) {
	now := r.c.now()
	for _, k := range sortedKeys(r.cps) {
		cp := r.cps[k]
		for _, id := range sortedKeys(cp.Connectors) {
			c := cp.Connectors[id]
			if r.shown(cp, id, now) == charge.StatusReserved && now > c.Held.Until {
				w.object("S10", "Central shows %s/%d as reserved after the end of the reservation", cp.ID, id)
			}
		}
	}
}

// shown is the status as the page shows it.
func (r *reign) shown(cp *ledger.CP, id charge.ConnectorID, now charge.Time) charge.Status {
	if r.w.bug(BugReservedWord) {
		return r.words[connectorKey{journalKey{cp: cp.ID}, id}]
	}
	return cp.Status(id, now)
}

// checkAnswer: S9 a repeat of a request repeats its answer.
func (w *World) checkAnswer(e *wire.CentralEvent) {
	was, known := w.answers[e.EventID]
	switch {
	case !known:
		w.answers[e.EventID] = e.ReservationID
	case was != e.ReservationID && !w.forgetful:
		w.object("S9", "request %s is answered with reservation %q, and again with %q", e.MessageID, was, e.ReservationID)
	}
}

// checkTold: what drivers hear of a ticket is what the database says.
func (w *World) checkTold(e *wire.CentralEvent) {
	t, ok := w.tickets[e.EventID]
	if ok && w.liarOf(t.CPID) != nil {
		return
	}
	if !ok || e.EnergyKWh == nil || charge.WattHours(*e.EnergyKWh) != t.Energy {
		w.object("S4", "a driver is told of ticket %s that does not exist so", e.EventID)
	}
}
