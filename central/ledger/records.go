package ledger

import (
	"slices"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// takePayload applies what a record other than cp_registered tells.
func (f *fold) takePayload(p wire.Payload) {
	switch p := p.(type) {
	case *wire.Authorized, *wire.ChargingStarted, *wire.MeterRead, *wire.Suspended, *wire.Resumed, *wire.ChargingStopped:
		f.takeSession(p)
	case *wire.StatusChanged:
		f.takeStatus(p)
	case *wire.PluggedIn:
		f.takePlug(true)
	case *wire.Unplugged:
		f.takePlug(false)
	case *wire.CommandAccepted:
		f.takeCommand(p)
	case *wire.ReservationEnded:
		f.release(p.ReservationID)
	case *wire.FaultRaised:
		f.takeFault(p.Fault, true)
	case *wire.FaultCleared:
		f.takeFault(p.Fault, false)
	case *wire.AnomalySeen:
		f.alarm(AlarmAnomaly, string(f.rec.Journal)+"."+p.Anomaly, f.rec.Connector, p.Anomaly+": "+p.Detail)
	}
}

func (f *fold) takeStatus(p *wire.StatusChanged) {
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

func (f *fold) takePlug(in bool) {
	c := f.connector(f.rec.Connector)
	if c == nil {
		return
	}
	c.Plugged = in
	c.Finishing = c.Finishing && in
	c.IdleSince = f.env.Now
}

// takeCommand applies what an accepted command is certain to bring about and
// what no other record tells: a reservation held, and availability.
func (f *fold) takeCommand(p *wire.CommandAccepted) {
	cmd, err := wire.DecodeCommand(p.Command)
	if err != nil || cmd.CPID != f.cp.ID {
		f.unusable("command_accepted repeats a command that is not for this charging point")
		return
	}
	f.out.Command = &cmd
	order, err := cmd.Order()
	if err != nil {
		f.out.Unusable = err
		f.unusable(err.Error())
		return
	}
	switch o := order.(type) {
	case *wire.Reserve:
		if c := f.connector(cmd.Connector); c != nil {
			c.Held = Held{ID: o.ReservationID, Username: o.Username, Until: o.Until, Tariff: o.Tariff}
		}
	case *wire.SetAvailability:
		for id := range f.boot() {
			if cmd.Connector == 0 || cmd.Connector == id {
				f.connector(id).Available = o.Available
			}
		}
	}
}

func (f *fold) release(id charge.ReservationID) {
	for _, c := range f.boot() {
		if c.Held.ID == id {
			c.Held = Held{}
			c.IdleSince = f.env.Now
			touch(&f.connectors, c)
		}
	}
}

// takeFault adds or removes a fault of one connector, or of the whole present
// charging point.
func (f *fold) takeFault(fault charge.Fault, raised bool) {
	if f.rec.Connector == 0 {
		if f.boot() != nil && f.rec.Journal == f.cp.Present {
			f.cp.Faults = withFault(f.cp.Faults, fault, raised)
			f.point = true
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
