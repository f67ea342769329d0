package driver

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Result is how a service ended.
type Result int

// The ends of a service. The zero value is none.
const (
	Ticket           Result = iota + 1
	Refused                 // by Central
	ReservationEnded        // before it was used
	TimedOut                // Central or the charging point was not heard in time
	Unreached               // Kafka did not answer in time
)

// String is the result as a word of the protocol's style.
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

// Outcome is what a service came to.
type Outcome struct {
	Result    Result
	CPID      charge.CPID // where, once authorised
	Connector charge.ConnectorID
	SessionID charge.SessionID // of the ticket
	Energy    charge.WattHours // of the ticket
	Cost      wire.Money       // of the ticket
	Last      Step             // what was said at the end
}
