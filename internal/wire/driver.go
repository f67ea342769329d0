package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// The drivers' protocol is that of an older system, which drivers' programs
// still use: it names the type event_type, writes kWh and money as decimals, and
// moments as seconds since 1970 with a fraction. Only the messages of this file
// do.

// DriverEventType is what a driver requests.
type DriverEventType string

// The requests of drivers on driver-events.
const (
	DriverAuthorization DriverEventType = "AUTHORIZATION_REQUEST"
	DriverStop          DriverEventType = "STOP_REQUEST"
	DriverStarted       DriverEventType = "charging_started" // "I am plugged in": a request to start, never a report that it has started
	DriverSimulateError DriverEventType = "SIMULATE_CP_ERROR"
	DriverFixError      DriverEventType = "FIX_CP_ERROR"
)

// DriverEventTypes returns all of them.
func DriverEventTypes() []DriverEventType {
	return []DriverEventType{DriverAuthorization, DriverStarted, DriverStop, DriverSimulateError, DriverFixError}
}

// DriverRequest is a message of a driver. One with an unknown event_type has no
// effect and is refused.
type DriverRequest struct {
	MessageID string          `json:"message_id,omitempty"` // a repeat with the same ID repeats the answer, not the effect
	EventType DriverEventType `json:"event_type"`
	DriverID  string          `json:"driver_id,omitempty"`
	Username  charge.Username `json:"username"`
	CPID      *charge.CPID    `json:"cp_id"` // null: any free one
	ClientID  string          `json:"client_id,omitempty"`
	Timestamp Seconds         `json:"timestamp"`
	Error     charge.Fault    `json:"error,omitempty"` // with SIMULATE_CP_ERROR
	// SessionID or ReservationID is what STOP_REQUEST and charging_started are
	// about; empty means the driver's own at the charging point.
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	// LimitKWh and LimitCost end the session of charging_started, whichever is reached
	// first; nil: no limit. LimitCost is in the currency of the session's prices.
	LimitKWh  *KWh   `json:"limit_kwh,omitempty"`
	LimitCost *Money `json:"limit_cost,omitempty"`
}

// DecodeDriverRequest decodes a driver's message strictly. With an error it
// returns what can be decoded, each field for itself and within its limits, so
// that the refusal can be sent to the driver.
func DecodeDriverRequest(raw []byte) (DriverRequest, error) {
	var m DriverRequest
	if err := decode("driver request", "", raw, &m); err != nil {
		return readable(raw), err
	}
	return m, nil
}

// readable decodes as much as it can of a message that was refused.
func readable(raw []byte) (m DriverRequest) {
	var fields map[string]json.RawMessage
	if len(raw) > MaxMessage || json.Unmarshal(raw, &fields) != nil {
		return m
	}
	text := func(field string, most int) string {
		var v string
		if json.Unmarshal(fields[field], &v) != nil || len(v) > most {
			return ""
		}
		return v
	}
	m.MessageID, m.ClientID, m.EventType = text("message_id", maxText), text("client_id", maxText), DriverEventType(text("event_type", maxType))
	if v := text("username", charge.MaxNameLength); charge.ValidName(v) {
		m.Username = charge.Username(v)
	}
	if v := charge.CPID(text("cp_id", charge.MaxIDLength)); v.Valid() {
		m.CPID = &v
	}
	if json.Unmarshal(fields["timestamp"], &m.Timestamp) != nil {
		m.Timestamp = 0
	}
	return m
}

// The longest texts in drivers' messages, in bytes.
const (
	maxText = 128
	maxType = 64
)

// Encode returns the bytes of the driver's message.
func (m *DriverRequest) Encode() ([]byte, error) { return encode("driver request", m) }

func (m *DriverRequest) validate(c *check) {
	c.require("event_type")
	c.requireOr("timestamp", reason.SecondsMissing)
	c.text("message_id", m.MessageID, maxText)
	c.typeName("event_type", string(m.EventType))
	c.text("driver_id", m.DriverID, maxText)
	c.text("client_id", m.ClientID, maxText)
	c.optionalID("session_id", string(m.SessionID))
	c.optionalID("reservation_id", string(m.ReservationID))
	switch m.EventType {
	case DriverAuthorization:
		c.require("username")
		c.name("username", string(m.Username))
	case DriverStop, DriverStarted:
		c.require("username")
		if m.SessionID == "" && m.ReservationID == "" {
			c.require("cp_id")
		}
		c.name("username", string(m.Username))
	case DriverSimulateError, DriverFixError:
		c.require("cp_id")
		c.optionalUsername(m.Username)
	}
	m.validateLimits(c)
	if m.CPID != nil {
		c.id("cp_id", string(*m.CPID))
	}
	c.text("error", string(m.Error), maxText) // Central refuses one that it does not know
}

// maxLimit bounds the limit of a request: 10^9 kWh, less than charge.MaxSessionLimit.
const maxLimit KWh = 1_000_000_000_000

// validateLimits checks the limits of a session. In another request they would have no
// effect, so they are refused.
func (m *DriverRequest) validateLimits(c *check) {
	if e := m.LimitKWh; e != nil && (*e < 1 || *e > maxLimit) {
		c.fail("limit_kwh", reason.Wrong{Code: reason.LimitEnergy, Value: charge.WattHours(*e).KWh(), Last: int64(maxLimit / 1000)})
	}
	if a := m.LimitCost; a != nil && a.Minor < 1 {
		c.fail("limit_cost", reason.Wrong{Code: reason.LimitAmount, Value: a.String()})
	}
	if m.EventType == DriverStarted || !slices.Contains(DriverEventTypes(), m.EventType) {
		return
	}
	elsewhere := reason.Wrong{Code: reason.LimitElsewhere}
	if m.LimitKWh != nil {
		c.fail("limit_kwh", elsewhere)
	}
	if m.LimitCost != nil {
		c.fail("limit_cost", elsewhere)
	}
}

// Seconds is a moment in the drivers' protocol: seconds since 1970 with a
// fraction.
type Seconds charge.Time

// Time is the moment.
func (s Seconds) Time() charge.Time { return charge.Time(s) }

// MarshalJSON writes seconds with three decimals.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", int64(s)/1000, int64(s)%1000), nil
}

// UnmarshalJSON decodes seconds as a number, or as a number in a string.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" { // as if it was not there
		return nil
	}
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*1000 > float64(charge.MaxTime) {
		return unreadable[Seconds](text)
	}
	*s = Seconds(int64(math.Round(f * 1000)))
	return nil
}

// notSeconds is what is wrong with a text that is no moment in seconds. It names the
// unit if the number looks like milliseconds or smaller.
func notSeconds(text string) reason.Wrong {
	f, err := strconv.ParseFloat(text, 64)
	for _, unit := range [...]struct {
		name string
		many float64
	}{{"ms", 1e3}, {"µs", 1e6}, {"ns", 1e9}} {
		if s := f / unit.many; err == nil && s >= 1e9 && s < 1e10 { // of the years 2001 to 2286
			return reason.Wrong{Code: reason.SecondsUnit, Value: text, Allowed: unit.name}
		}
	}
	return reason.Wrong{Code: reason.NotSeconds, Value: quoted(text)}
}

// KWh is energy written as decimal kilowatt-hours.
type KWh charge.WattHours

// MarshalJSON writes kilowatt-hours with three decimals, exactly.
func (e KWh) MarshalJSON() ([]byte, error) { return []byte(charge.WattHours(e).KWh()), nil }

// Money is an amount as a decimal in the main unit of its currency: Minor
// divided by 10^Decimals. The writer knows how many decimals the currency has.
type Money struct {
	Minor    int64
	Decimals int
}

// String writes the amount as the message has it.
func (m Money) String() string { return charge.Decimal(m.Minor, m.Decimals) }

// MarshalJSON writes the amount with the decimals of its currency, exactly.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalJSON reads decimal kilowatt-hours.
func (e *KWh) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e13 {
		return unreadable[KWh](string(b))
	}
	*e = KWh(math.Round(f * 1000))
	return nil
}

// UnmarshalJSON reads a decimal amount, exactly.
func (m *Money) UnmarshalJSON(b []byte) error {
	v, decimals, err := charge.ParseDecimal(string(b))
	if err != nil {
		return unreadable[Money](string(b))
	}
	*m = Money{v, decimals}
	return nil
}

// unreadable is the error of a value that is none of type T. Its own type is the only
// one to which encoding/json adds the name of the field.
func unreadable[T any](value string) error {
	return &json.UnmarshalTypeError{Value: fmt.Sprintf("%.40s", value), Type: reflect.TypeFor[T]()}
}

// CentralEventType is what Central reports on central-events.
type CentralEventType string

// What Central reports to drivers and to any other reader of the topic.
const (
	CentralAuthorization    CentralEventType = "AUTHORIZATION_RESPONSE"
	CentralStopResponse     CentralEventType = "STOP_RESPONSE"
	CentralChargingStarted  CentralEventType = "charging_started"
	CentralProgress         CentralEventType = "charging_progress"
	CentralSuspended        CentralEventType = "charging_suspended"
	CentralResumed          CentralEventType = "charging_resumed"
	CentralTicket           CentralEventType = "CHARGING_TICKET"
	CentralReservationEnded CentralEventType = "reservation_ended"
	CentralFault            CentralEventType = "fault_raised"
	CentralFaultCleared     CentralEventType = "fault_cleared"
	CentralStatus           CentralEventType = "cp_status_changed"
	CentralNotice           CentralEventType = "notice" // a step, described for a person
)

// CentralEvent is a message of Central on central-events. It may be published
// again, with the same EventID. Fields that a type does not use are absent.
type CentralEvent struct {
	EventID       string               `json:"event_id"`
	EventType     CentralEventType     `json:"event_type"`
	MessageID     string               `json:"message_id,omitempty"` // of the request it answers
	ClientID      string               `json:"client_id,omitempty"`
	Username      charge.Username      `json:"username,omitempty"`
	CPID          charge.CPID          `json:"cp_id,omitempty"`
	Connector     charge.ConnectorID   `json:"connector,omitempty"`
	Authorized    *bool                `json:"authorized,omitempty"`
	Reason        string               `json:"reason,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	ExpiresAt     *Seconds             `json:"expires_at,omitempty"`
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	EnergyKWh     *KWh                 `json:"energy_kwh,omitempty"`
	PowerW        *charge.Watts        `json:"power_w,omitempty"`
	Cost          *Money               `json:"cost,omitempty"`
	Currency      string               `json:"currency,omitempty"`
	DurationSec   *int64               `json:"duration_sec,omitempty"`
	LimitKWh      *KWh                 `json:"limit_kwh,omitempty"`  // of the session; also the energy that LimitCost buys at most
	LimitCost     *Money               `json:"limit_cost,omitempty"` // of the session, in Currency
	Settled       bool                 `json:"settled,omitempty"`    // a ticket up to the last register known, made by an operator
	Corrects      string               `json:"corrects,omitempty"`   // event_id of the settled ticket; this one is the difference
	Status        charge.Status        `json:"status,omitempty"`
	Fault         charge.Fault         `json:"fault,omitempty"`
	Message       string               `json:"message,omitempty"` // the same for a person
	Timestamp     Seconds              `json:"timestamp"`
}

// DecodeCentralEvent decodes a message of Central strictly.
func DecodeCentralEvent(raw []byte) (CentralEvent, error) {
	var m CentralEvent
	if err := decode("central event", "", raw, &m); err != nil {
		return CentralEvent{}, err
	}
	return m, nil
}

// Encode returns the bytes of the message.
func (m *CentralEvent) Encode() ([]byte, error) { return encode("central event", m) }

// Key returns the key of the message in Kafka: the driver, or the charging point
// if there is no driver.
func (m *CentralEvent) Key() string {
	if m.Username != "" {
		return string(m.Username)
	}
	return string(m.CPID)
}

// Headers returns the headers of the message in Kafka; nil when there are none.
func (m *CentralEvent) Headers() map[string]string {
	if m.SessionID == "" {
		return nil
	}
	return map[string]string{HeaderTrace: string(m.SessionID)}
}

func (m *CentralEvent) validate(c *check) {
	c.require("event_id", "event_type", "timestamp")
	c.text("event_id", m.EventID, 160)
	if m.EventType == "" {
		c.fail("event_type", reason.Wrong{Code: reason.FieldMissing})
	}
	if m.EventID == "" {
		c.fail("event_id", reason.Wrong{Code: reason.FieldMissing})
	}
	c.text("message_id", m.MessageID, 128)
	c.optionalUsername(m.Username)
	c.optionalID("cp_id", string(m.CPID))
}

// Refusals of an AUTHORIZATION_REQUEST, in CentralEvent.Reason.
const (
	RefusedUnreachable   = "cp_unreachable"    // no charging point confirmed in time
	RefusedNoneFree      = "no_free_cp"        // every charging point is reserved, charging, out of service, faulted or offline
	RefusedBusy          = "cp_busy"           // the requested one is reserved or used by another driver
	RefusedUnknownCP     = "unknown_cp"        // no such charging point, or not admitted yet
	RefusedNotAvailable  = "cp_unavailable"    // out of service or faulted
	RefusedUnknownDriver = "unknown_driver"    // not in the configured list of drivers
	RefusedStale         = "request_too_old"   // older than MaxRequestAge when it was read
	RefusedLimit         = "too_many"          // the driver already has all the reservations or sessions allowed
	RefusedInvalid       = "invalid_request"   // the request could not be decoded; Message has the reason
	RefusedReused        = "message_id_reused" // the driver used this message_id for a request of another type
)

// Ages of drivers' requests, from their timestamp to the moment when Central
// reads them.
const (
	MaxRequestAge = time.Minute      // older ones have no effect
	MaxAnswerAge  = 10 * time.Minute // older ones are not even answered
	// MaxClockError is how wrong a driver's clock may be, fast or slow, without
	// any effect on what the driver may start and stop.
	MaxClockError = time.Minute
)
