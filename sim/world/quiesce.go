package world

import (
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Limits after the heal are generous: delays of retries double up to minutes.

// settling is how long after catchUp nothing may be pending any more.
const settling = 50 * time.Minute

// catchUp is how long after the heal Central must know every record that was written
// before: V1. A charging point that obeys an epoch far above is believed by its first
// presence, one each 5 min, that is more than 6 min behind one that Central knows.
func (w *World) catchUp() time.Duration {
	if slices.ContainsFunc(w.plan.Steps, func(s Step) bool { return s.Kind == HighEpoch }) {
		return 16 * time.Minute
	}
	return 9 * time.Minute
}

// quiesce lets the network deliver everything, does what an operator would do with
// the leftovers of faults, and checks the final state.
func (w *World) quiesce() {
	// Records that are written after the heal have less time, and are checked at the
	// very end.
	before := map[charge.CPID]int{}
	for _, a := range w.agents {
		before[a.id] = len(a.truth.order)
	}
	w.runUntil(w.plan.For + w.catchUp())
	for _, a := range w.agents {
		if w.failure == nil {
			w.checkCaughtUp(a, before[a.id])
		}
	}
	for _, a := range w.agents {
		for _, o := range a.outlets {
			if o.plugged {
				w.after(time.Minute, "last vehicle leaves", func() {
					if o.plugged {
						o.unplug()
					}
				})
			}
		}
	}
	w.runUntil(w.plan.For + w.catchUp() + settling)
	w.releaseForks()
	w.reportRegisters()
	if w.failure == nil {
		w.settleOrphans()
		w.runUntil(w.now + time.Minute)
	}
	// A command to a member of a group is possible at any moment: a few more seconds for
	// what follows from it.
	for end := w.now + time.Minute; w.failure == nil && w.now < end && w.underWay(); {
		w.runUntil(w.now + time.Second)
	}
	if w.failure == nil {
		w.checkQuiescent()
	}
}

// underWay reports whether a command has no result yet, or a record no acknowledgement.
func (w *World) underWay() bool {
	if c := w.activeCentral(); c != nil && len(c.db.commands) > 0 {
		return true
	}
	return slices.ContainsFunc(w.agents, func(a *agent) bool { return a.run != nil && a.run.ready && a.run.view.Delivery.Unacked() > 0 })
}

// releaseForks releases charging points that are quarantined although there is only
// one device, as an operator does. This happens legitimately if a boot could not
// read records that the next boot could, while the clock was not set: the two look
// like two devices.
func (w *World) releaseForks() {
	c := w.activeCentral()
	if c == nil || w.failure != nil {
		return
	}
	for _, a := range w.agents {
		p := c.db.points[a.id]
		switch {
		case !p.Forked():
		case !a.truth.storageLost:
			w.violated("S13", "%s is quarantined, and nothing was lost: %s", a.id, p.Fork)
		default:
			w.stats.Released++
			c.run.submit(&operatorInput{release: true, cp: a.id, answer: func(orders.Reply) {}})
		}
	}
	w.runUntil(w.now + 5*time.Minute)
}

// reportRegisters restarts agents whose meters were inexact: what flowed after the
// last good reading is reported by the next grant or, here, by the next boot.
func (w *World) reportRegisters() {
	for _, a := range w.agents {
		if a.truth.meterInexact && w.failure == nil {
			a.kill(false)
			a.launch(2 * time.Second)
		}
	}
	w.runUntil(w.now + 3*time.Minute)
}

// checkCaughtUp: V1 and V3. Every record that was durable at the heal, the first n,
// is known to Central, and almost all are acknowledged.
func (w *World) checkCaughtUp(a *agent, n int) {
	c := w.activeCentral()
	switch {
	case c == nil:
		w.violated("V3", "no Central is active %s after the heal", w.catchUp())
		return
	case a.run == nil || !a.run.ready:
		w.violated("V3", "%s does not run %s after the heal", a.id, w.catchUp())
		return
	// Its records are not applied until an operator releases it.
	case c.db.points[a.id].ForkedAt != 0 && a.truth.storageLost:
		return // until an operator releases it
	}
	for _, k := range a.truth.order[:n] {
		if _, ok := c.db.records[k]; !ok && !c.db.inGap(k) && !a.truth.storageLost {
			w.violated("V1", "%s: record %s/%d is not known to Central %s after the heal", a.id, k.j, k.seq, w.catchUp())
			return
		}
	}
	// A running session writes records all the time; a few are always unacknowledged.
	if n := a.run.view.Delivery.Unacked(); n > 20 {
		w.violated("V1", "%s: %d records are not acknowledged %s after the heal", a.id, n, w.catchUp())
	}
}

// settleOrphans settles sessions that are open at Central and that their charging
// point came back without, as an operator does. Without a loss there are none.
func (w *World) settleOrphans() {
	c := w.activeCentral()
	if c == nil {
		return
	}
	for _, id := range sortedKeys(c.db.sessions) {
		if s := c.db.sessions[id]; s.State == ledger.SessionOrphaned {
			if a := w.agentOf(s.CPID); a != nil && !a.truth.storageLost {
				w.violated("V1", "session %s of %s is orphaned, and nothing was lost", id, s.CPID)
			}
			c.run.submit(&operatorInput{settle: id, cp: s.CPID, answer: func(orders.Reply) {}})
		}
	}
}

// checkQuiescent checks the final state, when nothing is pending any more.
func (w *World) checkQuiescent() {
	c := w.activeCentral()
	if c == nil {
		w.violated("V3", "no Central is active at the end")
		return
	}
	for _, a := range w.agents {
		// Every check runs, but only the first violation counts.
		w.checkAgent(c, a)
	}
	for _, b := range w.byzantine {
		w.checkByzantine(c, b)
		w.checkRebuiltByzantine(c, b)
	}
	w.checkOrders(c)
	w.checkRebuilt(c)
	for _, id := range sortedKeys(c.db.alarms) {
		if a := c.db.alarms[id]; a.Kind == ledger.AlarmSilent && !a.Cleared && w.byzantineOf(a.CPID) == nil {
			w.violated("V1", "alarm %s is open at the end", id)
		}
	}
	// The statistics of the run: only sessions of real hardware.
	for _, t := range c.db.tickets {
		if w.byzantineOf(t.CPID) != nil { // the energy it reports is invented
			continue
		}
		w.stats.Tickets++
		w.stats.BilledWh += int64(t.Energy)
	}
}

// checkByzantine: S15. Everything that a Byzantine charging point sent is
// acknowledged, or an alarm reports why not.
func (w *World) checkByzantine(c *central, b *byzantineCP) {
	p := c.db.points[b.id]
	if b.acked == len(b.held) || p.Forked() || p.MismatchAt != 0 {
		return
	}
	r := &b.held[b.acked].rec
	w.violated("S15", "%s: record %s/%d and %d behind it are neither acknowledged nor reported by an alarm", b.id, r.Journal, r.Seq, len(b.held)-b.acked-1)
}

// checkAgent: V1 and V3 for one charging point: everything is acknowledged, nothing
// is open, and the accounts balance.
func (w *World) checkAgent(c *central, a *agent) {
	b := a.run
	switch {
	case b == nil || !b.ready:
		w.violated("V3", "%s does not run at the end", a.id)
		return
	case c.db.points[a.id].ForkedAt != 0:
		w.violated("S13", "%s is quarantined: %s", a.id, c.db.points[a.id].Fork)
		return
	// Nothing happens any more, so not a single record may be left.
	case b.view.Delivery.Unacked() > 0:
		w.violated("V1", "%s: %d records are not acknowledged at the end", a.id, b.view.Delivery.Unacked())
		return
	}
	for i := range b.view.Connectors {
		s := &b.view.Connectors[i]
		// All vehicles have left, and all reservations have expired long ago.
		if s.Session.ID != "" || s.Reservation.ID != "" || s.Pending.Session != "" {
			w.violated("V1", "%s/%d: session %q, reservation %q, start %q at the end", a.id, s.ID, s.Session.ID, s.Reservation.ID, s.Pending.Session)
			return
		}
	}
	for _, o := range a.outlets {
		w.checkEnergy(c, a, o)
	}
	w.checkSessions(c, a)
	w.checkList(c, a)
}

// checkEnergy: S5. What went through the meter is on tickets or unaccounted; what
// is unaccounted has a cause; and tickets do not overlap: S3.
func (w *World) checkEnergy(c *central, a *agent, o *outlet) {
	m, ok := c.db.meters[connectorKey{journalKey{cp: a.id}, o.id}]
	if !ok {
		w.violated("S5", "%s/%d: Central keeps no account of its meter", a.id, o.id)
		return
	}
	// Central's account of the meter must agree with its tickets and with the hardware.
	billed := charge.WattHours(0)
	var bills []ledger.Ticket
	for _, id := range sortedKeys(c.db.tickets) {
		if t := c.db.tickets[id]; t.CPID == a.id && t.Connector == o.id {
			billed += t.Energy
			bills = append(bills, t)
		}
	}
	spare := m.Unaccounted()
	w.stats.UnaccountedWh += int64(spare)
	flowed := o.register() - initialRegister
	// An alarm about a meter that jumped is right only if records about it were lost.
	_, jumped := c.db.alarms[fmt.Sprintf("%s.%s.%d", ledger.AlarmMeterJumped, a.id, o.id)]
	switch {
	case m.Billed != billed:
		w.violated("S5", "%s/%d: %d Wh are billed by the account, %d by tickets", a.id, o.id, m.Billed, billed)
	case m.Running != 0:
		w.violated("S5", "%s/%d: %d Wh of sessions that are not open", a.id, o.id, m.Running)
	case jumped && !a.truth.storageLost:
		w.violated("S5", "%s/%d: an alarm reports a jump of a meter that did not jump", a.id, o.id)
	case jumped && billed+spare <= flowed: // a clock was wrong while records were lost: the alarm accounts for the rest
	case billed+spare != flowed:
		w.violated("S5", "%s/%d: %d Wh went through the meter, %d are billed and %d shown", a.id, o.id, flowed, billed, spare)
	case spare != 0 && !a.truth.storageLost && !a.truth.meterInexact:
		w.violated("S5", "%s/%d: %d Wh are unaccounted without a fault", a.id, o.id, spare)
	}
	if a.truth.storageLost {
		return
	}
	// A watt-hour of the register is on one ticket only.
	slices.SortFunc(bills, func(a, b ledger.Ticket) int {
		if a.Start != b.Start {
			return int(a.Start - b.Start)
		}
		return int(a.Stop - b.Stop)
	})
	for i := 1; i < len(bills); i++ {
		if bills[i].Start < bills[i-1].Stop {
			w.violated("S3", "%s/%d: the tickets of %s and %s overlap", a.id, o.id, bills[i-1].SessionID, bills[i].SessionID)
		}
	}
}

// checkSessions: S4. Every session has a ticket for exactly what flowed.
func (w *World) checkSessions(c *central, a *agent) {
	k := &a.truth
	if k.storageLost {
		return
	}
	for _, id := range sortedKeys(k.granted) {
		t, ok := c.db.tickets[ledger.TicketID(id)]
		// A correction is relative to the ticket that it corrects.
		billed := t.Energy + c.db.tickets[ledger.CorrectionID(id)].Energy
		switch {
		case !ok:
			w.violated("S4", "%s: session %s has no ticket at the end", a.id, id)
		case !k.meterInexact && billed != k.energy[id]:
			w.violated("S4", "%s: tickets of %s bill %d Wh, %d flowed", a.id, id, billed, k.energy[id])
		}
	}
	// Energy of closures without a session: never, unless the contact was welded.
	if e := k.energy[""]; e > 0 && !k.meterInexact {
		w.violated("S1", "%s: %d Wh flowed for no session", a.id, e)
	}
}

// checkRequests: V1. Every driver's request in the log was read.
func (w *World) checkRequests(c *central) {
	for n := range w.kafka.partitions {
		p := partition{wire.TopicDriverEvents, n}
		l := w.kafka.log(p)
		for i := range l.messages {
			req, err := wire.DecodeDriverRequest(l.messages[i].value)
			if err != nil {
				continue
			}
			if _, read := c.db.requests[orders.RequestKey{Username: req.Username, MessageID: req.MessageID}]; !read {
				w.violated("V1", "request %s at %s/%d/%d was never read", req.MessageID, p.topic, p.n, l.base+int64(i))
				return
			}
		}
	}
}

// checkOrders: V1, S10 and S15. Nothing is desired, commanded, reserved, requested or
// queued any more.
func (w *World) checkOrders(c *central) {
	now := c.now()
	for _, id := range sortedKeys(c.db.reservations) {
		// Reservations last for minutes; what Byzantine charging points claim about
		// theirs may last longer.
		if r := c.db.reservations[id]; r.Active(now) && w.byzantineOf(r.CPID) == nil {
			w.violated("S10", "reservation %s is active at the end", id)
		}
	}
	var open []string
	for k, q := range c.db.requests {
		if !q.Finished() {
			open = append(open, fmt.Sprintf("%s of %s", k.MessageID, k.Username))
		}
	}
	if slices.Sort(open); len(open) > 0 {
		w.violated("V1", "requests %q are not answered at the end", open)
	}
	for _, id := range sortedKeys(c.db.commands) {
		if w.byzantineOf(c.db.commands[id].CPID) != nil { // it never executes one
			continue
		}
		w.violated("V1", "command %s %s is %s at the end", c.db.commands[id].Type, id, c.db.commands[id].State)
	}
	// A message that the bridge cannot handle would be delivered again for ever, and
	// fill the queue.
	if n := len(w.mqtt.queued); n > 0 && w.now-w.mqtt.queued[0].at > time.Minute {
		w.violated("S15", "the broker keeps %d unacknowledged messages for the bridge", n)
	}
	w.checkRequests(c)
	if len(c.db.outbox) > 0 {
		w.violated("V1", "%d rows are in the outbox at the end", len(c.db.outbox))
	}
	for _, a := range w.agents {
		for i := range a.run.view.Connectors {
			s := &a.run.view.Connectors[i]
			// The operator's last word was available, see makeAvailable.
			if s.Unavailable && wantedOpen(c, a.id, s.ID) {
				w.violated("V1", "%s/%d is out of service at the end, and desired available", a.id, s.ID)
			}
		}
	}
}
