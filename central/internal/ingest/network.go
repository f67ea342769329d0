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
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Network is the whole network at one moment.
type Network struct {
	At      charge.Time
	Central charge.Epoch
	Parts   []Part
	Books   Books
	CPs     []Point // sorted by id
}

// The states of a part.
const (
	PartUp      = "up"
	PartDown    = "down"
	PartUnknown = "unknown"
)

// Part is one link of the chain between charging points and the page.
type Part struct {
	Name   string // mqtt bridge kafka central
	State  string
	Since  charge.Time
	Reason string // in words: why it is not up, or what is remarkable while it is
}

// Books count journal records since the database was made.
type Books struct {
	Announced    int64 // that charging points say they hold or held
	Applied      int64
	Unacked      int64
	Duplicates   int64
	Gaps         int64
	Mismatched   int64 // deliveries of records that do not fit the chain
	Forked       int64
	Unusable     int64
	DeadLetters  int64
	BadTelemetry int64 // in this life
	Lost         int64 // in holes
	Alarms       int64 // open
	Twice        int64 // alarms that are open about energy on two tickets or sessions

	Billed      charge.WattHours // on tickets
	Running     charge.WattHours // of sessions that are open
	Unaccounted charge.WattHours // through the meters outside of sessions
}

// Point is one charging point.
type Point struct {
	ID         charge.CPID
	Name       string
	Place      string
	Admitted   bool
	Simulated  bool
	Link       ledger.Liveness
	LinkSince  charge.Time
	SeenAt     charge.Time
	Unacked    int64
	Alarm      string
	Agent      string
	Connectors []Connector
}

// Connector is one connector as it is shown: what the records say, with the
// latest values over it.
type Connector struct {
	Connector     charge.ConnectorID
	Status        charge.Status
	Available     bool // as wanted
	SessionID     charge.SessionID
	Username      charge.Username
	ReservationID charge.ReservationID
	ReservedUntil charge.Time
	Waits         orders.Waiting // what is wanted and not so yet
	Faults        []charge.Fault
	Rated         charge.Watts
	Power         charge.Watts
	Register      charge.WattHours
	Energy        charge.WattHours // of the running session
	Cost          money.Amount     // of the running session, provisional; zero without one
	ValuesAt      charge.Time      // of the telemetry; zero: none yet
}

// pointView is what the writer committed of a charging point, copied for Live.
type pointView struct {
	ID          charge.CPID
	Name        string
	Place       string
	Agent       string
	Alarm       string
	Admitted    bool
	Simulated   bool
	Online      bool
	HasSession  bool // a session is open
	Silent      bool // the ledger knows that it is silent meanwhile
	PresenceAt  charge.Time
	Present     charge.JournalID
	Known       int64 // records known, those in holes included
	Missing     int64 // records announced and not known
	Billed      charge.WattHours
	Running     charge.WattHours
	Unaccounted charge.WattHours // unaccounted
	Connectors  []connectorView
}

type connectorView struct {
	Connector
	statusAfter   charge.Status // once the reservation has expired
	sessionUser   charge.Username
	startRegister charge.WattHours
	started       bool
	tariff        charge.TariffVersion
}

// same reports whether nothing but numbers differs.
func (v *pointView) same(o *pointView) bool {
	if v.ID != o.ID || v.Name != o.Name || v.Place != o.Place || v.Agent != o.Agent || v.Alarm != o.Alarm ||
		v.Admitted != o.Admitted || v.Simulated != o.Simulated || v.Online != o.Online || v.Present != o.Present {
		return false
	}
	return slices.EqualFunc(v.Connectors, o.Connectors, func(x, y connectorView) bool {
		return x.Connector.Connector == y.Connector.Connector && x.Status == y.Status && x.Available == y.Available &&
			x.SessionID == y.SessionID && x.Username == y.Username && x.ReservationID == y.ReservationID &&
			x.ReservedUntil == y.ReservedUntil && x.Waits == y.Waits && x.started == y.started && x.tariff == y.tariff && slices.Equal(x.Faults, y.Faults)
	})
}

func (w *Writer) viewOf(cp *ledger.CP, now charge.Time) pointView {
	v := pointView{
		ID: cp.ID, Name: cp.Name, Place: cp.Place, Agent: cp.Agent, Admitted: cp.Admitted, Simulated: cp.Simulated,
		HasSession: cp.HasOpenSession(), Silent: cp.SilentSince != 0,
		Online: cp.Online, PresenceAt: cp.PresenceAt, Present: cp.CurrentJournal, Alarm: alarmOf(cp), Known: cp.KnownRecords,
		Connectors: make([]connectorView, 0, len(cp.Connectors)),
	}
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
		known := ack.Seq
		v.Missing = int64(max(last.Seq, known) - known)
	}
	for _, id := range slices.Sorted(maps.Keys(cp.Connectors)) {
		v.Connectors = append(v.Connectors, w.connectorView(cp, cp.Connectors[id], now))
	}
	return v
}

func alarmOf(cp *ledger.CP) string {
	switch {
	case cp.Forked():
		return "identity quarantined: " + cp.ForkReason
	case len(cp.Faults) > 0:
		return fmt.Sprintf("fault: %s", cp.Faults[0])
	}
	return ""
}

func (w *Writer) connectorView(cp *ledger.CP, k *ledger.Connector, now charge.Time) connectorView {
	t := orders.Target{CPID: cp.ID, Connector: k.ID}
	v := connectorView{Connector: Connector{
		Connector: k.ID, Status: cp.Status(k.ID, now), Available: k.Available, SessionID: k.Session,
		Faults: slices.Clone(k.Faults), Rated: k.Rated, Register: k.Register,
	}, statusAfter: cp.Status(k.ID, charge.MaxTime)}
	v.Waits = w.orders.WaitingOf(t, k)
	if wanted, ok := w.orders.DesiredAvailability(t); ok {
		v.Available = wanted
	}
	if s := cp.Sessions[k.Session]; s != nil {
		v.Username, v.sessionUser, v.startRegister, v.started, v.tariff = s.Username, s.Username, s.Start, s.Started, s.Tariff
		v.Energy = s.Energy()
	} else {
		v.SessionID = "" // it has its ticket, whatever the charging point says
	}
	if r, ok := w.orders.Reserved(t, now); ok {
		v.ReservationID, v.ReservedUntil, v.Username = r.ID, r.Until, cmp.Or(v.Username, r.Username)
	} else if k.Held.ID != "" && k.Held.Until > now {
		v.ReservationID, v.ReservedUntil, v.Username = k.Held.ID, k.Held.Until, cmp.Or(v.Username, k.Held.Username)
	}
	return v
}

// CentralState is what Central knows of itself.
type CentralState struct {
	Database string // why it cannot be written; "" when it can
	Inactive string // why Central is not active: in words; "" when it is
	Alarms   string // which alarms are open: in words; "" when none is
}

// State returns how Central itself fares.
func (l *Live) State() CentralState {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := CentralState{Database: l.database, Alarms: l.lastAlarm}
	switch {
	case !l.fencedBy.IsZero():
		o.Inactive = "another Central took over: this one only watches"
	case !l.joined:
		o.Inactive = l.waitsFor
	}
	return o
}

// parts says of each link of the chain whether it is up, and since when.
func (l *Live) parts(now charge.Time) []Part {
	return []Part{l.mqttPart(now), l.bridgePart(now), l.kafka, l.centralPart()}
}

func (l *Live) mqttPart(now charge.Time) Part {
	p := Part{Name: "mqtt", State: PartUnknown, Since: l.pipeline.Started, Reason: "the bridge, which knows, is not heard"}
	switch {
	case l.bridge == nil:
		return p
	case !l.pipeline.BridgeUp(now):
		p.Since = l.pipeline.LastHeartbeat()
		return p
	case l.bridge.MQTT.Up:
		p.State, p.Reason = PartUp, ""
	default:
		p.State, p.Reason = PartDown, l.bridge.MQTT.Reason
	}
	p.Since = l.bridge.MQTT.Since
	return p
}

func (l *Live) bridgePart(now charge.Time) Part {
	p := Part{Name: "bridge", State: PartDown, Since: l.pipeline.Started, Reason: "not heard yet"}
	switch {
	case l.pipeline.BridgeUp(now):
		return l.liveBridgePart(now)
	case l.bridge != nil:
		p.Since, p.Reason = l.pipeline.LastHeartbeat(), "not heard any more"
	}
	switch {
	case l.kafka.State != PartUp:
		p.State, p.Reason = PartUnknown, "Kafka is away, so the bridge cannot be heard"
	case l.heartbeatsUnread != "":
		p.State, p.Reason = PartUnknown, "this Central cannot hear it: "+l.heartbeatsUnread
	}
	return p
}

// liveBridgePart is the state of the bridges that are heard: down when one of
// them cannot do its work.
func (l *Live) liveBridgePart(now charge.Time) Part {
	p := Part{Name: "bridge", State: PartUp, Since: l.bridge.StartedAt, Reason: strings.Join(l.bridge.Warnings, "; ")}
	for _, name := range slices.Sorted(maps.Keys(l.bridges)) {
		b := l.bridges[name]
		if now > b.at.Add(staleAfter) || len(b.alive.Troubles) == 0 {
			continue
		}
		first := b.alive.Troubles[0]
		if p.State == PartUp || first.Since < p.Since {
			p.State, p.Since, p.Reason = PartDown, first.Since, "bridge "+name+" "+first.Reason+andMore(len(b.alive.Troubles)-1)
		}
	}
	return p
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

func (l *Live) centralPart() Part {
	p := Part{Name: "central", State: PartDown, Since: l.since}
	switch {
	case l.database != "":
		p.Reason = l.database
	case !l.fencedBy.IsZero():
		p.Reason = "another Central took over: this one only watches"
	case !l.joined:
		p.Reason = l.waitsFor
	case len(l.troubles) > 0:
		p.Since, p.Reason = l.troubles[0].Since, l.troubles[0].Reason+andMore(len(l.troubles)-1)
	default:
		p.State = PartUp
	}
	return p
}

// conditions are the alarms that Central raises and takes back by itself for a
// part that cannot do its work. What is not known now is left out: it stays as it
// is.
func (l *Live) conditions(now charge.Time) []condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kafka.State != PartUp {
		return nil
	}
	var all []condition
	if own := l.centralPart(); l.joined && l.fencedBy.IsZero() && l.database == "" {
		all = append(all, conditionOf(own))
	}
	if b := l.bridgePart(now); b.State != PartUnknown && l.bridge != nil && (b.State == PartUp || now >= b.Since.Add(bridgeSilentAfter)) {
		all = append(all, conditionOf(b))
	}
	return all
}

// bridgeSilentAfter is after what silence of a bridge that was heard an alarm is
// raised: longer than its restart.
const bridgeSilentAfter = 10 * time.Second

func conditionOf(p Part) condition {
	return condition{part: p.Name, down: p.State == PartDown, since: p.Since, reason: p.Reason}
}
