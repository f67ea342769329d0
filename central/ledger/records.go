package ledger

import (
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// applyPayload applies the content of a record other than cp_registered.
func (f *fold) applyPayload(p wire.Payload) {
	switch p := p.(type) {
	case *wire.Authorized, *wire.ChargingStarted, *wire.MeterRead, *wire.Suspended, *wire.Resumed, *wire.ChargingStopped:
		f.applySessionRecord(p)
	case *wire.StatusChanged:
		f.applyStatus(p)
	case *wire.PluggedIn:
		f.applyPlug(true)
	case *wire.Unplugged:
		f.applyPlug(false)
	case *wire.CommandAccepted:
		f.applyCommandAccepted(p)
	case *wire.ReservationEnded:
		f.releaseReservation(p.ReservationID)
	case *wire.FaultRaised:
		f.applyFault(p.Fault, true)
	case *wire.FaultCleared:
		f.applyFault(p.Fault, false)
	case *wire.AnomalySeen:
		f.raiseAlarm(AlarmAnomaly, string(f.rec.Journal)+"."+p.Anomaly, f.rec.Connector, reason.Reason{Code: reason.Anomaly, Detail: p.Anomaly + ": " + p.Detail})
	}
}

// applyStatus stores the reported status. It changes the phase of an open session
// and Finishing, which no other record reports; plug, faults and availability
// have records of their own.
func (f *fold) applyStatus(p *wire.StatusChanged) {
	c := f.connector(f.rec.Connector)
	if c == nil {
		return
	}
	c.Reported = p.Status
	switch {
	case c.Session != "" && p.Status.InSession():
		c.Phase = p.Status
	case c.Session == "" && p.Status == charge.StatusFinishing:
		c.Finishing = true
	}
}

func (f *fold) applyPlug(in bool) {
	c := f.connector(f.rec.Connector)
	if c == nil {
		return
	}
	c.Plugged = in
	c.Finishing = c.Finishing && in
	c.IdleSince = f.env.Now
}

// applyCommandAccepted applies the effects of an accepted command that no later
// record reports: a reservation held, and availability.
func (f *fold) applyCommandAccepted(p *wire.CommandAccepted) {
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil || cmd.CPID != f.cp.ID {
		f.reportUnusable(reason.Reason{Code: reason.CommandOfOther})
		return
	}
	f.out.Command = &cmd
	order, err := cmd.Order()
	if err != nil {
		f.out.Unusable = err
		f.reportUnusable(wire.Why(err))
		return
	}
	switch o := order.(type) {
	case *wire.Reserve:
		if c := f.connector(cmd.Connector); c != nil {
			c.Held = Held{ID: o.ReservationID, Username: o.Username, Until: o.Until, Tariff: o.Tariff}
		}
	case *wire.SetAvailability:
		for id := range f.bootState() {
			if cmd.Connector == 0 || cmd.Connector == id {
				f.connector(id).Available = o.Available
			}
		}
	}
}

// releaseReservation removes a reservation that ended from its connector.
func (f *fold) releaseReservation(id charge.ReservationID) {
	for _, c := range f.bootState() {
		if c.Held.ID == id {
			c.Held = Held{}
			c.IdleSince = f.env.Now
			touch(&f.connectors, c)
		}
	}
}

// applyFault adds or removes a fault of one connector, or of the charging point as
// a whole. For the latter only the current boot counts.
func (f *fold) applyFault(fault charge.Fault, raised bool) {
	if f.rec.Connector == 0 {
		if f.bootState() != nil && f.rec.Journal == f.cp.CurrentJournal {
			f.cp.Faults = withFault(f.cp.Faults, fault, raised)
			f.pointChanged = true
		}
		return
	}
	if c := f.connector(f.rec.Connector); c != nil {
		c.Faults = withFault(c.Faults, fault, raised)
	}
}

func withFault(list []charge.Fault, fault charge.Fault, raised bool) []charge.Fault {
	i := slices.Index(list, fault)
	switch {
	case raised && i < 0:
		return append(list, fault)
	case !raised && i >= 0:
		return slices.Delete(list, i, i+1)
	}
	return list
}
