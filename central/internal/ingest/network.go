package ingest

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
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
	v := pointView{
		CP: view.CP{
			ID: cp.ID, Name: cp.Name, Place: cp.Place, Agent: cp.Agent, Admitted: cp.Admitted, Simulated: cp.Simulated, Alarm: alarmOf(cp),
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

// alarmOf describes what is wrong with a charging point; "" if nothing is.
func alarmOf(cp *ledger.CP) string {
	switch {
	case cp.Forked():
		return "identity quarantined: " + cp.ForkReason
	case len(cp.Faults) > 0:
		return fmt.Sprintf("fault: %s", cp.Faults[0])
	}
	return ""
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
	o := CentralState{Database: l.database, Alarms: l.lastAlarm}
	switch {
	case !l.fencedBy.IsZero():
		o.Inactive = "another Central took over: this one is read-only"
	case !l.joined:
		o.Inactive = l.waitsFor
	}
	return o
}

// parts returns the parts of the path from the charging points to the page. A
// broken part makes the parts before it unknown: their heartbeats come through
// it.
func (l *Live) parts(now charge.Time) []view.Part {
	return []view.Part{l.mqttPart(now), l.bridgePart(now), l.kafka, l.centralPart()}
}

// mqttPart is the state of the MQTT brokers, which only the bridges know: down if
// one of those that do not stand by is not connected.
func (l *Live) mqttPart(now charge.Time) view.Part {
	p := view.Part{Name: "mqtt", State: view.PartUnknown, Since: l.pipeline.Started, Reason: "only the bridge knows, and it sends no heartbeats"}
	switch {
	case l.bridge == nil:
		return p
	case !l.pipeline.BridgeUp(now):
		p.Since = l.pipeline.LastHeartbeat()
		return p
	}
	p.State, p.Since, p.Reason = view.PartUp, 0, ""
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
			p.State, p.Since, p.Reason = view.PartDown, mqtt.Since, mqtt.Reason
			if len(l.ways) > 1 {
				p.Reason = "bridge " + w.active.Bridge + ": " + mqtt.Reason
			}
		}
	}
	return p
}

// bridgePart is the state of the bridge. Without heartbeats it is down, unless
// this Central cannot read them; then it is unknown.
func (l *Live) bridgePart(now charge.Time) view.Part {
	p := view.Part{Name: "bridge", State: view.PartDown, Since: l.pipeline.Started, Reason: "no heartbeat received yet"}
	switch {
	case l.pipeline.BridgeUp(now):
		return l.liveBridgePart(now)
	case l.bridge != nil:
		p.Since, p.Reason = l.pipeline.LastHeartbeat(), "no heartbeats any more"
	}
	switch {
	case l.kafka.State != view.PartUp:
		p.State, p.Reason = view.PartUnknown, "Kafka is down, so heartbeats of the bridge cannot be received"
	case l.heartbeatsUnread != "":
		p.State, p.Reason = view.PartUnknown, "this Central cannot read its heartbeats: "+l.heartbeatsUnread
	}
	return p
}

// liveBridgePart is the state of the bridges while one of them sends heartbeats:
// down if one cannot do its work, with the trouble that began first. A bridge that
// is silent while another one has its session is a warning.
func (l *Live) liveBridgePart(now charge.Time) view.Part {
	p := view.Part{Name: "bridge", State: view.PartUp, Since: l.bridge.StartedAt}
	warnings := slices.Clone(l.bridge.Warnings)
	down := func(since charge.Time, reason string) {
		if p.State == view.PartUp || since < p.Since {
			p.State, p.Since, p.Reason = view.PartDown, since, reason
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.bridges)) {
		b := l.bridges[name]
		silent := now > b.at.Add(staleAfter)
		switch w := l.ways[wayOf(b.heartbeat)]; {
		case !w.BridgeUp(now) && b.heartbeat.StandsBy() && !silent:
			down(max(w.LastHeartbeat(), w.Started), "bridge "+name+" stands by, and none is active")
		case !w.BridgeUp(now):
			down(b.at, "bridge "+name+": no heartbeats any more")
		case silent:
			warnings = append(warnings, "bridge "+name+": no heartbeats any more; another one has its work")
		case len(b.heartbeat.Troubles) > 0:
			first := b.heartbeat.Troubles[0]
			down(first.Since, "bridge "+name+" "+first.Reason+andMore(len(b.heartbeat.Troubles)-1))
		}
	}
	if p.State == view.PartUp {
		p.Reason = strings.Join(warnings, "; ")
	}
	return p
}

// bridgeStates returns the state of each bridge, by name.
func (l *Live) bridgeStates(now charge.Time) []view.Part {
	list := make([]view.Part, 0, len(l.bridges))
	for _, name := range slices.Sorted(maps.Keys(l.bridges)) {
		b := l.bridges[name]
		h := b.heartbeat
		p := view.Part{Name: name, State: view.PartUp, Since: h.StartedAt, Reason: strings.Join(h.Warnings, "; ")}
		switch {
		case now > b.at.Add(staleAfter):
			p.State, p.Since, p.Reason = view.PartDown, b.at, "no heartbeats any more"
			if l.kafka.State != view.PartUp {
				p.State, p.Reason = view.PartUnknown, "Kafka is down, so its heartbeats cannot be received"
			} else if l.heartbeatsUnread != "" {
				p.State, p.Reason = view.PartUnknown, "this Central cannot read its heartbeats: "+l.heartbeatsUnread
			}
		case len(h.Troubles) > 0:
			p.State, p.Since, p.Reason = view.PartDown, h.Troubles[0].Since, h.Troubles[0].Reason+andMore(len(h.Troubles)-1)
		case h.StandsBy():
			p.State, p.Since, p.Reason = view.PartStandby, h.MQTT.Since, h.MQTT.Reason
		case !h.MQTT.Up:
			p.State, p.Since, p.Reason = view.PartDown, h.MQTT.Since, h.MQTT.Reason
		}
		list = append(list, p)
	}
	return list
}

// andMore returns a remark that there are n more troubles.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// centralPart is the state of this Central: the most severe reason why it is
// down.
func (l *Live) centralPart() view.Part {
	p := view.Part{Name: "central", State: view.PartDown, Since: l.since}
	switch {
	case l.database != "":
		p.Reason = l.database
	case !l.fencedBy.IsZero():
		p.Reason, p.Fenced = "another Central took over: this one is read-only", true
	case !l.joined:
		p.Reason = l.waitsFor
	case len(l.troubles) > 0:
		p.Since, p.Reason = l.troubles[0].Since, l.troubles[0].Reason+andMore(len(l.troubles)-1)
	default:
		p.State = view.PartUp
	}
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
	if own := l.centralPart(); l.joined && l.fencedBy.IsZero() && l.database == "" {
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
	return condition{part: p.Name, down: p.State == view.PartDown, since: p.Since, reason: p.Reason}
}
