package wire

import (
	"encoding/json"
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// Position names one record: everything of that journal up to and with it.
type Position struct {
	Journal charge.JournalID `json:"journal"`
	Seq     charge.Seq       `json:"seq"`
}

func (p *Position) validate(c *check, field string) {
	if p == nil {
		return
	}
	c.id(field+".journal", string(p.Journal))
	if p.Seq < 1 || p.Seq > 1<<53 {
		c.fail(field+".seq", "%d is out of range; 1 to 2^53 are allowed", p.Seq)
	}
}

// Registered is record 1 of every journal: the agent has started and tells all
// that a Central which knows nothing of it must know.
type Registered struct {
	After        *Position          `json:"after"` // the last record found on disk; null on empty storage
	Damaged      []Damaged          `json:"damaged,omitempty"`
	Agent        string             `json:"agent"` // version of the firmware
	Name         string             `json:"name,omitempty"`
	Place        string             `json:"place,omitempty"`
	Simulated    bool               `json:"simulated,omitempty"`
	Capabilities []string           `json:"capabilities,omitempty"`
	Connectors   []ConnectorState   `json:"connectors"`
	Reservations []ReservationState `json:"reservations,omitempty"`
}

// Damaged names a range of records that recovery found unreadable: a hole.
type Damaged struct {
	Journal charge.JournalID `json:"journal"`
	First   charge.Seq       `json:"first"`
	Last    charge.Seq       `json:"last"` // 0: unknown, up to the end of that journal
	Reason  string           `json:"reason"`
}

// ConnectorState is one connector at the start of the agent.
type ConnectorState struct {
	Connector charge.ConnectorID `json:"connector"`
	Status    charge.Status      `json:"status"`
	Register  *charge.WattHours  `json:"register_wh"` // null: the meter does not answer
	SessionID charge.SessionID   `json:"session_id,omitempty"`
	Plugged   bool               `json:"plugged"`
	Available bool               `json:"available"` // as last ordered, remembered across restarts
	Rated     charge.Watts       `json:"rated_w"`
}

// ReservationState is a reservation the agent holds.
type ReservationState struct {
	ReservationID charge.ReservationID `json:"reservation_id"`
	Connector     charge.ConnectorID   `json:"connector"`
	Username      charge.Username      `json:"username"`
	Until         charge.Time          `json:"until"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
}

// RecordType implements Payload.
func (*Registered) RecordType() RecordType { return TypeRegistered }

func (p *Registered) validate(c *check) {
	c.require("connectors")
	p.After.validate(c, "after")
	c.text("agent", p.Agent, 128)
	c.text("name", p.Name, 128)
	c.text("place", p.Place, 128)
	if len(p.Connectors) == 0 || len(p.Connectors) > charge.MaxConnectors {
		c.fail("connectors", "has %d entries; 1 to %d are allowed", len(p.Connectors), charge.MaxConnectors)
	}
	for i := range p.Connectors {
		s, f := &p.Connectors[i], fmt.Sprintf("connectors.%d.", i)
		c.within(f+"connector", int64(s.Connector), 1, charge.MaxConnectors)
		c.status(f+"status", s.Status)
		if s.Register != nil {
			c.register(f+"register_wh", *s.Register)
		}
		c.optionalID(f+"session_id", string(s.SessionID))
		c.within(f+"rated_w", int64(s.Rated), 0, 10_000_000)
	}
	for i := range p.Damaged {
		d, f := &p.Damaged[i], fmt.Sprintf("damaged.%d.", i)
		c.id(f+"journal", string(d.Journal))
		c.within(f+"first", int64(min(d.First, 1<<62)), 0, 1<<53)
		c.within(f+"last", int64(min(d.Last, 1<<62)), 0, 1<<53)
		if d.Last != 0 && d.Last < d.First {
			c.fail(f+"last", "%d is below first, %d; 0 means to the end of the journal", d.Last, d.First)
		}
		c.text(f+"reason", d.Reason, 256)
	}
	for i := range p.Reservations {
		r, f := &p.Reservations[i], fmt.Sprintf("reservations.%d.", i)
		c.id(f+"reservation_id", string(r.ReservationID))
		c.within(f+"connector", int64(r.Connector), 1, charge.MaxConnectors)
		c.name(f+"username", string(r.Username))
		c.time(f+"until", r.Until)
		c.optionalID(f+"tariff", string(r.Tariff))
	}
}

func (c *check) status(field string, s charge.Status) {
	if !s.Valid() {
		c.fail(field, "%.40q is not a status of a connector", s)
	}
}

// StatusChanged tells the computed status of a connector.
type StatusChanged struct {
	Status charge.Status `json:"status"`
	Was    charge.Status `json:"was,omitempty"`
}

// RecordType implements Payload.
func (*StatusChanged) RecordType() RecordType { return TypeStatusChanged }

func (p *StatusChanged) validate(c *check) {
	c.require("status")
	c.status("status", p.Status)
	if p.Was != "" {
		c.status("was", p.Was)
	}
}

// PluggedIn tells that a vehicle was connected.
type PluggedIn struct{}

// RecordType implements Payload.
func (*PluggedIn) RecordType() RecordType { return TypePluggedIn }

func (*PluggedIn) validate(*check) {}

// Unplugged tells that the vehicle was disconnected.
type Unplugged struct{}

// RecordType implements Payload.
func (*Unplugged) RecordType() RecordType { return TypeUnplugged }

func (*Unplugged) validate(*check) {}

// AuthRequested tells that a card was shown; Central answers with AUTHORIZE.
type AuthRequested struct {
	RequestID string         `json:"request_id"`
	Token     charge.IDToken `json:"id_token"`
}

// RecordType implements Payload.
func (*AuthRequested) RecordType() RecordType { return TypeAuthRequested }

func (p *AuthRequested) validate(c *check) {
	c.require("request_id", "id_token")
	c.id("request_id", p.RequestID)
	if !charge.ValidName(string(p.Token)) {
		c.fail("id_token", "is not a token; use 1 to %d bytes without control characters", charge.MaxNameLength)
	}
}

// CommandAccepted tells that a command will have its effect. It repeats the
// command, so that a Central restored from an older copy learns of it again.
type CommandAccepted struct {
	Command json.RawMessage `json:"command"` // the bytes of a Command, as DecodeCommand reads them
}

// RecordType implements Payload.
func (*CommandAccepted) RecordType() RecordType { return TypeCommandAccepted }

func (p *CommandAccepted) validate(c *check) {
	c.require("command")
	if c.err == nil && !c.all {
		if _, err := DecodeCommand(p.Command); err != nil {
			c.fail("command", "%s", err)
		}
	}
}

// Grant says what gave the right to charge.
type Grant string

// The closed list of grants.
const (
	GrantReservation Grant = "reservation"
	GrantOrder       Grant = "order"
	GrantLocalList   Grant = "local_list"
	GrantFreeVend    Grant = "free_vend"
)

// Authorized opens a session: the right to charge, whose it is, and the
// register from which the session is accounted.
type Authorized struct {
	By            Grant                `json:"by"`
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"` // used up by this
	CommandID     charge.CommandID     `json:"command_id,omitempty"`
	Until         charge.Time          `json:"until,omitzero"`
	Register      charge.WattHours     `json:"register_wh"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
}

// RecordType implements Payload.
func (*Authorized) RecordType() RecordType { return TypeAuthorized }

func (p *Authorized) validate(c *check) {
	c.require("by", "register_wh")
	c.oneOf("by", string(p.By), string(GrantReservation), string(GrantOrder), string(GrantLocalList), string(GrantFreeVend))
	c.optionalUsername(p.Username)
	c.optionalID("reservation_id", string(p.ReservationID))
	c.optionalID("command_id", string(p.CommandID))
	c.time("until", p.Until)
	c.register("register_wh", p.Register)
	c.optionalID("tariff", string(p.Tariff))
}

// ReservationEnded tells that a reservation ended without being used.
type ReservationEnded struct {
	ReservationID charge.ReservationID  `json:"reservation_id"`
	Reason        charge.ReservationEnd `json:"reason"`
	Username      charge.Username       `json:"username,omitempty"`
}

// RecordType implements Payload.
func (*ReservationEnded) RecordType() RecordType { return TypeReservationEnded }

func (p *ReservationEnded) validate(c *check) {
	c.require("reservation_id", "reason")
	c.id("reservation_id", string(p.ReservationID))
	if !p.Reason.Valid() {
		c.fail("reason", "%.40q is not an end of a reservation", p.Reason)
	}
	c.optionalUsername(p.Username)
}

// ChargingStarted tells that the contactor closed for the first time in the
// session.
type ChargingStarted struct {
	Register      charge.WattHours     `json:"register_wh"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	Username      charge.Username      `json:"username,omitempty"`
}

// RecordType implements Payload.
func (*ChargingStarted) RecordType() RecordType { return TypeChargingStarted }

func (p *ChargingStarted) validate(c *check) {
	c.require("register_wh")
	c.register("register_wh", p.Register)
	c.optionalID("reservation_id", string(p.ReservationID))
	c.optionalUsername(p.Username)
}

// MeterRead is a sample within a session. It may be thinned out when space is
// short, for the account needs only the registers at grant and stop.
type MeterRead struct {
	Register charge.WattHours  `json:"register_wh"`
	Power    charge.Watts      `json:"power_w"`
	Current  charge.MilliAmps  `json:"current_ma,omitzero"`
	Voltage  charge.MilliVolts `json:"voltage_mv,omitzero"`
}

// RecordType implements Payload.
func (*MeterRead) RecordType() RecordType { return TypeMeterRead }

func (p *MeterRead) validate(c *check) {
	c.require("register_wh")
	c.register("register_wh", p.Register)
	c.within("power_w", int64(p.Power), -10_000_000, 10_000_000)
	c.within("current_ma", int64(p.Current), -10_000_000, 10_000_000)
	c.within("voltage_mv", int64(p.Voltage), 0, 10_000_000)
}

// Suspended tells that power stopped within a session.
type Suspended struct {
	By       string           `json:"by"` // "ev" or "evse"
	Reason   string           `json:"reason,omitempty"`
	Register charge.WattHours `json:"register_wh"`
}

// RecordType implements Payload.
func (*Suspended) RecordType() RecordType { return TypeSuspended }

func (p *Suspended) validate(c *check) {
	c.require("by", "register_wh")
	c.oneOf("by", p.By, "ev", "evse")
	c.text("reason", p.Reason, 128)
	c.register("register_wh", p.Register)
}

// Resumed tells that power flows again within a session.
type Resumed struct {
	Register charge.WattHours `json:"register_wh"`
}

// RecordType implements Payload.
func (*Resumed) RecordType() RecordType { return TypeResumed }

func (p *Resumed) validate(c *check) {
	c.require("register_wh")
	c.register("register_wh", p.Register)
}

// ChargingStopped closes a session. What it repeats of the grant lets a reader
// who missed the beginning account for the session all the same.
type ChargingStopped struct {
	Reason        charge.StopReason    `json:"reason"`
	Start         charge.WattHours     `json:"register_start_wh"` // as in authorized
	Register      charge.WattHours     `json:"register_wh"`
	OtherMeter    bool                 `json:"other_meter,omitempty"` // the registers are of the meter before: it was changed while the session was open
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
}

// RecordType implements Payload.
func (*ChargingStopped) RecordType() RecordType { return TypeChargingStopped }

func (p *ChargingStopped) validate(c *check) {
	c.require("reason", "register_start_wh", "register_wh")
	if !p.Reason.Valid() {
		c.fail("reason", "%.40q is not a stop reason", p.Reason)
	}
	c.register("register_start_wh", p.Start)
	c.register("register_wh", p.Register)
	if p.Register < p.Start {
		c.fail("register_wh", "%d is below register_start_wh %d; a register never goes back", p.Register, p.Start)
	}
	c.optionalUsername(p.Username)
	c.optionalID("reservation_id", string(p.ReservationID))
	c.optionalID("tariff", string(p.Tariff))
}

// FaultRaised tells what is wrong; connector 0 means the whole charging point.
type FaultRaised struct {
	Fault  charge.Fault `json:"fault"`
	Detail string       `json:"detail,omitempty"`
}

// RecordType implements Payload.
func (*FaultRaised) RecordType() RecordType { return TypeFaultRaised }

func (p *FaultRaised) validate(c *check) {
	c.require("fault")
	c.fault("fault", p.Fault)
	c.text("detail", p.Detail, 256)
}

func (c *check) fault(field string, f charge.Fault) {
	if !f.Valid() {
		c.fail(field, "%.40q is not a fault; one of %q is expected", f, charge.Faults())
	}
}

// FaultCleared tells that a fault is over.
type FaultCleared struct {
	Fault charge.Fault `json:"fault"`
}

// RecordType implements Payload.
func (*FaultCleared) RecordType() RecordType { return TypeFaultCleared }

func (p *FaultCleared) validate(c *check) {
	c.require("fault")
	c.fault("fault", p.Fault)
}

// CommandResult is how a command ended at the charging point.
type CommandResult string

// The closed list of results.
const (
	ResultDone     CommandResult = "done"
	ResultFailed   CommandResult = "failed"
	ResultRejected CommandResult = "rejected"
	ResultExpired  CommandResult = "expired"
)

// ReasonSuperseded is the reason of a rejected command that was overtaken by a
// later one: it says nothing about whether the wish could be fulfilled.
const ReasonSuperseded = "superseded"

// CommandFinished is the end of a command's life.
type CommandFinished struct {
	CommandID charge.CommandID `json:"command_id"`
	Command   CommandType      `json:"command"`
	Result    CommandResult    `json:"result"`
	Reason    string           `json:"reason,omitempty"`
}

// RecordType implements Payload.
func (*CommandFinished) RecordType() RecordType { return TypeCommandFinished }

func (p *CommandFinished) validate(c *check) {
	c.require("command_id", "result")
	c.id("command_id", string(p.CommandID))
	c.text("command", string(p.Command), 64)
	c.oneOf("result", string(p.Result), string(ResultDone), string(ResultFailed), string(ResultRejected), string(ResultExpired))
	c.text("reason", p.Reason, 256)
}

// AnomalySeen tells of something that should not be: shown to the operator.
type AnomalySeen struct {
	Anomaly string `json:"anomaly"` // a short word, as in "storage_rolled_back"
	Detail  string `json:"detail,omitempty"`
}

// RecordType implements Payload.
func (*AnomalySeen) RecordType() RecordType { return TypeAnomalySeen }

func (p *AnomalySeen) validate(c *check) {
	c.require("anomaly")
	c.id("anomaly", p.Anomaly)
	c.text("detail", p.Detail, 512)
}
