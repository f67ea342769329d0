package view

import (
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
)

// Network is the whole network at one moment. It is the body of GET /network, and
// the stream is made from it.
type Network struct {
	At      charge.Time  `json:"at"`
	Central charge.Epoch `json:"central"`
	Demo    bool         `json:"demo"` // the page offers to cut and restore parts
	Parts   []Part       `json:"parts"`
	Bridges []Part       `json:"bridges"` // each bridge by its name, sorted
	Books   Books        `json:"books"`
	CPs     []CP         `json:"cps"` // sorted by id
}

// Part is one part of the pipeline between charging points and this page.
type Part struct {
	Name   string      `json:"name"`  // "mqtt", "bridge", "kafka", "central"; of a bridge its own
	State  string      `json:"state"` // PartUp, PartDown, PartUnknown; of a bridge also PartStandby
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason,omitempty"` // in English: why it is not up, or warnings while it is
	// Why is the same for programs: the trouble that began first, or each warning.
	Why    []reason.Reason `json:"why,omitempty"`
	Fenced bool            `json:"fenced,omitempty"` // of Central: another one took over, until an operator lifts the fence
}

// Because sets why the part is as it is; zero reasons are left out.
func (p *Part) Because(why ...reason.Reason) {
	p.Why = slices.DeleteFunc(slices.Clone(why), reason.Reason.IsZero)
	p.Reason = reason.Join(p.Why)
}

// Equal reports whether two parts are the same.
func (p *Part) Equal(o *Part) bool {
	return p.Name == o.Name && p.State == o.State && p.Since == o.Since && p.Reason == o.Reason && p.Fenced == o.Fenced && slices.Equal(p.Why, o.Why)
}

// States of a part.
const (
	PartUp      = "up"
	PartDown    = "down"
	PartUnknown = "unknown"
	// PartStandby is the state of a bridge that stands by.
	PartStandby = "standby"
)

// Books are the totals of the whole network: journal records and energy since
// Central's database was made. The sum of the three energies is what all meters
// have measured.
type Books struct {
	Announced   int64 `json:"announced"`    // records that charging points have written, as far as they reported it; at most 64 of a journal without a known record
	Applied     int64 `json:"applied"`      // records in Central's database
	Unacked     int64 `json:"unacked"`      // announced and not yet applied
	Duplicates  int64 `json:"duplicates"`   // deliveries of records that were applied before
	OutOfOrder  int64 `json:"out_of_order"` // deliveries dropped because the record before is not known yet; the agent retries
	DeadLetters int64 `json:"dead_letters"` // messages that could not be used
	Lost        int64 `json:"lost"`         // records missing in gaps
	Twice       int64 `json:"twice"`        // open alarms about energy on two tickets or sessions: must be 0
	Alarms      int64 `json:"alarms"`       // open alarms

	Mismatched   int64 `json:"mismatched"`    // deliveries of records that did not fit the chain
	Forked       int64 `json:"forked"`        // deliveries of records of a quarantined identity
	Unusable     int64 `json:"unusable"`      // records applied without effect because their content is contradictory
	BadTelemetry int64 `json:"bad_telemetry"` // telemetry that could not be decoded, since the start of this run

	Billed      charge.WattHours `json:"billed_wh"`      // energy on tickets
	Running     charge.WattHours `json:"running_wh"`     // energy of open sessions
	Unaccounted charge.WattHours `json:"unaccounted_wh"` // energy measured outside of sessions
}

// CP is one charging point.
//
// Link is whether Central receives anything from it. "unknown" means that the
// pipeline itself is down or has not caught up, so that silence means nothing.
// Unacked is how many of its records are not in Central's database. Agent is the
// version of its firmware. ReaderTrouble is why its card reader does not answer, and
// ReaderSince is since when, by Central's clock; both are empty while it answers, or
// none is fitted.
type CP struct {
	ID         charge.CPID     `json:"cp_id"`
	Name       string          `json:"name,omitempty"`
	Place      string          `json:"place,omitempty"`
	Site       string          `json:"site,omitempty"` // groups charging points
	Admitted   bool            `json:"admitted"`
	Simulated  bool            `json:"simulated"`
	Link       ledger.Liveness `json:"link"`
	LinkSince  charge.Time     `json:"link_since,omitzero"`
	LastSeenAt charge.Time     `json:"last_seen_at,omitzero"` // last message, by Central's clock; 0: none since Central's start
	Unacked    int64           `json:"unacked"`
	Alarm      string          `json:"alarm,omitempty"` // in English
	AlarmWhy   reason.Reason   `json:"alarm_why,omitzero"`

	ReaderTrouble string      `json:"reader_trouble,omitempty"`
	ReaderSince   charge.Time `json:"reader_since,omitzero"`

	Agent      string      `json:"agent,omitempty"`
	Connectors []Connector `json:"connectors"`
}

// CPSettings are what operators set for a charging point, in place of what it
// reports itself; a text that is not set is empty.
type CPSettings struct {
	CPID          charge.CPID `json:"cp_id"`
	Name          string      `json:"name"`
	Place         string      `json:"place"`
	Site          string      `json:"site"`
	ReportedName  string      `json:"reported_name"`
	ReportedPlace string      `json:"reported_place"`
	Version       int64       `json:"version"` // 0: never set
	ChangedAt     charge.Time `json:"changed_at,omitzero"`
}

// Connector is one connector as it is shown: its state follows from records, its
// power, register, energy and cost from the latest telemetry.
//
// The two differ in how far they can be trusted. Records arrive completely and in
// order, but perhaps late; telemetry is as fresh as ValuesAt, may be lost, and is
// never billed. Session, username and reservation are empty if there is none.
type Connector struct {
	Connector     charge.ConnectorID   `json:"connector"`
	Status        charge.Status        `json:"status"`    // as reported; with CP.Link "offline" it may be outdated
	Available     bool                 `json:"available"` // as ordered by the operator
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	SessionSince  charge.Time          `json:"session_since,omitzero"` // when energy flowed first, or before that the grant, by the charging point's clock
	Username      charge.Username      `json:"username,omitempty"`
	Limit         charge.WattHours     `json:"limit_wh,omitempty"`   // of the running session, of its energy
	LimitCost     string               `json:"limit_cost,omitempty"` // of the running session, of its cost; as Cost
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	ReservedUntil charge.Time          `json:"reserved_until,omitzero"`
	WaitsFor      orders.WaitingFor    `json:"waits_for,omitempty"` // an order that its charging point has not confirmed
	WaitsSince    charge.Time          `json:"waits_since,omitzero"`
	Faults        []charge.Fault       `json:"faults,omitempty"`
	Rated         charge.Watts         `json:"rated_w"`
	Power         charge.Watts         `json:"power_w"`
	Register      charge.WattHours     `json:"register_wh"`
	Energy        charge.WattHours     `json:"energy_wh"`      // of the running session
	Cost          string               `json:"cost,omitempty"` // of the running session, provisional; decimal in the main unit of Currency
	Currency      money.Currency       `json:"currency,omitempty"`
	ValuesAt      charge.Time          `json:"values_at,omitzero"` // when Power … Cost were received
}

// SameState reports whether two charging points differ in nothing but their
// connectors, numbers and the time of the last message.
func (c *CP) SameState(o *CP) bool {
	return c.ID == o.ID && c.Name == o.Name && c.Place == o.Place && c.Site == o.Site && c.Admitted == o.Admitted && c.Simulated == o.Simulated &&
		c.Link == o.Link && c.LinkSince == o.LinkSince && c.Alarm == o.Alarm && c.AlarmWhy == o.AlarmWhy && c.Agent == o.Agent &&
		c.ReaderTrouble == o.ReaderTrouble && c.ReaderSince == o.ReaderSince
}

// SameState reports whether two connectors differ in nothing but the numbers of
// telemetry, from Power to Cost, and their time.
func (c *Connector) SameState(o *Connector) bool {
	return c.Connector == o.Connector && c.Status == o.Status && c.Available == o.Available && c.SessionID == o.SessionID && c.SessionSince == o.SessionSince &&
		c.Username == o.Username && c.Limit == o.Limit && c.LimitCost == o.LimitCost && c.ReservationID == o.ReservationID && c.ReservedUntil == o.ReservedUntil &&
		c.WaitsFor == o.WaitsFor && c.WaitsSince == o.WaitsSince && c.Rated == o.Rated && c.Currency == o.Currency && slices.Equal(c.Faults, o.Faults)
}

// Point is what a connector's meter showed at a moment.
type Point struct {
	At       charge.Time
	Power    charge.Watts
	Register charge.WattHours
}

// Series are points of one connector, as one array for each value.
type Series struct {
	Connector charge.ConnectorID `json:"connector"`
	At        []int64            `json:"t" nullable:"false"` // Unix milliseconds, rising
	Power     []charge.Watts     `json:"w" nullable:"false"`
	Register  []charge.WattHours `json:"e" nullable:"false"` // of the meter, in Wh
}
