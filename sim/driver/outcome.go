package driver

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Result is how a service ended.
type Result int

// The results of a service. The zero value is none: it is not over.
const (
	Ticket           Result = iota + 1
	Refused                 // by Central
	ReservationEnded        // the reservation ended before charging began
	TimedOut                // Central answered or reported nothing in time
	Unreached               // Kafka was not reachable in time
)

// String returns the result in snake case, as in the JSON of steps.
func (r Result) String() string {
	switch r {
	case Ticket:
		return "ticket"
	case Refused:
		return "refused"
	case ReservationEnded:
		return "reservation_ended"
	case TimedOut:
		return "timed_out"
	case Unreached:
		return "unreached"
	}
	return "none"
}

// Outcome is the end of a service.
type Outcome struct {
	Result    Result
	CPID      charge.CPID // empty before the authorization
	Connector charge.ConnectorID
	SessionID charge.SessionID // of the ticket
	Energy    charge.WattHours // of the ticket
	Cost      wire.Money       // of the ticket
	Last      Step             // the step that ended it
}
