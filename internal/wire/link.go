package wire

import (
	"unicode/utf8"

	"github.com/carga-ev/carga/internal/charge"
)

// Ack says that everything of Journal up to and with Seq, and all that it
// follows, is in Central's database or is a recorded hole. Journal nil: Central
// knows no journal of this charging point.
type Ack struct {
	V       int               `json:"v"`
	Central charge.Epoch      `json:"central"`
	Journal *charge.JournalID `json:"journal"`
	Seq     charge.Seq        `json:"seq"`
	At      charge.Time       `json:"at"`
}

// DecodeAck reads an acknowledgement strictly.
func DecodeAck(raw []byte) (Ack, error) {
	var m Ack
	if err := decode("ack", "", raw, &m); err != nil {
		return Ack{}, err
	}
	return m, nil
}

// Encode writes the acknowledgement.
func (m *Ack) Encode() ([]byte, error) { return encode("ack", m) }

func (m *Ack) validate(c *check) {
	c.version(m.V)
	c.require("central", "seq", "at")
	c.epoch("central", m.Central)
	if m.Journal != nil {
		c.id("journal", string(*m.Journal))
	}
	c.within("seq", int64(min(m.Seq, 1<<62)), 0, 1<<53)
	if m.Journal == nil && m.Seq != 0 {
		c.fail("seq", "is %d without a journal; 0 is expected", m.Seq)
	}
	c.time("at", m.At)
}

// Presence says that a charging point is there, or, as its last will, that it
// is gone; and what its disk still holds.
type Presence struct {
	V       int              `json:"v"`
	Online  bool             `json:"online"`
	Journal charge.JournalID `json:"journal"` // of this boot
	Conn    uint64           `json:"conn"`    // counts the connections of this journal, so that a late will is recognised
	First   *Position        `json:"first"`   // first record held; null in a last will
	Next    *Position        `json:"next"`    // first record not acknowledged; one beyond Last when all are
	Last    *Position        `json:"last"`    // last record held
	// Central is the epoch of the agent's position. Ordered is the highest epoch
	// of a command for this boot, if that is above Central: what a lower one
	// orders has no effect.
	Central charge.Epoch `json:"central,omitzero"`
	Ordered charge.Epoch `json:"ordered_by,omitzero"`
	At      charge.Time  `json:"at"`
}

// DecodePresence reads a presence strictly.
func DecodePresence(raw []byte) (Presence, error) {
	var m Presence
	if err := decode("presence", "", raw, &m); err != nil {
		return Presence{}, err
	}
	return m, nil
}

// Encode writes the presence.
func (m *Presence) Encode() ([]byte, error) { return encode("presence", m) }

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

// Telemetry is the latest values of one charging point, and its heartbeat. It
// may be lost; nothing is accounted by it.
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

// ConnectorTelemetry is the latest values of one connector.
type ConnectorTelemetry struct {
	Connector   charge.ConnectorID  `json:"connector"`
	Status      charge.Status       `json:"status"`
	SessionID   charge.SessionID    `json:"session_id,omitempty"`
	Start       charge.WattHours    `json:"register_start_wh,omitzero"` // of the session
	Register    charge.WattHours    `json:"register_wh"`
	Power       charge.Watts        `json:"power_w"`
	Current     charge.MilliAmps    `json:"current_ma,omitzero"`
	Voltage     charge.MilliVolts   `json:"voltage_mv,omitzero"`
	Temperature charge.MilliCelsius `json:"temperature_mc,omitzero"`
	Faults      []charge.Fault      `json:"faults,omitempty"`
}

// Health is how the agent itself fares.
type Health struct {
	Unacked      int64  `json:"unacked"`               // records not acknowledged by Central
	OldestMS     int64  `json:"oldest_ms,omitzero"`    // age of the oldest of them
	QuotaPermill int64  `json:"quota_permille"`        // of the space for un-acked records
	NoKeeper     bool   `json:"no_keeper,omitempty"`   // no dead-man device is fitted
	Alarm        string `json:"alarm,omitempty"`       // in words, empty when all is well
	SafetyLate   int64  `json:"safety_late,omitzero"`  // ticks of the safety loop that came too late
	Commands     int64  `json:"commands,omitzero"`     // received in this boot
	Refused      int64  `json:"refused,omitzero"`      // of them without effect
	BadMessages  int64  `json:"bad_messages,omitzero"` // received and not readable
}

// DecodeTelemetry reads telemetry strictly.
func DecodeTelemetry(raw []byte) (Telemetry, error) {
	var m Telemetry
	if err := decode("telemetry", "", raw, &m); err != nil {
		return Telemetry{}, err
	}
	return m, nil
}

// Encode writes the telemetry.
func (m *Telemetry) Encode() ([]byte, error) { return encode("telemetry", m) }

func (m *Telemetry) validate(c *check) {
	c.version(m.V)
	c.require("cp_id", "journal", "at", "connectors")
	c.id("cp_id", string(m.CPID))
	c.id("journal", string(m.Journal))
	c.time("at", m.At)
	if m.Clock != "" && !m.Clock.Valid() {
		c.fail("clock", "%.20q is unknown; synced, set or unset is expected", m.Clock)
	}
	c.within("uptime_ms", m.UptimeMS, 0, 1<<53)
	c.within("interval_ms", m.IntervalMS, 0, 3_600_000)
	if len(m.Connectors) > charge.MaxConnectors {
		c.fail("connectors", "has %d entries; at most %d are allowed", len(m.Connectors), charge.MaxConnectors)
	}
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
		for _, f := range t.Faults {
			c.fault("connectors.faults", f)
		}
	}
	c.text("health.alarm", m.Health.Alarm, 512)
}

// Dependency is the state of something a part needs, and since when.
type Dependency struct {
	Up     bool        `json:"up"`
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason,omitempty"` // in words, when down
}

// Trouble is something that a part cannot do although what it needs is up.
type Trouble struct {
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason"` // in words
}

// Bounds of what a sign of life tells in words.
const (
	maxTroubles = 32
	maxReason   = 1024
	maxDetail   = 512
)

// BridgeAlive is said by the bridge each second on monitor-events.
type BridgeAlive struct {
	V           int         `json:"v"`
	Bridge      string      `json:"bridge"` // the instance's name
	At          charge.Time `json:"at"`
	StartedAt   charge.Time `json:"started_at"`
	MQTT        Dependency  `json:"mqtt"`
	Kafka       Dependency  `json:"kafka"`
	Buffered    int64       `json:"buffered"`  // events received by MQTT and not yet acknowledged by Kafka
	OldestMS    int64       `json:"oldest_ms"` // age of the oldest of them
	Accepted    int64       `json:"accepted"`  // events since start; the books: accepted = forwarded + dead letters + buffered
	Forwarded   int64       `json:"forwarded"`
	DeadLetters int64       `json:"dead_letters"`
	Retries     int64       `json:"retries"`
	Conflated   int64       `json:"conflated"` // telemetry replaced by newer before it was sent
	Commands    int64       `json:"commands"`  // passed down
	// DeadLetter says where the last dead letter came from and why it is one.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Troubles are what the bridge cannot write or read for longer than 10 s while
	// Kafka is up, the oldest first.
	Troubles []Trouble `json:"troubles,omitempty"`
	// Warnings are what an operator may want to change; nothing is down by them.
	Warnings []string `json:"warnings,omitempty"`
}

// SetDetails sets what is told in words, cut to what a sign of life may hold.
func (m *BridgeAlive) SetDetails(deadLetter string, troubles []Trouble, warnings []string) {
	m.DeadLetter = Cut(deadLetter, maxDetail)
	for _, t := range troubles[:min(len(troubles), maxTroubles)] {
		m.Troubles = append(m.Troubles, Trouble{t.Since, Cut(t.Reason, maxDetail)})
	}
	for _, w := range warnings[:min(len(warnings), maxTroubles)] {
		m.Warnings = append(m.Warnings, Cut(w, maxDetail))
	}
}

// Cut shortens a text for a person to at most so many bytes, and leaves no part
// of a character.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// BridgeKey is the key of a bridge's heartbeats on monitor-events. A cp_id has
// no slash, so no charging point shares it, whatever the bridge is called.
func BridgeKey(name string) string { return "bridge/" + name }

// DecodeBridgeAlive reads a bridge's sign of life strictly.
func DecodeBridgeAlive(raw []byte) (BridgeAlive, error) {
	var m BridgeAlive
	if err := decode("bridge_alive", "", raw, &m); err != nil {
		return BridgeAlive{}, err
	}
	return m, nil
}

// Encode writes the sign of life.
func (m *BridgeAlive) Encode() ([]byte, error) { return encode("bridge_alive", m) }

func (m *BridgeAlive) validate(c *check) {
	c.version(m.V)
	c.require("bridge", "at")
	c.name("bridge", m.Bridge)
	c.time("at", m.At)
	c.text("mqtt.reason", m.MQTT.Reason, maxReason)
	c.text("kafka.reason", m.Kafka.Reason, maxReason)
	c.text("dead_letter", m.DeadLetter, maxReason)
	if len(m.Troubles) > maxTroubles || len(m.Warnings) > maxTroubles {
		c.fail("troubles", "has %d entries and warnings has %d; at most %d are allowed", len(m.Troubles), len(m.Warnings), maxTroubles)
	}
	for i := range m.Troubles {
		c.time("troubles.since", m.Troubles[i].Since)
		c.text("troubles.reason", m.Troubles[i].Reason, maxReason)
	}
	for _, w := range m.Warnings {
		c.text("warnings", w, maxReason)
	}
}

// CentralAlive is said by Central each second on monitor-events, so that two
// Centrals notice each other.
type CentralAlive struct {
	V       int          `json:"v"`
	Central charge.Epoch `json:"central"`
	At      charge.Time  `json:"at"`
}

// DecodeCentralAlive reads a Central's sign of life strictly.
func DecodeCentralAlive(raw []byte) (CentralAlive, error) {
	var m CentralAlive
	if err := decode("central_alive", "", raw, &m); err != nil {
		return CentralAlive{}, err
	}
	return m, nil
}

// Encode writes the sign of life.
func (m *CentralAlive) Encode() ([]byte, error) { return encode("central_alive", m) }

func (m *CentralAlive) validate(c *check) {
	c.version(m.V)
	c.require("central", "at")
	c.epoch("central", m.Central)
	c.time("at", m.At)
}

// WriterEpoch is the epoch of the Central that wrote a message of that kind (see
// HeaderKind) on cp-commands or monitor-events; zero if none did. central is the
// value of HeaderCentral: what a command or an acknowledgement carries in its
// body is the epoch for one charging point, and says nothing of the others.
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
