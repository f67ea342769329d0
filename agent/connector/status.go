package connector

import "github.com/carga-ev/carga/internal/charge"

// Status computes what the connector reports: the first that holds of faulted,
// unavailable, the running session, reserved, available, finishing, preparing.
// It is never stored.
func Status(s State) charge.Status {
	switch {
	case !s.Faults.Empty():
		return charge.StatusFaulted
	case s.Unavailable:
		return charge.StatusUnavailable
	case s.Session.ID != "":
		return s.sessionStatus()
	case s.Reservation.ID != "":
		return charge.StatusReserved
	case !s.Plugged:
		return charge.StatusAvailable
	case s.Finishing:
		return charge.StatusFinishing
	}
	return charge.StatusPreparing
}

// sessionStatus is that of an open session. A vehicle that is offered no current for
// want of it waits for the charging point. Between the grant and the closed
// contactor of a vehicle that requests power it is still preparing.
func (s *State) sessionStatus() charge.Status {
	switch {
	case s.Session.Ending.Reason != "":
		return charge.StatusFinishing
	case s.Session.Flow == FlowOn:
		return charge.StatusCharging
	case s.Session.Flow == FlowSuspended && s.Session.ByEV, s.Session.Flow != FlowSuspended && s.Pilot == charge.PilotB && s.Withheld != charge.Limited:
		return charge.StatusSuspendedEV
	case s.Session.Flow == FlowSuspended, s.Withheld != "":
		return charge.StatusSuspendedEVSE
	}
	return charge.StatusPreparing
}
