package app

import (
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
)

// observed posts what the control loop reports to the core. It is a
// control.Reports.
type observed struct{ inbox *inbox }

// PilotChanged implements control.Reports.
func (o observed) PilotChanged(n charge.ConnectorID, p charge.PilotState) {
	crashpoint.At(crashpoint.Plugged)
	o.inbox.put(point.PilotChanged{Connector: n, Pilot: p}) // step adds the id
}

// ContactChanged implements control.Reports.
func (o observed) ContactChanged(n charge.ConnectorID, closed bool) {
	o.inbox.put(point.ContactChanged{Connector: n, Closed: closed})
}

// PowerWithheld implements control.Reports.
func (o observed) PowerWithheld(n charge.ConnectorID, reason, input string) {
	o.inbox.put(point.PowerWithheld{Connector: n, Reason: reason, Input: input})
}

// LimitApplied implements control.Reports.
func (o observed) LimitApplied(n charge.ConnectorID, l charge.Limit) {
	o.inbox.put(point.LimitApplied{Connector: n, Limit: l})
}

// FaultSeen implements control.Reports.
func (o observed) FaultSeen(n charge.ConnectorID, f charge.Fault) {
	o.inbox.put(point.FaultSeen{Connector: n, Fault: f})
}

// FaultGone implements control.Reports.
func (o observed) FaultGone(n charge.ConnectorID, f charge.Fault) {
	o.inbox.put(point.FaultGone{Connector: n, Fault: f})
}
