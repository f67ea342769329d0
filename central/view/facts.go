package view

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
)

// Fact is an event that the stream sends once to each page: a ticket, the end of a
// command, a fault, an alarm. Kind and What name it for programs, which compose a
// text in their own language from the other fields; Text is one in English.
type Fact struct {
	N    uint64      `json:"n"` // grows by one with each fact, from 1 at Central's start
	At   charge.Time `json:"at"`
	Kind FactKind    `json:"kind"`
	What FactWhat    `json:"what"`
	CPID charge.CPID `json:"cp_id,omitempty"`
	Text string      `json:"text"`

	Connector charge.ConnectorID `json:"connector,omitempty"`
	SessionID charge.SessionID   `json:"session_id,omitempty"` // the session it is about
	Username  charge.Username    `json:"username,omitempty"`   // the driver it is about
	Subject   string             `json:"subject,omitempty"`    // the fault, the kind of the alarm, the type of the command, where the dead letter came from
	Reason    string             `json:"reason,omitempty"`     // why it ended
	Detail    string             `json:"detail,omitempty"`     // of an alarm, in English
	Why       reason.Reason      `json:"why,omitzero"`         // of an alarm
	Energy    charge.WattHours   `json:"energy_wh,omitempty"`  // of a ticket
	Cost      string             `json:"cost,omitempty"`       // of a ticket, decimal in the main unit of Currency
	Currency  money.Currency     `json:"currency,omitempty"`
}

// FactKind is what a fact is about.
type FactKind string

// The kinds of facts.
const (
	FactTicket      FactKind = "ticket"
	FactSession     FactKind = "session"
	FactReservation FactKind = "reservation"
	FactCommand     FactKind = "command"
	FactFault       FactKind = "fault"
	FactAlarm       FactKind = "alarm"
	FactLink        FactKind = "link"
	FactDeadLetter  FactKind = "dead_letter"
	FactCard        FactKind = "card"
)

// FactWhat is what happened. Of a command it is the state in which it ended.
type FactWhat string

// What happens to the subjects of facts.
const (
	WhatMade     FactWhat = "made"     // a ticket
	WhatBegun    FactWhat = "begun"    // a session: its driver may charge
	WhatCharges  FactWhat = "charges"  // a session: energy flows
	WhatStopped  FactWhat = "stopped"  // a session
	WhatAsked    FactWhat = "asked"    // a charging point, to reserve
	WhatEnded    FactWhat = "ended"    // a reservation
	WhatRaised   FactWhat = "raised"   // a fault, an alarm
	WhatOver     FactWhat = "over"     // a fault, an alarm
	WhatStarted  FactWhat = "started"  // a charging point
	WhatReplayed FactWhat = "replayed" // a dead letter
	WhatAccepted FactWhat = "accepted" // a card: it may charge
	WhatRefused  FactWhat = "refused"  // a card
)
