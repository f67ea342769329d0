package wire

import (
	"fmt"
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// Ack acknowledges that everything of Journal up to and with Seq, and of all
// journals that it follows, is in Central's database or is recorded as a gap.
// With Journal nil, Central knows no journal of this charging point.
type Ack struct {
	V       int               `json:"v"`
	Central charge.Epoch      `json:"central"`
	Journal *charge.JournalID `json:"journal"`
	Seq     charge.Seq        `json:"seq"`
	At      charge.Time       `json:"at"`
}

// DecodeAck decodes an acknowledgement strictly.
func DecodeAck(raw []byte) (Ack, error) {
	var m Ack
	if err := decode("ack", "", raw, &m); err != nil {
		return Ack{}, err
	}
	return m, nil
}

// Encode returns the bytes of the acknowledgement.
func (m *Ack) Encode() ([]byte, error) { return encode("ack", m) }

// validate demands seq 0 without a journal.
func (m *Ack) validate(c *check) {
	c.version(m.V)
	c.require("central", "seq", "at")
	c.epoch("central", m.Central)
	if m.Journal != nil {
		c.id("journal", string(*m.Journal))
	}
	c.within("seq", int64(min(m.Seq, 1<<62)), 0, 1<<53)
	if m.Journal == nil && m.Seq != 0 {
		c.fail("seq", reason.Wrong{Code: reason.SeqAlone, Value: fmt.Sprint(m.Seq)})
	}
	c.time("at", m.At)
}

// Presence reports that a charging point is connected, or, as its last will,
// that it is gone, and which records its disk holds.
type Presence struct {
	V       int              `json:"v"`
	Online  bool             `json:"online"`
	Journal charge.JournalID `json:"journal"` // of this boot
	Conn    uint64           `json:"conn"`    // counts the connections of this journal, so that a delayed will is recognized
	First   *Position        `json:"first"`   // the first record held; null in a last will
	Next    *Position        `json:"next"`    // the first record that is not acknowledged; one behind Last when all are
	Last    *Position        `json:"last"`    // the last record held
	// Central is the epoch of the agent's position. Ordered is the highest epoch
	// of a command for this boot, if that is above Central: commands of a lower
	// epoch have no effect.
	Central charge.Epoch `json:"central,omitzero"`
	Ordered charge.Epoch `json:"ordered_by,omitzero"`
	At      charge.Time  `json:"at"`
}

// DecodePresence decodes a presence strictly.
func DecodePresence(raw []byte) (Presence, error) {
	var m Presence
	if err := decode("presence", "", raw, &m); err != nil {
		return Presence{}, err
	}
	return m, nil
}

// Encode returns the bytes of the presence.
func (m *Presence) Encode() ([]byte, error) { return encode("presence", m) }

// validate accepts a last will without positions: the broker publishes it, long
// after the agent wrote it.
func (m *Presence) validate(c *check) {
	c.version(m.V)
	c.require("online", "journal", "conn", "at")
	c.id("journal", string(m.Journal))
	c.within("conn", int64(min(m.Conn, 1<<62)), 1, 1<<53)
	m.First.validate(c, "first")
	m.Next.validate(c, "next")
	m.Last.validate(c, "last")
	if !m.Central.IsZero() {
		c.epoch("central", m.Central)
	}
	if !m.Ordered.IsZero() {
		c.epoch("ordered_by", m.Ordered)
	}
	c.time("at", m.At)
}

// Telemetry has the latest values of one charging point, and is its heartbeat.
// It may be lost: nothing is accounted by it.
type Telemetry struct {
	V          int                  `json:"v"`
	CPID       charge.CPID          `json:"cp_id"`
	Journal    charge.JournalID     `json:"journal"`
	At         charge.Time          `json:"at"`
	Clock      charge.ClockQuality  `json:"clock"`
	UptimeMS   int64                `json:"uptime_ms"`
	IntervalMS int64                `json:"interval_ms"` // until the next one is due
	Connectors []ConnectorTelemetry `json:"connectors"`
	Health     Health               `json:"health"`
}

// ConnectorTelemetry has the latest values of one connector.
type ConnectorTelemetry struct {
	// Connector counts from 1.
	Connector charge.ConnectorID `json:"connector"`
	Status    charge.Status      `json:"status"`
	SessionID charge.SessionID   `json:"session_id,omitempty"`
	// Start is the register at the beginning of the session; 0 without a
	// session.
	Start       charge.WattHours    `json:"register_start_wh,omitzero"`
	Register    charge.WattHours    `json:"register_wh"`
	Power       charge.Watts        `json:"power_w"`
	Current     charge.MilliAmps    `json:"current_ma,omitzero"`
	Voltage     charge.MilliVolts   `json:"voltage_mv,omitzero"`
	Temperature charge.MilliCelsius `json:"temperature_mc,omitzero"`
	Faults      []charge.Fault      `json:"faults,omitempty"`
	// Limit is the lowest limit of the current per phase, and LimitBy its owner; below
	// 6 A no power flows. Absent: not known yet.
	Limit   *charge.MilliAmps `json:"limit_ma,omitempty"`
	LimitBy charge.LimitOwner `json:"limit_by,omitempty"`
}

// MaxReaderTrouble bounds Health.Reader, in bytes.
const MaxReaderTrouble = 256

// Health is the state of the agent itself.
type Health struct {
	// Unacked and OldestMS are the records that Central has not acknowledged:
	// how many, and the age of the oldest.
	Unacked  int64 `json:"unacked"`
	OldestMS int64 `json:"oldest_ms,omitzero"`
	// QuotaPermill is how much of the space for unacknowledged records is used.
	// From 900 on, the agent starts no session.
	QuotaPermill int64 `json:"quota_permille"`
	// NoKeeper reports that no dead-man device is fitted.
	NoKeeper bool `json:"no_keeper,omitempty"`
	// Alarm is what is wrong, for a person; empty when all is well.
	Alarm string `json:"alarm,omitempty"`
	// Reader is why the card reader does not answer, and ReaderMS for how long it has
	// not; empty when it answers or none is fitted.
	Reader   string `json:"reader,omitempty"`
	ReaderMS int64  `json:"reader_ms,omitzero"`
	// SafetyLate counts the iterations of the safety loop that were late.
	SafetyLate int64 `json:"safety_late,omitzero"`
	// Commands were received in this boot; Refused are those of them without
	// effect.
	Commands int64 `json:"commands,omitzero"`
	Refused  int64 `json:"refused,omitzero"`
	// BadMessages were received and could not be decoded.
	BadMessages int64 `json:"bad_messages,omitzero"`
}

// DecodeTelemetry decodes telemetry strictly.
func DecodeTelemetry(raw []byte) (Telemetry, error) {
	var m Telemetry
	if err := decode("telemetry", "", raw, &m); err != nil {
		return Telemetry{}, err
	}
	return m, nil
}

// Encode returns the bytes of the telemetry.
func (m *Telemetry) Encode() ([]byte, error) { return encode("telemetry", m) }

// validate bounds values far beyond any hardware: their purpose is to detect a
// wrong unit.
func (m *Telemetry) validate(c *check) {
	c.version(m.V)
	c.require("cp_id", "journal", "at", "connectors")
	c.id("cp_id", string(m.CPID))
	c.id("journal", string(m.Journal))
	c.time("at", m.At)
	if m.Clock != "" && !m.Clock.Valid() {
		c.fail("clock", unknown(m.Clock, clocks))
	}
	c.within("uptime_ms", m.UptimeMS, 0, 1<<53)
	c.within("interval_ms", m.IntervalMS, 0, 3_600_000)
	c.entries("connectors", len(m.Connectors), 0, charge.MaxConnectors)
	for i := range m.Connectors {
		t := &m.Connectors[i]
		c.within("connectors.connector", int64(t.Connector), 1, charge.MaxConnectors)
		c.status("connectors.status", t.Status)
		c.optionalID("connectors.session_id", string(t.SessionID))
		c.register("connectors.register_wh", t.Register)
		c.register("connectors.register_start_wh", t.Start)
		c.within("connectors.power_w", int64(t.Power), -10_000_000, 10_000_000)
		c.within("connectors.current_ma", int64(t.Current), -10_000_000, 10_000_000)
		c.within("connectors.voltage_mv", int64(t.Voltage), 0, 10_000_000)
		c.within("connectors.temperature_mc", int64(t.Temperature), -273_150, 10_000_000)
		if t.Limit != nil {
			c.within("connectors.limit_ma", int64(*t.Limit), 0, MaxLimit)
		}
		if t.LimitBy != "" && !t.LimitBy.Valid() {
			c.fail("connectors.limit_by", unknown(t.LimitBy, charge.LimitOwners()))
		}
		for _, f := range t.Faults {
			c.fault("connectors.faults", f)
		}
	}
	c.text("health.alarm", m.Health.Alarm, 512)
	c.text("health.reader", m.Health.Reader, MaxReaderTrouble)
	c.within("health.reader_ms", m.Health.ReaderMS, 0, 1<<53)
}

// Dependency is the state of something that a program needs, and since when.
type Dependency struct {
	Up     bool          `json:"up"`
	Since  charge.Time   `json:"since"`
	Reason string        `json:"reason,omitempty"` // in words, when down
	Why    reason.Reason `json:"why,omitzero"`     // the same for programs; absent in older bridges
}

// Trouble is something that a program cannot do although what it needs is up.
type Trouble struct {
	Since  charge.Time   `json:"since"`
	Reason string        `json:"reason"`       // in words
	Why    reason.Reason `json:"why,omitzero"` // as in Dependency
}

// Bounds of the texts in a heartbeat: entries of a list, and bytes of a text, as
// accepted and as written.
const (
	maxTroubles     = 32
	writtenTroubles = 12
	maxReason       = 1024
	maxDetail       = 512
	maxValue        = 256 // of a value of a reason, as written
)

// BridgeAlive is the heartbeat of a bridge. The bridge publishes it each second
// on monitor-events.
//
// Invariant: Accepted = Forwarded + DeadLetters + Buffered.
type BridgeAlive struct {
	V           int         `json:"v"`
	Bridge      string      `json:"bridge"` // the instance's name
	At          charge.Time `json:"at"`
	StartedAt   charge.Time `json:"started_at"`
	MQTT        Dependency  `json:"mqtt"`
	Kafka       Dependency  `json:"kafka"`
	Buffered    int64       `json:"buffered"`  // events received by MQTT and not yet acknowledged by Kafka
	OldestMS    int64       `json:"oldest_ms"` // age of the oldest of them
	Accepted    int64       `json:"accepted"`  // events received since the start
	Forwarded   int64       `json:"forwarded"`
	DeadLetters int64       `json:"dead_letters"`
	Retries     int64       `json:"retries"`
	Conflated   int64       `json:"conflated"` // telemetry that a newer value replaced before it was written
	Commands    int64       `json:"commands"`  // messages published to charging points
	// DeadLetter is where the last dead letter came from, and why it is one.
	DeadLetter string `json:"dead_letter,omitempty"`
	// DeadLetterWhy is why it is one, for programs; absent in older bridges.
	DeadLetterWhy reason.Reason `json:"dead_letter_why,omitzero"`
	// Troubles are what the bridge has not been able to write or read for longer
	// than 10 s while Kafka is up, the oldest first.
	Troubles []Trouble `json:"troubles,omitempty"`
	// Warnings are what an operator may want to change. None of them is a
	// failure.
	Warnings []string `json:"warnings,omitempty"`
	// WarningsWhy are the warnings again, for programs, in the same order; absent in
	// older bridges.
	WarningsWhy []reason.Reason `json:"warnings_why,omitempty"`
	// Lease is set if the bridge shares its MQTT session with others, of which one is
	// active.
	Lease *BridgeLease `json:"lease,omitempty"`
}

// BridgeLease is what a bridge states about the MQTT session that it shares.
type BridgeLease struct {
	Session string `json:"session"` // the MQTT client id
	// Holds is set if the bridge is active, or claims to be. Without it the bridge
	// stands by, and is not connected to MQTT.
	Holds bool `json:"holds"`
	// Term is the number of its claim, or the highest that it has read.
	Term int64 `json:"term"`
	// Number counts the heartbeats of this run.
	Number int64 `json:"number"`
}

// StandsBy reports that another bridge does the work of this one.
func (m *BridgeAlive) StandsBy() bool { return m.Lease != nil && !m.Lease.Holds }

// SetDetails sets the fields with texts, cut to what a heartbeat may contain. The
// texts of dead letter and troubles follow from their reasons; origin is the topic on
// which the last dead letter came.
func (m *BridgeAlive) SetDetails(origin string, deadLetter reason.Reason, troubles []Trouble, warnings []reason.Reason) {
	if !deadLetter.IsZero() {
		m.DeadLetter = Cut(origin+": "+deadLetter.String(), maxDetail)
		m.DeadLetterWhy = cutReason(deadLetter)
	}
	for _, t := range troubles[:min(len(troubles), writtenTroubles)] {
		m.Troubles = append(m.Troubles, Trouble{t.Since, Cut(t.Why.String(), maxDetail), cutReason(t.Why)})
	}
	for _, w := range warnings[:min(len(warnings), writtenTroubles)] {
		m.Warnings, m.WarningsWhy = append(m.Warnings, Cut(w.String(), maxDetail)), append(m.WarningsWhy, cutReason(w))
	}
}

// DependencyDown returns the state of what does not work, cut to what a heartbeat may
// contain.
func DependencyDown(since charge.Time, words string, why reason.Reason) Dependency {
	return Dependency{Since: since, Reason: Cut(words, maxReason), Why: cutReason(why)}
}

// cutReason cuts the texts of a reason.
func cutReason(r reason.Reason) reason.Reason {
	for _, v := range []*string{
		&r.Part, &r.Bridge, &r.Address, &r.Topic, &r.Central, &r.Journal, &r.Session, &r.Other, &r.Driver, &r.Fault, &r.Since,
		&r.Message, &r.Field, &r.Value, &r.Allowed, &r.Detail, &r.Note,
	} {
		*v = Cut(*v, maxValue)
	}
	return r
}

// Cut shortens a text for a person to at most so many bytes, without splitting a
// character.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// BridgeKey returns the key of a bridge's heartbeats on monitor-events. A cp_id
// has no slash, so no charging point has the same key, whatever the name of the
// bridge. Bridges that share a session have its client id in place of their names, so
// that all read their heartbeats in the same order.
func BridgeKey(name string) string { return "bridge/" + name }

// DecodeBridgeAlive decodes a bridge's heartbeat strictly.
func DecodeBridgeAlive(raw []byte) (BridgeAlive, error) {
	var m BridgeAlive
	if err := decode("bridge_alive", "", raw, &m); err != nil {
		return BridgeAlive{}, err
	}
	return m, nil
}

// Encode returns the bytes of the heartbeat.
func (m *BridgeAlive) Encode() ([]byte, error) { return encode("bridge_alive", m) }

func (m *BridgeAlive) validate(c *check) {
	c.version(m.V)
	c.require("bridge", "at")
	c.name("bridge", m.Bridge)
	c.time("at", m.At)
	c.text("mqtt.reason", m.MQTT.Reason, maxReason)
	c.text("kafka.reason", m.Kafka.Reason, maxReason)
	c.reason("mqtt.why", m.MQTT.Why)
	c.reason("kafka.why", m.Kafka.Why)
	c.text("dead_letter", m.DeadLetter, maxReason)
	c.reason("dead_letter_why", m.DeadLetterWhy)
	c.entries("troubles", len(m.Troubles), 0, maxTroubles)
	c.entries("warnings", len(m.Warnings), 0, maxTroubles)
	for i := range m.Troubles {
		c.time("troubles.since", m.Troubles[i].Since)
		c.text("troubles.reason", m.Troubles[i].Reason, maxReason)
		c.reason("troubles.why", m.Troubles[i].Why)
	}
	for _, w := range m.Warnings {
		c.text("warnings", w, maxReason)
	}
	c.entries("warnings_why", len(m.WarningsWhy), 0, maxTroubles)
	for _, w := range m.WarningsWhy {
		c.reason("warnings_why", w)
	}
	if l := m.Lease; l != nil {
		c.name("lease.session", l.Session)
		c.within("lease.term", l.Term, 0, 1<<53)
		c.within("lease.number", l.Number, 0, 1<<53)
	}
}

// CentralAlive is the heartbeat of a Central. Central publishes it each second
// on monitor-events, so that two Centrals notice each other.
type CentralAlive struct {
	V       int          `json:"v"`
	Central charge.Epoch `json:"central"`
	At      charge.Time  `json:"at"`
}

// DecodeCentralAlive decodes a Central's heartbeat strictly.
func DecodeCentralAlive(raw []byte) (CentralAlive, error) {
	var m CentralAlive
	if err := decode("central_alive", "", raw, &m); err != nil {
		return CentralAlive{}, err
	}
	return m, nil
}

// Encode returns the bytes of the heartbeat.
func (m *CentralAlive) Encode() ([]byte, error) { return encode("central_alive", m) }

func (m *CentralAlive) validate(c *check) {
	c.version(m.V)
	c.require("central", "at")
	c.epoch("central", m.Central)
	c.time("at", m.At)
}

// WriterEpoch returns the epoch of the Central that wrote a message of that kind
// (see HeaderKind) on cp-commands or monitor-events; zero if no Central did.
// central is the value of HeaderCentral. The epoch in the body of a command or
// an acknowledgement is that for one charging point, which can differ.
func WriterEpoch(kind string, central, value []byte) charge.Epoch {
	switch kind {
	case KindValueCommand, KindValueAck:
		if e, err := charge.ParseEpoch(string(central)); err == nil {
			return e
		}
	case KindValueCentralAlive:
		if a, err := DecodeCentralAlive(value); err == nil {
			return a.Central
		}
	}
	return charge.Epoch{}
}
