package driver

import (
	"fmt"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// StepKind is the type of a step.
type StepKind string

// The types of steps, roughly in the order in which they occur.
const (
	StepAsking           StepKind = "asking"
	StepKafkaAway        StepKind = "waiting_for_kafka"
	StepKafkaBack        StepKind = "kafka_back"
	StepAskingAgain      StepKind = "asking_again"
	StepAuthorized       StepKind = "authorized"
	StepRefused          StepKind = "refused"
	StepStarted          StepKind = "charging_started"
	StepProgress         StepKind = "charging_progress"
	StepSuspended        StepKind = "charging_suspended"
	StepResumed          StepKind = "charging_resumed"
	StepStopping         StepKind = "stopping"
	StepFault            StepKind = "fault"
	StepNotice           StepKind = "notice"
	StepTicket           StepKind = "ticket"
	StepReservationEnded StepKind = "reservation_ended"
	StepGivenUp          StepKind = "given_up"
)

// Step is one event of a service, as it is shown to its driver. Its JSON is one
// line of `sim driver --json`.
type Step struct {
	At            time.Time            `json:"at"`
	Kind          StepKind             `json:"step"`
	Username      charge.Username      `json:"username"`
	Text          string               `json:"text"` // for people
	Since         *time.Time           `json:"since,omitempty"`
	CPID          charge.CPID          `json:"cp_id,omitempty"`
	Connector     charge.ConnectorID   `json:"connector,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	Reason        string               `json:"reason,omitempty"`
	EnergyKWh     *wire.KWh            `json:"energy_kwh,omitempty"`
	PowerW        *charge.Watts        `json:"power_w,omitempty"`
	Cost          *wire.Money          `json:"cost,omitempty"`
	Currency      string               `json:"currency,omitempty"`
	DurationSec   *int64               `json:"duration_sec,omitempty"`
	LimitKWh      *wire.KWh            `json:"limit_kwh,omitempty"`
	LimitCost     *wire.Money          `json:"limit_cost,omitempty"` // in Currency
}

// clockFormat is the time of day as steps show it.
const clockFormat = "15:04:05"

// connectorText names a connector for people.
func connectorText(cp charge.CPID, n charge.ConnectorID) string {
	if n > 1 {
		return fmt.Sprintf("%s, connector %d", cp, n)
	}
	return string(cp)
}

// amountsText lists the energy, power, cost and duration that a message
// carries.
func amountsText(e *wire.CentralEvent) string {
	var parts []string
	if e.EnergyKWh != nil {
		parts = append(parts, charge.WattHours(*e.EnergyKWh).KWh()+" kWh")
	}
	if e.PowerW != nil {
		parts = append(parts, fmt.Sprintf("%d.%d kW", *e.PowerW/1000, *e.PowerW%1000/100))
	}
	if e.Cost != nil {
		parts = append(parts, strings.TrimSpace(e.Cost.String()+" "+e.Currency))
	}
	if e.DurationSec != nil {
		parts = append(parts, (time.Duration(*e.DurationSec) * time.Second).String())
	}
	return strings.Join(parts, ", ")
}

// limitText names the limit of a session: the amount, of which the energy follows, or the
// energy; empty without one.
func limitText(e *wire.CentralEvent) string {
	switch {
	case e.LimitCost != nil:
		return "limit " + strings.TrimSpace(e.LimitCost.String()+" "+e.Currency)
	case e.LimitKWh != nil:
		return "limit " + charge.WattHours(*e.LimitKWh).KWh() + " kWh"
	}
	return ""
}

// refusalText explains why Central refused.
func refusalText(e *wire.CentralEvent) string {
	if e.Message != "" {
		return e.Message
	}
	switch e.Reason {
	case wire.RefusedUnreachable:
		return "no charging point confirmed in time"
	case wire.RefusedNoneFree:
		return "every charging point is occupied, out of service, faulted or offline"
	case wire.RefusedBusy:
		return "it is reserved or occupied"
	case wire.RefusedUnknownCP:
		return "there is no such charging point, or it is not admitted yet"
	case wire.RefusedNotAvailable:
		return "it is out of service or faulted"
	case wire.RefusedUnknownDriver:
		return "this driver is not on the list"
	case wire.RefusedStale:
		return "the request was too old when it was read"
	case wire.RefusedLimit:
		return "the driver has all the reservations or sessions allowed"
	case "":
		return "no reason given"
	}
	return e.Reason
}
