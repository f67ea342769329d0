package orders

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// recheckInterval is the longest time between two reconciliations of a charging
// point of which something is desired and not reported, as while it is offline.
const recheckInterval = 5 * time.Second

// recentFor is how long a released reservation stays in recentlyReleased: longer
// than a transaction takes.
const recentFor = time.Minute

// tariff returns the version of the prices for what begins now.
func (x *step) tariff() charge.TariffVersion { return cmp.Or(x.Tariff, x.s.cfg.Tariff) }

// Step applies one event to s and returns the effects, in order. The same state,
// view and event give the same effects.
func Step(s *State, v View, e Event) []Effect {
	x := &step{s: s, v: v}
	// Each case starts the event itself, because Now is embedded in the events.
	switch e := e.(type) {
	case DriverRequestReceived:
		x.startEvent(e.Now)
		x.driverRequest(e)
	case AnswerReceived:
		x.startEvent(e.Now)
		x.answerReceived(e)
	case OperatorRequestReceived:
		x.startEvent(e.Now)
		x.operatorRequest(e.Request)
	case RecordReceived:
		x.startEvent(e.Now)
		x.recordReceived(e)
	case PresenceReceived:
		x.startEvent(e.Now)
		x.presenceReceived(e)
	case CommandSent:
		x.startEvent(e.Now)
		x.commandSent(e)
	case OtherCentralSeen:
		x.startEvent(e.Now)
		x.otherCentralSeen(e.Central)
	case Tick:
		x.startEvent(e.Now)
		x.tick()
	}
	x.planSupplies()
	return x.out
}

// startEvent sets the moment of the step. At the first event, and when the clock
// jumped, it repairs the moments in the state.
func (x *step) startEvent(n Now) {
	x.Now = n
	first, back := x.s.firstEventAt == 0, n.At < x.s.lastEventAt.Add(-minSetBack)
	switch {
	case first:
		x.s.firstEventAt = n.At
		x.watchLimits()
		x.startSupplies()
	case back || x.s.supplies() && n.At > x.s.lastEventAt.Add(maxGap):
		x.supplyClockJumped()
	}
	if first || back {
		x.repairTimes()
		x.s.lastEventAt = n.At
	}
	x.s.lastEventAt = max(x.s.lastEventAt, n.At)
	if first || x.s.cardPrices != x.tariff() {
		x.priceCards()
	}
}

// step is the handling of one event: its moment, its source of ids, the state and
// view it works on, and the effects so far.
type step struct {
	Now
	s   *State
	v   View
	out []Effect
}

// emit adds an effect. The order matters: a row that another one refers to comes
// first.
func (x *step) emit(e Effect) { x.out = append(x.out, e) }

// otherCentralSeen fences this Central if another one has a higher epoch. The
// caller has checked that the message can be trusted.
func (x *step) otherCentralSeen(other charge.Epoch) {
	if !x.s.self.Less(other) || !x.s.fencedBy.Less(other) {
		return
	}
	x.s.fencedBy = other
	x.emit(SaveFence{By: other})
}

// fenced reports whether a Central with a higher epoch was seen.
func (x *step) fenced() bool { return !x.s.fencedBy.IsZero() }

// tick handles the deadlines that have passed: of requests, then of charging points.
func (x *step) tick() {
	if x.fenced() {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(x.s.requests), compareRequestKeys) {
		if q := x.s.requests[k]; q != nil && x.s.requestDue(q) <= x.At {
			x.requestTimedOut(q)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(x.s.points)) {
		if p := x.s.points[id]; p.due != 0 && p.due <= x.At {
			x.reconcile(id)
		}
	}
	x.forgetExpired()
}

// forgetExpired removes what memory holds for a limited time only.
func (x *step) forgetExpired() {
	for id, p := range x.s.points {
		if p.due == 0 && len(p.reservations)+len(p.desired)+len(p.commands)+len(p.notBefore) == 0 && p.list == (LocalList{}) {
			delete(x.s.points, id)
		}
	}
	for id, r := range x.s.recentlyReleased {
		if x.At >= r.EndedAt.Add(recentFor) {
			delete(x.s.recentlyReleased, id)
		}
	}
	for t, at := range x.s.unresponsive {
		if x.At >= at.Add(unresponsiveFor) {
			delete(x.s.unresponsive, t)
		}
	}
}

// presenceReceived reacts to a charging point that connected or is back.
func (x *step) presenceReceived(e PresenceReceived) {
	if x.fenced() {
		return
	}
	x.publishTickets(e.Changes)
	x.doubtList(e.CPID, e.Changes)
	if e.NewBoot {
		x.bootChanged(e.CPID)
		x.doubtGrants(e.CPID)
		if cp := x.v.CP(e.CPID); cp != nil {
			x.endCommandsOfOtherBoots(cp) // also of a quarantined one, which is not reconciled
		}
	}
	x.sendAgain(e.CPID)
	x.reconcile(e.CPID)
}

// reconcile compares the desired state of one charging point with the state that
// its records report: it ends what expired or came about, and issues commands for
// the rest. It does so for a charging point whose current boot is known and that
// is not quarantined. It may be called at any time; without a difference it has no
// effect.
func (x *step) reconcile(id charge.CPID) {
	p := x.s.points[id]
	cp := x.v.CP(id)
	if p != nil {
		x.expire(p)
	}
	if cp != nil && cp.CurrentJournal != "" && !cp.Forked() {
		x.endCommandsOfOtherBoots(cp)
		x.adoptHeldReservations(cp)
		if p = x.s.points[id]; p != nil {
			x.reconcileReservations(cp, p)
			x.reconcileSessions(cp, p)
		}
		x.stopEndedSessions(cp)
		x.stopAtLimits(cp)
		x.stopBlocked(cp)
		x.reconcileAvailability(cp)
		x.reconcileList(cp)
	}
	if x.s.groupOf(id) != nil {
		x.s.supplyDue = dueNow
	}
	if p = x.s.points[id]; p != nil {
		x.sendDue(p)
		x.s.updateDue(p, x.At)
	}
	if cp != nil && len(limited(cp)) > 0 { // their cost is compared again
		p = x.s.point(id)
		p.due = sooner(p.due, x.At.Add(limitInterval))
	}
}

// expire ends reservations, desired states and commands whose time has passed,
// whatever the charging point reports.
func (x *step) expire(p *point) {
	for _, r := range byMade(p.reservations) {
		if r.EndedAt == 0 && x.At >= r.Until {
			r.Released = true // the charging point ends it at the same moment
			x.endReservation(r, string(charge.ReservationExpired))
		}
	}
	for _, d := range byRequested(p.desired) {
		if d.Until != 0 && x.At >= d.Until {
			x.endDesired(p, d, "expired")
		}
	}
	for _, c := range byIssued(p.commands) {
		switch {
		case !c.State.Open(): // ended by one of the above
		case c.State != Accepted && x.At >= c.ExpiresAt:
			x.endCommand(c, Expired, EndNoResult)
			if c.Type == wire.CommandReserve {
				x.s.unresponsive[Target{c.CPID, c.Connector}] = x.At
			}
		case c.State == Accepted && x.At >= c.ChangedAt.Add(resultTimeout(x.s.cfg)):
			x.endCommand(c, Expired, EndUnfinished)
		}
	}
}

// resultTimeout bounds how long an accepted command may wait for its result: a
// START waits for the plug until its reservation ends.
func resultTimeout(cfg Config) time.Duration {
	return max(cfg.ReservationLife, cfg.StartTimeout) + 10*time.Minute
}

// updateDue computes when the point is due again, and drops the pauses that are
// over.
func (s *State) updateDue(p *point, now charge.Time) {
	p.due = 0
	for _, r := range p.reservations {
		if r.EndedAt == 0 {
			p.due = sooner(p.due, r.Until)
		}
		if r.EndedAt != 0 || r.ConfirmedAt == 0 {
			p.due = sooner(p.due, now.Add(recheckInterval))
		}
	}
	for _, d := range p.desired {
		p.due = sooner(p.due, d.Until)
		if d.Kind != DesiredAvailability {
			p.due = sooner(p.due, now.Add(recheckInterval))
		}
	}
	for _, c := range p.commands {
		if c.State == Accepted {
			p.due = sooner(p.due, c.ChangedAt.Add(resultTimeout(s.cfg)))
			continue
		}
		p.due = sooner(sooner(p.due, c.NextSendAt), c.ExpiresAt)
	}
	for k, at := range p.notBefore {
		if at <= now {
			delete(p.notBefore, k)
			continue
		}
		p.due = sooner(p.due, at)
	}
}

// The functions below sort the values of a map, so that effects do not depend on
// the order of maps.

func compareRequestKeys(a, b RequestKey) int {
	return cmp.Or(cmp.Compare(a.MessageID, b.MessageID), cmp.Compare(a.Username, b.Username))
}

func byMade(m map[charge.ReservationID]*Reservation) []*Reservation {
	return slices.SortedFunc(maps.Values(m), func(a, b *Reservation) int {
		return cmp.Or(cmp.Compare(a.MadeAt, b.MadeAt), cmp.Compare(a.ID, b.ID))
	})
}

func byRequested(m map[desiredKey]*Desired) []*Desired {
	return slices.SortedFunc(maps.Values(m), func(a, b *Desired) int {
		return cmp.Or(cmp.Compare(a.RequestedAt, b.RequestedAt), cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.Connector, b.Connector),
			cmp.Compare(a.Kind, b.Kind))
	})
}

func byIssued(m map[charge.CommandID]*Command) []*Command {
	return slices.SortedFunc(maps.Values(m), func(a, b *Command) int {
		return cmp.Or(cmp.Compare(a.IssuedAt, b.IssuedAt), cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.N, b.N), cmp.Compare(a.ID, b.ID))
	})
}

func byNumber(m map[charge.ConnectorID]*ledger.Connector) []*ledger.Connector {
	return slices.SortedFunc(maps.Values(m), func(a, b *ledger.Connector) int { return cmp.Compare(a.ID, b.ID) })
}
