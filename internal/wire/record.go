package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/carga-ev/carga/internal/charge"
)

// RecordType says what a journal record tells: a fact, in the past tense.
type RecordType string

// The types of journal records.
const (
	TypeRegistered       RecordType = "cp_registered"
	TypeStatusChanged    RecordType = "connector_status_changed"
	TypePluggedIn        RecordType = "plugged_in"
	TypeUnplugged        RecordType = "unplugged"
	TypeAuthRequested    RecordType = "authorization_requested"
	TypeCommandAccepted  RecordType = "command_accepted"
	TypeAuthorized       RecordType = "authorized"
	TypeReservationEnded RecordType = "reservation_ended"
	TypeChargingStarted  RecordType = "charging_started"
	TypeMeterRead        RecordType = "meter_read"
	TypeSuspended        RecordType = "charging_suspended"
	TypeResumed          RecordType = "charging_resumed"
	TypeChargingStopped  RecordType = "charging_stopped"
	TypeFaultRaised      RecordType = "fault_raised"
	TypeFaultCleared     RecordType = "fault_cleared"
	TypeCommandFinished  RecordType = "command_finished"
	TypeAnomalySeen      RecordType = "anomaly_seen"
)

// Version is the version of messages this build writes.
const Version = 1

// Record is one record of a charging point's journal. Its bytes are made once,
// when it is journalled, and never change on the way; Hash is taken over them.
//
// The envelope (v cp_id journal seq prev type at) never changes between
// versions, so a record of any version is counted and acknowledged.
type Record struct {
	V         int                 `json:"v"`
	CPID      charge.CPID         `json:"cp_id"`
	Journal   charge.JournalID    `json:"journal"`
	Seq       charge.Seq          `json:"seq"`
	Prev      string              `json:"prev"` // hex SHA-256 of the record before; empty when nothing is before it
	Type      RecordType          `json:"type"`
	Connector charge.ConnectorID  `json:"connector,omitzero"` // 0: the charging point as a whole
	SessionID charge.SessionID    `json:"session_id,omitzero"`
	At        charge.Time         `json:"at"`
	Clock     charge.ClockQuality `json:"clock,omitzero"`
	UptimeMS  int64               `json:"uptime_ms"` // since the agent's start, by its monotonic clock
	Data      json.RawMessage     `json:"data,omitempty"`
}

// DecodeRecord reads the envelope strictly and leaves Data for Payload: a
// record whose data cannot be used is still counted.
func DecodeRecord(raw []byte) (Record, error) {
	var r Record
	if r.plain(raw) {
		return r, nil
	}
	r = Record{}
	if err := decode("record", "", raw, &r); err != nil {
		return Record{}, err
	}
	return r, nil
}

// Encode writes the record's bytes. They are what is journalled, hashed, sent
// and kept.
func (r *Record) Encode() ([]byte, error) { return encode("record", r) }

// NewRecord makes a record of payload p; the caller fills in the envelope.
func NewRecord(p Payload) (Record, error) {
	data, err := encode(string(p.RecordType()), p)
	if err != nil {
		return Record{}, err
	}
	return Record{V: Version, Type: p.RecordType(), Data: data}, nil
}

// Hash is the lower-case hex SHA-256 of a record's bytes.
func Hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (r *Record) validate(c *check) {
	c.version(r.V)
	c.require("cp_id", "journal", "seq", "prev", "type", "at")
	c.id("cp_id", string(r.CPID))
	c.id("journal", string(r.Journal))
	c.within("seq", int64(min(r.Seq, 1<<62)), 1, 1<<53)
	if r.Prev != "" && !isHash(r.Prev) {
		c.fail("prev", "is not a lower-case hex SHA-256")
	}
	if len(r.Type) == 0 || len(r.Type) > 64 {
		c.fail("type", "has %d bytes; 1 to 64 are allowed", len(r.Type))
	}
	c.connector(r.Connector, 0)
	c.optionalID("session_id", string(r.SessionID))
	c.time("at", r.At)
	if r.Clock != "" && !r.Clock.Valid() {
		c.fail("clock", "%.20q is unknown; synced, set or unset is expected", r.Clock)
	}
	c.within("uptime_ms", r.UptimeMS, 0, 1<<53)
}

func isHash(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Payload is the data of one type of record.
type Payload interface {
	message
	// RecordType is the type of the records that carry it.
	RecordType() RecordType
}

// Payload decodes Data strictly by the record's type. It answers (nil, nil)
// for a type this build does not know: such a record is counted, kept and
// acknowledged like any other.
func (r *Record) Payload() (Payload, error) {
	p := newPayload(r.Type)
	if p == nil {
		return nil, nil
	}
	raw := r.Data
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if err := decode("record "+string(r.Type), "data", raw, p); err != nil {
		return nil, err
	}
	if reg, ok := p.(*Registered); ok && r.Seq == 1 {
		if err := r.begins(reg.After); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// begins refuses a record 1 that denies its own envelope: prev is the hash of
// what after names, and no journal follows itself.
func (r *Record) begins(after *Position) error {
	var fault string
	switch {
	case after == nil && r.Prev != "":
		fault = "is null, and prev is the hash of a record; one of them is wrong"
	case after != nil && r.Prev == "":
		fault = "names a record, and prev is empty; one of them is wrong"
	case after != nil && after.Journal == r.Journal:
		fault = "names a record of this journal; a journal follows another one"
	default:
		return nil
	}
	return &DecodeError{"record " + string(r.Type), "data.after", fault}
}

func newPayload(t RecordType) Payload {
	switch t {
	case TypeRegistered:
		return new(Registered)
	case TypeStatusChanged:
		return new(StatusChanged)
	case TypePluggedIn:
		return new(PluggedIn)
	case TypeUnplugged:
		return new(Unplugged)
	case TypeAuthRequested:
		return new(AuthRequested)
	case TypeCommandAccepted:
		return new(CommandAccepted)
	case TypeAuthorized:
		return new(Authorized)
	case TypeReservationEnded:
		return new(ReservationEnded)
	case TypeChargingStarted:
		return new(ChargingStarted)
	case TypeMeterRead:
		return new(MeterRead)
	case TypeSuspended:
		return new(Suspended)
	case TypeResumed:
		return new(Resumed)
	case TypeChargingStopped:
		return new(ChargingStopped)
	case TypeFaultRaised:
		return new(FaultRaised)
	case TypeFaultCleared:
		return new(FaultCleared)
	case TypeCommandFinished:
		return new(CommandFinished)
	case TypeAnomalySeen:
		return new(AnomalySeen)
	}
	return nil
}
