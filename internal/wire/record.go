package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// RecordType is what a journal record reports: a fact, in the past tense.
type RecordType string

// The types of journal records.
const (
	// The agent has started: record 1 of its journal.
	TypeRegistered RecordType = "cp_registered"
	// The status of a connector, as computed by the agent, has changed.
	TypeStatusChanged RecordType = "connector_status_changed"
	// A vehicle was connected or disconnected.
	TypePluggedIn RecordType = "plugged_in"
	TypeUnplugged RecordType = "unplugged"
	// A card was presented.
	TypeAuthRequested RecordType = "authorization_requested"
	// A command will have its effect.
	TypeCommandAccepted RecordType = "command_accepted"
	// A session has begun: from here on energy is accounted to it.
	TypeAuthorized RecordType = "authorized"
	// A reservation has ended unused.
	TypeReservationEnded RecordType = "reservation_ended"
	// Within a session: power, samples of the meter, and interruptions.
	TypeChargingStarted RecordType = "charging_started"
	TypeMeterRead       RecordType = "meter_read"
	TypeSuspended       RecordType = "charging_suspended"
	TypeResumed         RecordType = "charging_resumed"
	// A session has ended.
	TypeChargingStopped RecordType = "charging_stopped"
	// A fault is present, or over.
	TypeFaultRaised  RecordType = "fault_raised"
	TypeFaultCleared RecordType = "fault_cleared"
	// A command has ended: done, failed, rejected or expired.
	TypeCommandFinished RecordType = "command_finished"
	// Something that should not be, for an operator.
	TypeAnomalySeen RecordType = "anomaly_seen"
)

// Version is the version of the messages that this build writes.
const Version = 1

// Record is one record of a charging point's journal. Its bytes are made once,
// when it is written to the journal, and never change on the way: Hash is
// computed over them.
//
// The envelope (v cp_id journal seq prev type at) is the same in all versions,
// so that a record of any version can be counted and acknowledged.
type Record struct {
	V         int                 `json:"v"`
	CPID      charge.CPID         `json:"cp_id"`
	Journal   charge.JournalID    `json:"journal"`
	Seq       charge.Seq          `json:"seq"`
	Prev      string              `json:"prev"` // hex SHA-256 of the record before; empty for the first record of a charging point
	Type      RecordType          `json:"type"`
	Connector charge.ConnectorID  `json:"connector,omitzero"` // 0: the charging point as a whole
	SessionID charge.SessionID    `json:"session_id,omitzero"`
	At        charge.Time         `json:"at"`
	Clock     charge.ClockQuality `json:"clock,omitzero"`
	UptimeMS  int64               `json:"uptime_ms"` // since the agent's start, by its monotonic clock
	Data      json.RawMessage     `json:"data,omitempty"`
}

// DecodeRecord decodes the envelope strictly, and leaves Data for Payload: a
// record whose data cannot be used is counted all the same.
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

// Encode returns the bytes of the record, which are journalled, hashed, sent and
// kept.
func (r *Record) Encode() ([]byte, error) { return encode("record", r) }

// NewRecord returns a record with payload p. The caller sets the rest of the
// envelope.
func NewRecord(p Payload) (Record, error) {
	data, err := encode(string(p.RecordType()), p)
	if err != nil {
		return Record{}, err
	}
	return Record{V: Version, Type: p.RecordType(), Data: data}, nil
}

// Hash returns the lower-case hex SHA-256 of a record's bytes, for Prev of the
// next record.
func Hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// validate checks the envelope only; Payload checks Data.
func (r *Record) validate(c *check) {
	c.version(r.V)
	c.require("cp_id", "journal", "seq", "prev", "type", "at")
	c.id("cp_id", string(r.CPID))
	c.id("journal", string(r.Journal))
	c.within("seq", int64(min(r.Seq, 1<<62)), 1, 1<<53)
	if r.Prev != "" && !isHash(r.Prev) {
		c.fail("prev", notHex(2*sha256.Size))
	}
	c.typeName("type", string(r.Type))
	c.connector(r.Connector, 0)
	c.optionalID("session_id", string(r.SessionID))
	c.time("at", r.At)
	if r.Clock != "" && !r.Clock.Valid() {
		c.fail("clock", unknown(r.Clock, clocks))
	}
	c.within("uptime_ms", r.UptimeMS, 0, 1<<53)
}

// clocks are the values of the field clock.
//
//nolint:gochecknoglobals // a table of constants
var clocks = []charge.ClockQuality{charge.ClockSynced, charge.ClockSet, charge.ClockUnset}

// isHash reports whether s is a lower-case hex SHA-256.
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

// Payload decodes Data strictly by the type of the record. It returns (nil, nil)
// for a type that this build does not know: such a record is counted, kept and
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

// begins refuses a record 1 that contradicts its own envelope: prev is the hash
// of the record that after names, and no journal follows itself.
func (r *Record) begins(after *Position) error {
	var code reason.Code
	switch {
	case after == nil && r.Prev != "":
		code = reason.AfterNull
	case after != nil && r.Prev == "":
		code = reason.AfterAlone
	case after != nil && after.Journal == r.Journal:
		code = reason.AfterItself
	default:
		return nil
	}
	return &DecodeError{"record " + string(r.Type), "data.after", reason.Wrong{Code: code}}
}

// newPayload returns an empty payload of a type; nil for an unknown type.
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
