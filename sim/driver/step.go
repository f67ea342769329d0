package driver

import (
	"fmt"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// StepKind says what happened to a driver.
type StepKind string

// The steps of a service, in about their order.
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

// Step is one thing to tell the driver. Its JSON is a line of `sim driver
// --json`.
type Step struct {
	At            time.Time            `json:"at"`
	Kind          StepKind             `json:"step"`
	Username      charge.Username      `json:"username"`
	Text          string               `json:"text"` // in words
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
}

// clockFormat is how a time is written in words.
const clockFormat = "15:04:05"

// connectorText is a connector in words.
func connectorText(cp charge.CPID, n charge.ConnectorID) string {
	if n > 1 {
		return fmt.Sprintf("%s, connector %d", cp, n)
	}
	return string(cp)
}

// amountsText is what a message says of energy and money, in words.
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

// refusalText is a reason of Central in words.
func refusalText(e *wire.CentralEvent) string {
	if e.Message != "" {
		return e.Message
	}
	switch e.Reason {
	case wire.RefusedUnreachable:
		return "no charging point confirmed in time"
	case wire.RefusedNoneFree:
		return "every charging point is busy, stopped, faulted or away"
	case wire.RefusedBusy:
		return "it is reserved or in use"
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
