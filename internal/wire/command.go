package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// CommandType is what a command orders.
type CommandType string

// The types of commands.
const (
	// Keep a connector for a driver, or no longer.
	CommandReserve CommandType = "RESERVE"
	CommandCancel  CommandType = "CANCEL_RESERVATION"
	// Begin or end a session.
	CommandStart CommandType = "START"
	CommandStop  CommandType = "STOP"
	// Put connectors out of service, or back.
	CommandSetAvailability CommandType = "SET_AVAILABILITY"
	// Limit the current.
	CommandSetLimit CommandType = "SET_LIMIT"
	// Release the cable.
	CommandUnlock CommandType = "UNLOCK"
	// End the latched faults whose cause is over.
	CommandReset CommandType = "RESET"
	// Let the lights blink, so that a person finds the charging point.
	CommandIdentify CommandType = "IDENTIFY"
	// Change the cards that may charge without Central, or answer a card that was
	// presented.
	CommandSetLocalList CommandType = "SET_LOCAL_LIST"
	CommandAuthorize    CommandType = "AUTHORIZE"
	// Act at a simulated charging point.
	CommandSimulate CommandType = "SIMULATE"
)

// Lives of commands: how long after SentAt one may still have an effect.
const (
	MaxCommandLife = time.Minute
	ReserveLife    = 5 * time.Second
	AuthorizeLife  = 10 * time.Second
)

// Command is one order of Central to one boot of one agent.
//
// Whether it has expired is decided by the agent's monotonic clock: the time
// ExpiresAt−SentAt counts from its receipt, so that neither clock has to be
// right. N grows per connector within one pair of Central and Journal, so that
// an earlier order never overrides a later one.
type Command struct {
	V         int                `json:"v"`
	ID        charge.CommandID   `json:"id"`
	N         uint64             `json:"n"`
	Central   charge.Epoch       `json:"central"` // the epoch by which this charging point ranks Centrals
	Journal   charge.JournalID   `json:"journal"` // the boot it is for
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"` // 0: the charging point as a whole
	Type      CommandType        `json:"type"`
	IssuedAt  charge.Time        `json:"issued_at"`
	SentAt    charge.Time        `json:"sent_at"` // of this sending: the only field that differs between repeats
	ExpiresAt charge.Time        `json:"expires_at"`
	Data      json.RawMessage    `json:"data,omitempty"`
}

// DecodeCommand decodes the envelope of a command strictly, and leaves Data for
// Order.
func DecodeCommand(raw []byte) (Command, error) {
	var m Command
	if err := decode("command", "", raw, &m); err != nil {
		return Command{}, err
	}
	return m, nil
}

// Encode returns the bytes of the command.
func (m *Command) Encode() ([]byte, error) { return encode("command", m) }

// Life is how long after its receipt the command may have an effect.
func (m *Command) Life() time.Duration { return m.ExpiresAt.Sub(m.SentAt) }

// validate checks the envelope only; Order checks Data.
func (m *Command) validate(c *check) {
	c.version(m.V)
	c.require("id", "n", "central", "journal", "cp_id", "type", "issued_at", "sent_at", "expires_at")
	c.id("id", string(m.ID))
	c.within("n", int64(min(m.N, 1<<62)), 1, 1<<53)
	c.epoch("central", m.Central)
	c.id("journal", string(m.Journal))
	c.id("cp_id", string(m.CPID))
	c.connector(m.Connector, 0)
	c.typeName("type", string(m.Type))
	c.time("issued_at", m.IssuedAt)
	c.time("sent_at", m.SentAt)
	c.time("expires_at", m.ExpiresAt)
	if m.Life() > MaxCommandLife {
		c.fail("expires_at", reason.Wrong{Code: reason.LifeTooLong, Value: m.Life().String(), Allowed: MaxCommandLife.String()})
	}
}

// Order is the data of one type of command.
type Order interface {
	message
	// CommandType is the type of the commands that carry it.
	CommandType() CommandType
}

// EncodeOrder returns an order as the data of a command.
func EncodeOrder(o Order) (json.RawMessage, error) { return encode(string(o.CommandType()), o) }

// Order decodes Data strictly by the type of the command. It returns (nil, nil)
// for a type that this build does not know; the agent rejects such a command as
// unsupported.
func (m *Command) Order() (Order, error) {
	o := newOrder(m.Type)
	if o == nil {
		return nil, nil
	}
	raw := m.Data
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if err := decode("command "+string(m.Type), "data", raw, o); err != nil {
		return nil, err
	}
	return o, nil
}

// newOrder returns an empty order of a type; nil for an unknown type.
func newOrder(t CommandType) Order {
	switch t {
	case CommandReserve:
		return new(Reserve)
	case CommandCancel:
		return new(CancelReservation)
	case CommandStart:
		return new(Start)
	case CommandStop:
		return new(Stop)
	case CommandSetAvailability:
		return new(SetAvailability)
	case CommandSetLimit:
		return new(SetLimit)
	case CommandUnlock:
		return new(Unlock)
	case CommandReset:
		return new(Reset)
	case CommandIdentify:
		return new(Identify)
	case CommandSetLocalList:
		return new(SetLocalList)
	case CommandAuthorize:
		return new(Authorize)
	case CommandSimulate:
		return new(Simulate)
	}
	return nil
}

// Reserve orders a connector to be kept for a driver until a moment. It is
// idempotent in ReservationID. Replaces names reservations of the connector that
// are over for Central and that the charging point may still hold; the one that
// it holds ends.
type Reserve struct {
	ReservationID charge.ReservationID   `json:"reservation_id"`
	Username      charge.Username        `json:"username"`
	Until         charge.Time            `json:"until"`
	Tariff        charge.TariffVersion   `json:"tariff,omitempty"`
	Replaces      []charge.ReservationID `json:"replaces,omitempty"`
}

// MaxReplaces bounds Replaces.
const MaxReplaces = 16

// CommandType implements Order.
func (*Reserve) CommandType() CommandType { return CommandReserve }

func (o *Reserve) validate(c *check) {
	c.require("reservation_id", "username", "until")
	c.id("reservation_id", string(o.ReservationID))
	c.name("username", string(o.Username))
	c.time("until", o.Until)
	c.optionalID("tariff", string(o.Tariff))
	c.entries("replaces", len(o.Replaces), 0, MaxReplaces)
	for _, id := range o.Replaces {
		c.id("replaces", string(id))
	}
}

// CancelReservation orders a reservation to end. It succeeds if the reservation
// has ended already.
type CancelReservation struct {
	ReservationID charge.ReservationID `json:"reservation_id"`
}

// CommandType implements Order.
func (*CancelReservation) CommandType() CommandType { return CommandCancel }

func (o *CancelReservation) validate(c *check) {
	c.require("reservation_id")
	c.id("reservation_id", string(o.ReservationID))
}

// Start orders a session. Without a vehicle the agent waits for the plug. It is
// idempotent in SessionID. The agent ends the session when its energy reaches
// Limit. LimitAmount is for Central, which alone knows prices: the agent repeats it
// in authorized.
type Start struct {
	SessionID     charge.SessionID     `json:"session_id"`
	Username      charge.Username      `json:"username"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	Tariff        charge.TariffVersion `json:"tariff,omitempty"`
	Limit         charge.WattHours     `json:"limit_wh,omitempty"`     // 0: none
	LimitAmount   int64                `json:"limit_amount,omitempty"` // in minor units of the tariff's currency; 0: none
}

// CommandType implements Order.
func (*Start) CommandType() CommandType { return CommandStart }

func (o *Start) validate(c *check) {
	c.require("session_id", "username")
	c.id("session_id", string(o.SessionID))
	c.name("username", string(o.Username))
	c.optionalID("reservation_id", string(o.ReservationID))
	c.optionalID("tariff", string(o.Tariff))
	c.limits(o.Limit, o.LimitAmount)
}

// limits checks the limits of a session. One that is absent is none.
func (c *check) limits(energy charge.WattHours, amount int64) {
	c.limit("limit_wh", int64(energy))
	c.limit("limit_amount", amount)
}

func (c *check) limit(field string, v int64) {
	if v != 0 || slices.Contains(c.keys, field) {
		c.within(field, v, 1, charge.MaxSessionLimit)
	}
}

// Stop orders one session to end, and no other. It succeeds if the session has
// ended already. Reason is why it ends: empty is remote.
type Stop struct {
	SessionID charge.SessionID  `json:"session_id"`
	Reason    charge.StopReason `json:"reason,omitempty"`
}

// CommandType implements Order.
func (*Stop) CommandType() CommandType { return CommandStop }

func (o *Stop) validate(c *check) {
	c.require("session_id")
	c.id("session_id", string(o.SessionID))
	if o.Reason != "" {
		c.oneOf("reason", string(o.Reason), string(charge.StopRemote), string(charge.StopLimitReached), string(charge.StopDeauthorized))
	}
}

// SetAvailability puts a connector out of service, or back into service;
// connector 0 means all. Out of service ends a running session with the reason
// remote, and ends a reservation. The agent keeps it across restarts.
type SetAvailability struct {
	Available bool `json:"available"`
}

// CommandType implements Order.
func (*SetAvailability) CommandType() CommandType { return CommandSetAvailability }

func (*SetAvailability) validate(c *check) { c.require("available") }

// SetLimit limits the current per phase of a connector until a moment; connector 0
// means each of them. It replaces the one before of the same connector. Below 6 A no
// power flows. The lowest of all limits is in force, so it never allows more than the
// others do.
type SetLimit struct {
	Limit charge.MilliAmps `json:"limit_ma"`
	Until charge.Time      `json:"until"`
}

// MaxLimit bounds limits of the current, far beyond any hardware: to detect a wrong
// unit.
const MaxLimit = 1_000_000

// CommandType implements Order.
func (*SetLimit) CommandType() CommandType { return CommandSetLimit }

func (o *SetLimit) validate(c *check) {
	c.require("limit_ma", "until")
	c.within("limit_ma", int64(o.Limit), 0, MaxLimit)
	c.time("until", o.Until)
}

// Unlock releases the locked cable of a connector. A session ends first, with the
// reason remote.
type Unlock struct{}

// CommandType implements Order.
func (*Unlock) CommandType() CommandType { return CommandUnlock }

func (*Unlock) validate(*check) {}

// Reset ends the latched faults of a connector whose cause is over; connector 0 means
// all.
type Reset struct{}

// CommandType implements Order.
func (*Reset) CommandType() CommandType { return CommandReset }

func (*Reset) validate(*check) {}

// Identify lets the lights of a connector blink for 30 s; connector 0 means all.
type Identify struct{}

// CommandType implements Order.
func (*Identify) CommandType() CommandType { return CommandIdentify }

func (*Identify) validate(*check) {}

// SetLocalList changes the list of cards that may charge without a request to
// Central. With Base it is a delta: it is for a charging point whose list has that
// version. Without Base, Entries replace the list. A list that is too long for one
// command is sent as a first part without Base and further parts as deltas.
type SetLocalList struct {
	Version int64              `json:"version"`        // of the list after this command
	Base    int64              `json:"base,omitempty"` // of the list before it; 0: any, it is replaced
	Entries []LocalListEntry   `json:"entries"`
	Removed []charge.TokenHash `json:"removed,omitempty"` // cards that may not charge: they leave the list and the cache
	Digest  string             `json:"digest,omitempty"`  // ListDigest of the list after this command; absent but in the last part
}

// LocalListEntry admits one card. Its limits are those of each session that it begins,
// as in Start.
type LocalListEntry struct {
	TokenHash   charge.TokenHash `json:"token_hash"`
	Username    charge.Username  `json:"username"`
	Until       charge.Time      `json:"until,omitzero"`         // zero: no end
	Limit       charge.WattHours `json:"limit_wh,omitempty"`     // 0: none
	LimitAmount int64            `json:"limit_amount,omitempty"` // 0: none
}

// HasLimit reports whether a session of the card has a limit. Such an entry is only for
// charging points with CapabilityCardLimits.
func (e *LocalListEntry) HasLimit() bool { return e.Limit != 0 || e.LimitAmount != 0 }

// MaxLocalList is the most cards that a charging point keeps in its list.
const MaxLocalList = 1000

// MaxListPart is the size of the largest data of SET_LOCAL_LIST that Central sends:
// the record command_accepted repeats it and must fit into one message.
const MaxListPart = 24 << 10

// ListState names one state of a list of cards.
type ListState struct {
	Version int64  `json:"version"`          // 0: empty, and never set
	Digest  string `json:"digest,omitempty"` // absent with version 0
}

// ListDigest is a digest of a list, whatever the order of its entries: the first
// 16 hex digits of the SHA-256 over its lines "hash username until", sorted. The line
// of an entry with a limit ends with " limit_wh limit_amount".
func ListDigest(entries []LocalListEntry) string {
	lines := make([]string, len(entries))
	for i := range entries {
		e := &entries[i]
		limits := ""
		if e.HasLimit() {
			limits = fmt.Sprintf(" %d %d", e.Limit, e.LimitAmount)
		}
		lines[i] = fmt.Sprintf("%s %s %d%s\n", string(e.TokenHash), e.Username, int64(e.Until), limits)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:8])
}

// CommandType implements Order.
func (*SetLocalList) CommandType() CommandType { return CommandSetLocalList }

func (o *SetLocalList) validate(c *check) {
	c.require("version", "entries")
	c.within("version", o.Version, 1, 1<<53)
	c.within("base", o.Base, 0, 1<<53)
	for i := range o.Entries {
		if !o.Entries[i].TokenHash.Valid() {
			c.fail("entries."+strconv.Itoa(i)+".token_hash", notHex(2*sha256.Size))
		}
		c.name("entries", string(o.Entries[i].Username))
		c.time("entries", o.Entries[i].Until)
		c.within("entries", int64(o.Entries[i].Limit), 0, charge.MaxSessionLimit)
		c.within("entries", o.Entries[i].LimitAmount, 0, charge.MaxSessionLimit)
	}
	for i, h := range o.Removed {
		if !h.Valid() {
			c.fail("removed."+strconv.Itoa(i), notHex(2*sha256.Size))
		}
	}
	c.digest("digest", o.Digest)
}

// list checks a state of a list; prefix precedes the names of its fields.
func (c *check) list(prefix string, l ListState) {
	c.within(prefix+"version", l.Version, 0, 1<<53)
	c.digest(prefix+"digest", l.Digest)
}

func (c *check) digest(field, v string) {
	if v == "" {
		return
	}
	if _, err := hex.DecodeString(v); err != nil || len(v) != 16 || v != strings.ToLower(v) {
		c.fail(field, notHex(16))
	}
}

func (c *check) optionalHash(field string, h charge.TokenHash) {
	if h != "" && !h.Valid() {
		c.fail(field, notHex(2*sha256.Size))
	}
}

// Authorize answers an authorization_requested record. If Allowed, it begins the
// session SessionID of Username, or ends the one that this driver has running. The
// limits are as in Start.
type Authorize struct {
	RequestID   string               `json:"request_id"`
	Allowed     bool                 `json:"allowed"`
	SessionID   charge.SessionID     `json:"session_id,omitempty"`
	Username    charge.Username      `json:"username,omitempty"`
	Tariff      charge.TariffVersion `json:"tariff,omitempty"`
	Limit       charge.WattHours     `json:"limit_wh,omitempty"`     // 0: none
	LimitAmount int64                `json:"limit_amount,omitempty"` // 0: none
	Reason      string               `json:"reason,omitempty"`
}

// CommandType implements Order.
func (*Authorize) CommandType() CommandType { return CommandAuthorize }

func (o *Authorize) validate(c *check) {
	c.require("request_id", "allowed")
	c.id("request_id", o.RequestID)
	c.optionalID("session_id", string(o.SessionID))
	c.optionalUsername(o.Username)
	c.optionalID("tariff", string(o.Tariff))
	c.limits(o.Limit, o.LimitAmount)
	c.text("reason", o.Reason, 128)
}

// SimulateAction is an action at a simulated charging point.
type SimulateAction string

// The closed list of actions.
const (
	SimulatePlug   SimulateAction = "plug"
	SimulateUnplug SimulateAction = "unplug"
	SimulateFault  SimulateAction = "fault"
	SimulateRepair SimulateAction = "repair"
	SimulateTap    SimulateAction = "tap" // a card is held to the reader
)

// Simulate orders an action of the person at a simulated charging point.
type Simulate struct {
	Action SimulateAction `json:"action"`
	Fault  charge.Fault   `json:"fault,omitempty"` // with action fault; "other" when empty
	// Card is what action tap holds to the reader; required there. Its UID is in no
	// message.
	Card charge.TokenHash `json:"token_hash,omitempty"`
}

// CommandType implements Order.
func (*Simulate) CommandType() CommandType { return CommandSimulate }

func (o *Simulate) validate(c *check) {
	c.require("action")
	c.oneOf("action", string(o.Action), string(SimulatePlug), string(SimulateUnplug), string(SimulateFault), string(SimulateRepair), string(SimulateTap))
	if o.Fault != "" {
		c.fault("fault", o.Fault)
	}
	c.optionalHash("token_hash", o.Card)
}
