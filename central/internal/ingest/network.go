package ingest

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// pointView is a charging point as committed, copied for Live so that the
// writer shares nothing with readers.
type pointView struct {
	view.CP     // without Link, LinkSince and LastSeenAt; its Connectors are those below
	Online      bool
	HasSession  bool // a session is open
	Silent      bool // the ledger has noted its silence, so no alarm is due
	PresenceAt  charge.Time
	Present     charge.JournalID
	Known       int64 // records applied or passed in gaps; CP.Unacked are announced and not known
	Billed      charge.WattHours
	Running     charge.WattHours
	Unaccounted charge.WattHours
	Connectors  []connectorView
}

// connectorView is a Connector with what Live needs to keep it up to date
// between commits: a reservation can expire, and telemetry changes energy and
// cost.
type connectorView struct {
	view.Connector
	statusAfter   charge.Status        // status once the reservation has expired
	sessionUser   charge.Username      // username once the reservation has expired
	startRegister charge.WattHours     // of the session
	usage         ledger.Usage         // of the session, up to its last record
	tariff        charge.TariffVersion // that the session names
	authorizedAt  charge.Time          // when it was granted
	limitAmount   money.Minor          // of its cost; 0: none
}

// same reports whether only numbers differ, for which readers are not woken:
// they read numbers once per second anyway.
func (v *pointView) same(o *pointView) bool {
	if !v.SameState(&o.CP) || v.Online != o.Online || v.Present != o.Present {
		return false
	}
	return slices.EqualFunc(v.Connectors, o.Connectors, func(x, y connectorView) bool {
		return x.SameState(&y.Connector) && x.usage.Started == y.usage.Started && x.tariff == y.tariff && x.limitAmount == y.limitAmount
	})
}

// viewOf copies what Live needs of a charging point.
func (w *Writer) viewOf(cp *ledger.CP, now charge.Time) pointView {
	alarm := alarmOf(cp)
	v := pointView{
		CP: view.CP{
			ID: cp.ID, Name: cp.Name, Place: cp.Place, Agent: cp.Agent, Admitted: cp.Admitted, Simulated: cp.Simulated, Alarm: alarm.String(), AlarmWhy: alarm,
		},
		HasSession: cp.HasOpenSession(), Silent: cp.SilentSince != 0,
		Online: cp.Online, PresenceAt: cp.PresenceAt, Present: cp.CurrentJournal, Known: cp.KnownRecords,
		Connectors: make([]connectorView, 0, len(cp.Connectors)),
	}
	w.named(&v.CP)
	for _, m := range cp.Meters {
		v.Billed += m.Billed
		v.Running += m.Running
		v.Unaccounted += m.Unaccounted()
	}
	if last := cp.Last; last.Seq > 0 {
		ack, err := w.ackFor(cp, last.Journal)
		if err != nil {
			w.log.Error("journal cannot be read", slog.String("cp_id", string(cp.ID)), slog.String("err", err.Error()))
		}
		v.Unacked = unacked(last.Seq, ack)
	}
	for _, id := range slices.Sorted(maps.Keys(cp.Connectors)) {
		v.Connectors = append(v.Connectors, w.connectorView(cp, cp.Connectors[id], now))
	}
	return v
}

// maxUnseen is how many records count as announced of a journal that no record
// shows: as many as an agent sends at once. A presence alone can name any number.
const maxUnseen = 64

// unacked returns how many records of a journal a charging point has announced, up
// to last, beyond those that are acknowledged.
func unacked(last charge.Seq, ack wire.Ack) int64 {
	n := int64(max(last, ack.Seq) - ack.Seq)
	if ack.Journal == nil {
		n = min(n, maxUnseen)
	}
	return n
}

// alarmOf returns what is wrong with a charging point; zero if nothing is.
func alarmOf(cp *ledger.CP) reason.Reason {
	switch {
	case cp.Forked():
		return reason.Reason{Code: reason.Quarantined}.Because(cp.Fork)
	case len(cp.Faults) > 0:
		return reason.Reason{Code: reason.PointFault, Fault: string(cp.Faults[0])}
	}
	return reason.Reason{}
}

// connectorView copies what Live needs of a connector. A reservation that was
// ordered and is not confirmed yet counts as well as one that the charging
// point reported.
func (w *Writer) connectorView(cp *ledger.CP, k *ledger.Connector, now charge.Time) connectorView {
	t := orders.Target{CPID: cp.ID, Connector: k.ID}
	v := connectorView{Connector: view.Connector{
		Connector: k.ID, Status: cp.Status(k.ID, now), Available: k.Available, SessionID: k.Session,
		Faults: slices.Clone(k.Faults), Rated: k.Rated, Register: k.Register,
	}, statusAfter: cp.Status(k.ID, charge.MaxTime)}
	waits := w.orders.WaitingOf(t, k)
	v.WaitsFor, v.WaitsSince = waits.For, waits.Since
	if wanted, ok := w.orders.DesiredAvailability(t); ok {
		v.Available = wanted
	}
	if s := cp.Sessions[k.Session]; s != nil {
		v.Username, v.sessionUser, v.startRegister = s.Username, s.Username, s.Start
		v.usage, v.tariff, v.authorizedAt = s.Usage(), s.Tariff, s.AuthorizedAt
		at, _ := s.CorrectTimes(cp.BootOf)
		v.Energy, v.SessionSince = s.Energy(), cmp.Or(at.StartedAt, at.AuthorizedAt)
		v.Limit, v.limitAmount = s.Limit.Energy, money.Minor(s.Limit.Amount)
	} else {
		v.SessionID = "" // the session has its ticket, although the charging point still reports it
	}
	if r, ok := w.orders.Reserved(t, now); ok {
		v.ReservationID, v.ReservedUntil, v.Username = r.ID, r.Until, cmp.Or(v.Username, r.Username)
	} else if k.Held.ID != "" && k.Held.Until > now {
		v.ReservationID, v.ReservedUntil, v.Username = k.Held.ID, k.Held.Until, cmp.Or(v.Username, k.Held.Username)
	}
	return v
}

// CentralState is what Central knows of itself, for its health.
type CentralState struct {
	Database string // why it cannot be written; "" if it can
	Inactive string // why Central is not active, in words; "" if it is
	Alarms   string // how many alarms are open and the latest, in words; "" if none is
}

// State returns the state of Central itself.
func (l *Live) State() CentralState {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := CentralState{Database: l.database.String(), Alarms: l.lastAlarm}
	switch {
	case !l.fencedBy.IsZero():
		o.Inactive = reason.Reason{Code: reason.Fenced}.String()
	case !l.joined:
		o.Inactive = l.waitsFor.String()
	}
	return o
}

// parts returns the parts of the path from the charging points to the page. A
// broken part makes the parts before it unknown: their heartbeats come through
// it.
func (l *Live) parts(now charge.Time) []view.Part {
	return []view.Part{l.mqttPart(now), l.bridgePart(now), l.kafka, l.centralPart()}
}

// because returns a part with why it is as it is.
func because(p view.Part, why ...reason.Reason) view.Part {
	p.Because(why...)
	return p
}

// troublesOf returns the trouble of a bridge that began first; zero if it has none.
func troublesOf(h *wire.BridgeAlive) (since charge.Time, why reason.Reason) {
	if len(h.Troubles) == 0 {
		return 0, reason.Reason{}
	}
	first := h.Troubles[0]
	return first.Since, first.Why.Or(first.Reason).With(len(h.Troubles) - 1)
}

// warningsOf returns the warnings of a bridge.
func warningsOf(h *wire.BridgeAlive) []reason.Reason {
	all := make([]reason.Reason, 0, len(h.Warnings))
	for i, words := range h.Warnings {
		var why reason.Reason
		if i < len(h.WarningsWhy) {
			why = h.WarningsWhy[i]
		}
		all = append(all, why.Or(words))
	}
	return all
}

// mqttPart is the state of the MQTT brokers, which only the bridges know: down if
// one of those that do not stand by is not connected.
func (l *Live) mqttPart(now charge.Time) view.Part {
	p := view.Part{Name: "mqtt", State: view.PartUnknown, Since: l.pipeline.Started}
	unknown := reason.Reason{Code: reason.MQTTUnknown}
	switch {
	case l.bridge == nil:
		return because(p, unknown)
	case !l.pipeline.BridgeUp(now):
		p.Since = l.pipeline.LastHeartbeat()
		return because(p, unknown)
	}
	p.State, p.Since = view.PartUp, 0
	for _, name := range slices.Sorted(maps.Keys(l.ways)) {
		w := l.ways[name]
		if w.active == nil || !w.BridgeUp(now) {
			continue
		}
		mqtt := w.active.MQTT
		switch {
		case mqtt.Up && p.State == view.PartUp:
			p.Since = max(p.Since, mqtt.Since)
		case !mqtt.Up && (p.State == view.PartUp || mqtt.Since < p.Since):
			why := mqtt.Why.Or(mqtt.Reason)
			if len(l.ways) > 1 {
				why = why.Of(w.active.Bridge)
			}
			p.State, p.Since = view.PartDown, mqtt.Since
			p.Because(why)
		}
	}
	return p
}

// unreadHeartbeats is why this Central cannot receive heartbeats of bridges; zero if
// it can.
func (l *Live) unreadHeartbeats() reason.Reason {
	if l.kafka.State != view.PartUp {
		return reason.Reason{Code: reason.HeartbeatsBehind}
	}
	return l.heartbeatsUnread
}

// bridgePart is the state of the bridge. Without heartbeats it is down, unless
// this Central cannot read them; then it is unknown.
func (l *Live) bridgePart(now charge.Time) view.Part {
	if l.pipeline.BridgeUp(now) {
		return l.liveBridgePart(now)
	}
	p, why := view.Part{Name: "bridge", State: view.PartDown, Since: l.pipeline.Started}, reason.Reason{Code: reason.NoHeartbeatYet}
	if l.bridge != nil {
		p.Since, why.Code = l.pipeline.LastHeartbeat(), reason.NoHeartbeats
	}
	if unread := l.unreadHeartbeats(); !unread.IsZero() {
		p.State, why = view.PartUnknown, unread
	}
	return because(p, why)
}

// liveBridgePart is the state of the bridges while one of them sends heartbeats:
// down if one cannot do its work, with the trouble that began first. A bridge that
// is silent while another one has its session is a warning.
func (l *Live) liveBridgePart(now charge.Time) view.Part {
	p := view.Part{Name: "bridge", State: view.PartUp, Since: l.bridge.StartedAt}
	warnings := warningsOf(l.bridge)
	down := func(since charge.Time, why reason.Reason) {
		if p.State == view.PartUp || since < p.Since {
			p.State, p.Since = view.PartDown, since
			p.Because(why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.bridges)) {
		b := l.bridges[name]
		silent := now > b.at.Add(staleAfter)
		troubled, trouble := troublesOf(b.heartbeat)
		switch w := l.ways[wayOf(b.heartbeat)]; {
		case !w.BridgeUp(now) && b.heartbeat.StandsBy() && !silent:
			down(max(w.LastHeartbeat(), w.Started), reason.Reason{Code: reason.NoneActive, Bridge: name})
		case !w.BridgeUp(now):
			down(b.at, reason.Reason{Code: reason.NoHeartbeats, Bridge: name})
		case silent:
			warnings = append(warnings, reason.Reason{Code: reason.Replaced, Bridge: name})
		case !trouble.IsZero():
			down(troubled, trouble.Of(name))
		}
	}
	if p.State == view.PartUp {
		p.Because(warnings...)
	}
	return p
}

// bridgeStates returns the state of each bridge, by name.
func (l *Live) bridgeStates(now charge.Time) []view.Part {
	list := make([]view.Part, 0, len(l.bridges))
	for _, name := range slices.Sorted(maps.Keys(l.bridges)) {
		list = append(list, l.bridgeState(name, now))
	}
	return list
}

func (l *Live) bridgeState(name string, now charge.Time) view.Part {
	b := l.bridges[name]
	h := b.heartbeat
	p := view.Part{Name: name, State: view.PartUp, Since: h.StartedAt}
	troubled, trouble := troublesOf(h)
	switch {
	case now > b.at.Add(staleAfter):
		p.State, p.Since = view.PartDown, b.at
		if unread := l.unreadHeartbeats(); !unread.IsZero() {
			p.State = view.PartUnknown
			return because(p, unread)
		}
		return because(p, reason.Reason{Code: reason.NoHeartbeats})
	case !trouble.IsZero():
		p.State, p.Since = view.PartDown, troubled
		return because(p, trouble)
	case h.StandsBy():
		p.State, p.Since = view.PartStandby, h.MQTT.Since
		return because(p, h.MQTT.Why.Or(h.MQTT.Reason))
	case !h.MQTT.Up:
		p.State, p.Since = view.PartDown, h.MQTT.Since
		return because(p, h.MQTT.Why.Or(h.MQTT.Reason))
	}
	return because(p, warningsOf(h)...)
}

// centralPart is the state of this Central: the most severe reason why it is
// down.
func (l *Live) centralPart() view.Part {
	p := view.Part{Name: "central", State: view.PartDown, Since: l.since}
	switch {
	case !l.database.IsZero():
		return because(p, l.database)
	case !l.fencedBy.IsZero():
		p.Fenced = true
		return because(p, reason.Reason{Code: reason.Fenced})
	case !l.joined:
		return because(p, l.waitsFor)
	case len(l.troubles) > 0:
		p.Since = l.troubles[0].Since
		return because(p, l.troubles[0].Why.With(len(l.troubles)-1))
	}
	p.State = view.PartUp
	return p
}

// conditions returns the parts whose alarms Central raises and clears by
// itself. A part whose state is unknown is left out, so its alarm stays as it
// is. So are Kafka, because its failure is no fault of a part's, and a Central
// that cannot write an alarm.
func (l *Live) conditions(now charge.Time) []condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kafka.State != view.PartUp {
		return nil
	}
	var all []condition
	if own := l.centralPart(); l.joined && l.fencedBy.IsZero() && l.database.IsZero() {
		all = append(all, conditionOf(own))
	}
	if b := l.bridgePart(now); b.State != view.PartUnknown && l.bridge != nil && (b.State == view.PartUp || now >= b.Since.Add(bridgeSilentAfter)) {
		all = append(all, conditionOf(b))
	}
	return all
}

// bridgeSilentAfter is how long a bridge must be down before its alarm is
// raised: longer than its restart.
const bridgeSilentAfter = 10 * time.Second

func conditionOf(p view.Part) condition {
	c := condition{part: p.Name, down: p.State == view.PartDown, since: p.Since}
	if c.down && len(p.Why) > 0 {
		c.why = p.Why[0]
	}
	return c
}
