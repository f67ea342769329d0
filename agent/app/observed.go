package app

import (
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
)

// observed posts what the control loop reports to the machines. It is a
// control.Reports.
type observed struct{ r *running }

func (o observed) machine(n charge.ConnectorID) *machine { return o.r.machines[n-1] }

// PilotChanged implements control.Reports.
func (o observed) PilotChanged(n charge.ConnectorID, p charge.PilotState) { o.machine(n).postPilot(p) }

// ContactChanged implements control.Reports.
func (o observed) ContactChanged(n charge.ConnectorID, closed bool) {
	o.machine(n).post(func(now connector.Now) connector.Event { return connector.ContactChanged{Now: now, Closed: closed} })
}

// PowerWithheld implements control.Reports.
func (o observed) PowerWithheld(n charge.ConnectorID, reason string) {
	o.machine(n).post(func(now connector.Now) connector.Event { return connector.PowerWithheld{Now: now, Reason: reason} })
}

// FaultSeen implements control.Reports.
func (o observed) FaultSeen(n charge.ConnectorID, f charge.Fault) {
	o.machine(n).post(func(now connector.Now) connector.Event { return connector.FaultSeen{Now: now, Fault: f} })
}

// FaultGone implements control.Reports.
func (o observed) FaultGone(n charge.ConnectorID, f charge.Fault) {
	o.machine(n).post(func(now connector.Now) connector.Event { return connector.FaultGone{Now: now, Fault: f} })
}
