package view

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// Network is the whole network at one moment. It is the body of GET /network, and
// the stream is made from it.
type Network struct {
	At      charge.Time  `json:"at"`
	Central charge.Epoch `json:"central"`
	Demo    bool         `json:"demo"` // the page offers to cut and restore parts
	Parts   []Part       `json:"parts"`
	Books   Books        `json:"books"`
	CPs     []CP         `json:"cps"` // sorted by id
}

// Part is one part of the pipeline between charging points and this page.
type Part struct {
	Name   string      `json:"name"`  // "mqtt", "bridge", "kafka", "central"
	State  string      `json:"state"` // PartUp, PartDown, PartUnknown
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason,omitempty"` // in words: why it is not up, or a warning while it is
}

// States of a part.
const (
	PartUp      = "up"
	PartDown    = "down"
	PartUnknown = "unknown"
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
// version of its firmware.
type CP struct {
	ID         charge.CPID     `json:"cp_id"`
	Name       string          `json:"name,omitempty"`
	Place      string          `json:"place,omitempty"`
	Admitted   bool            `json:"admitted"`
	Simulated  bool            `json:"simulated"`
	Link       ledger.Liveness `json:"link"`
	LinkSince  charge.Time     `json:"link_since,omitzero"`
	LastSeenAt charge.Time     `json:"last_seen_at,omitzero"` // last message, by Central's clock; 0: none since Central's start
	Unacked    int64           `json:"unacked"`
	Alarm      string          `json:"alarm,omitempty"`
	Agent      string          `json:"agent,omitempty"`
	Connectors []Connector     `json:"connectors"`
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
	Username      charge.Username      `json:"username,omitempty"`
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

// Fact is an event that the stream sends once to each page: a ticket, the end of a
// command, a fault, an alarm.
type Fact struct {
	N    uint64      `json:"n"` // grows by one with each fact, from 1 at Central's start
	At   charge.Time `json:"at"`
	Kind string      `json:"kind"` // "ticket", "session", "reservation", "command", "fault", "alarm", "link"
	CPID charge.CPID `json:"cp_id,omitempty"`
	Text string      `json:"text"`

	SessionID charge.SessionID `json:"session_id,omitempty"` // the session it is about
}
