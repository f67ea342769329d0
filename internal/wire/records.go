package wire

import (
	"encoding/json"
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// Position names one record, and with it all records of its journal up to it.
type Position struct {
	Journal charge.JournalID `json:"journal"`
	Seq     charge.Seq       `json:"seq"`
}

func (p *Position) validate(c *check, field string) {
	if p == nil {
		return
	}
	c.id(field+".journal", string(p.Journal))
	c.within(field+".seq", int64(min(p.Seq, 1<<62)), 1, 1<<53)
}

// Registered is record 1 of every journal. It reports that the agent has
// started, with all that a Central without any knowledge of it needs.
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
	LocalList    *ListState         `json:"local_list,omitempty"` // nil: it keeps no list of cards
}

// CapabilityCardLimits means that an agent keeps the limits of the entries of its local
// list. It gets no entries with a limit without it.
const CapabilityCardLimits = "card_limits"

// Damaged names a range of records that recovery found unreadable: a gap.
type Damaged struct {
	Journal charge.JournalID `json:"journal"`
	First   charge.Seq       `json:"first"`
	Last    charge.Seq       `json:"last"` // 0: unknown, up to the end of that journal
	Reason  string           `json:"reason"`
}

// ConnectorState is the state of one connector at the start of the agent.
type ConnectorState struct {
	Connector charge.ConnectorID `json:"connector"`
	Status    charge.Status      `json:"status"`
	Register  *charge.WattHours  `json:"register_wh"` // null: the meter does not answer
	SessionID charge.SessionID   `json:"session_id,omitempty"`
	Plugged   bool               `json:"plugged"`
	Available bool               `json:"available"` // as last ordered; it survives restarts
	Rated     charge.Watts       `json:"rated_w"`
	// Most is the largest current per phase that the connector can ever have: by its
	// hardware and its configuration; 0: not known. Safe is what it has while no
	// SET_LIMIT is in force; 0: it belongs to no group, Most applies.
	Most charge.MilliAmps `json:"max_ma,omitzero"`
	Safe charge.MilliAmps `json:"safe_ma,omitzero"`
}

// ReservationState is a reservation that the agent holds.
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
	c.entries("connectors", len(p.Connectors), 1, charge.MaxConnectors)
	for i := range p.Connectors {
		s, f := &p.Connectors[i], fmt.Sprintf("connectors.%d.", i)
		c.within(f+"connector", int64(s.Connector), 1, charge.MaxConnectors)
		c.status(f+"status", s.Status)
		if s.Register != nil {
			c.register(f+"register_wh", *s.Register)
		}
		c.optionalID(f+"session_id", string(s.SessionID))
		c.within(f+"rated_w", int64(s.Rated), 0, 10_000_000)
		c.within(f+"max_ma", int64(s.Most), 0, MaxLimit)
		c.within(f+"safe_ma", int64(s.Safe), 0, MaxLimit)
	}
	for i := range p.Damaged {
		d, f := &p.Damaged[i], fmt.Sprintf("damaged.%d.", i)
		c.id(f+"journal", string(d.Journal))
		c.within(f+"first", int64(min(d.First, 1<<62)), 0, 1<<53)
		c.within(f+"last", int64(min(d.Last, 1<<62)), 0, 1<<53)
		if d.Last != 0 && d.Last < d.First {
			c.fail(f+"last", reason.Wrong{Code: reason.EndBeforeStart, Value: fmt.Sprint(d.Last), Allowed: fmt.Sprint(d.First)})
		}
		c.text(f+"reason", d.Reason, 256)
	}
	if p.LocalList != nil {
		c.list("local_list.", *p.LocalList)
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
		c.fail(field, unknown(s, charge.Statuses()))
	}
}

// StatusChanged reports the computed status of a connector.
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

// PluggedIn reports that a vehicle was connected.
type PluggedIn struct{}

// RecordType implements Payload.
func (*PluggedIn) RecordType() RecordType { return TypePluggedIn }

func (*PluggedIn) validate(*check) {}

// Unplugged reports that the vehicle was disconnected.
type Unplugged struct{}

// RecordType implements Payload.
func (*Unplugged) RecordType() RecordType { return TypeUnplugged }

func (*Unplugged) validate(*check) {}

// AuthRequested reports that a card was presented that the charging point does
// not know. Central answers with AUTHORIZE, unless the charging point has Decided.
type AuthRequested struct {
	RequestID string           `json:"request_id"`
	TokenHash charge.TokenHash `json:"token_hash,omitempty"`
	Token     charge.IDToken   `json:"id_token,omitempty"` // in place of TokenHash: of other agents
	Decided   Decision         `json:"decided,omitempty"`
}

// Decision is what a charging point decided about a card without Central.
type Decision string

// The closed list of decisions; empty means that Central is asked.
const (
	DecidedAccepted Decision = "accepted"
	DecidedRefused  Decision = "refused"
)

// Hash is the hash that names the card.
func (p *AuthRequested) Hash() charge.TokenHash {
	if p.TokenHash == "" {
		return p.Token.Hash()
	}
	return p.TokenHash
}

// RecordType implements Payload.
func (*AuthRequested) RecordType() RecordType { return TypeAuthRequested }

func (p *AuthRequested) validate(c *check) {
	c.require("request_id")
	c.id("request_id", p.RequestID)
	c.optionalHash("token_hash", p.TokenHash)
	if p.TokenHash == "" && !charge.ValidName(string(p.Token)) {
		c.fail("token_hash", reason.Wrong{Code: reason.TokenMissing, Last: charge.MaxNameLength})
	}
	if p.Decided != "" {
		c.oneOf("decided", string(p.Decided), string(DecidedAccepted), string(DecidedRefused))
	}
}

// CommandAccepted reports that a command will have its effect. It repeats the
// command, so that a Central whose database was restored from an older copy
// learns of it again.
type CommandAccepted struct {
	Command json.RawMessage `json:"command"` // the bytes of a Command, as DecodeCommand reads them
}

// RecordType implements Payload.
func (*CommandAccepted) RecordType() RecordType { return TypeCommandAccepted }

func (p *CommandAccepted) validate(c *check) {
	c.require("command")
	if c.err == nil && !c.all {
		if _, err := DecodeCommand(p.Command); err != nil {
			c.nested("command", err)
		}
	}
}

// Grant is what gave the right to charge.
type Grant string

// The closed list of grants.
const (
	// The driver's reservation.
	GrantReservation Grant = "reservation"
	// A START of Central.
	GrantOrder Grant = "order"
	// The list of cards that the agent keeps.
	GrantLocalList Grant = "local_list"
	// The charging point is open to all drivers.
	GrantFreeVend Grant = "free_vend"
)

// Authorized begins a session: the right to charge, the driver, and the register
// from which energy is accounted to the session.
type Authorized struct {
	By            Grant                `json:"by"`
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"` // used up by this
	CommandID     charge.CommandID     `json:"command_id,omitempty"`
	Until         charge.Time          `json:"until,omitzero"`
	Register      charge.WattHours     `json:"register_wh"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
	TokenHash     charge.TokenHash     `json:"token_hash,omitempty"`   // of the card that began it
	Limit         charge.WattHours     `json:"limit_wh,omitempty"`     // as in START
	LimitAmount   int64                `json:"limit_amount,omitempty"` // as in START
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
	c.optionalHash("token_hash", p.TokenHash)
	c.limits(p.Limit, p.LimitAmount)
}

// ReservationEnded reports that a reservation ended without being used.
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
		c.fail("reason", unknown(p.Reason, charge.ReservationEnds()))
	}
	c.optionalUsername(p.Username)
}

// ChargingStarted reports that the contactor closed for the first time in the
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

// MeterRead is a sample within a session. Samples may be thinned out when
// storage is short: the account needs only the registers of Authorized and
// ChargingStopped.
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

// Suspended reports that power stopped within a session.
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

// Resumed reports that power flows again within a session.
type Resumed struct {
	Register charge.WattHours `json:"register_wh"`
}

// RecordType implements Payload.
func (*Resumed) RecordType() RecordType { return TypeResumed }

func (p *Resumed) validate(c *check) {
	c.require("register_wh")
	c.register("register_wh", p.Register)
}

// ChargingStopped ends a session. It repeats parts of Authorized, so that a
// reader without the beginning of the session can account for it.
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
		c.fail("reason", unknown(p.Reason, charge.StopReasons()))
	}
	c.register("register_start_wh", p.Start)
	c.register("register_wh", p.Register)
	if p.Register < p.Start {
		c.fail("register_wh", reason.Wrong{Code: reason.BelowStart, Value: fmt.Sprint(p.Register), Allowed: fmt.Sprint(p.Start)})
	}
	c.optionalUsername(p.Username)
	c.optionalID("reservation_id", string(p.ReservationID))
	c.optionalID("tariff", string(p.Tariff))
}

// FaultRaised reports a fault. Connector 0 of the record means the whole
// charging point.
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
		c.fail(field, unknown(f, charge.Faults()))
	}
}

// FaultCleared reports that a fault is over.
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
	// The effect exists, or existed already.
	ResultDone CommandResult = "done"
	// It was tried, and the hardware did not do it.
	ResultFailed CommandResult = "failed"
	// The state of the connector does not permit it.
	ResultRejected CommandResult = "rejected"
	// It arrived too late, or its conditions were not met in time.
	ResultExpired CommandResult = "expired"
)

// ReasonSuperseded is the reason of a rejected command that a later one
// overtook. It does not mean that the desired state is impossible.
const ReasonSuperseded = "superseded"

// CommandFinished is the end of a command.
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

// AnomalySeen reports something that should not be, for an operator.
type AnomalySeen struct {
	Anomaly string `json:"anomaly"` // an identifier, such as storage_rolled_back
	Detail  string `json:"detail,omitempty"`
}

// RecordType implements Payload.
func (*AnomalySeen) RecordType() RecordType { return TypeAnomalySeen }

func (p *AnomalySeen) validate(c *check) {
	c.require("anomaly")
	c.id("anomaly", p.Anomaly)
	c.text("detail", p.Detail, 512)
}
