package ledgertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Connector is the truth about one connector of a Box.
type Connector struct {
	Plugged   bool
	Available bool
	Register  charge.WattHours
	Session   charge.SessionID
	Start     charge.WattHours // register at the grant of Session
	User      charge.Username
	Reserved  charge.ReservationID // used by Session
	Tariff    charge.TariffVersion
	Held      *wire.ReservationState
	Faults    []charge.Fault
}

// ChargingPoint is an honest charging point: it writes records, and remembers them as long
// as its storage does.
type ChargingPoint struct {
	ID         charge.CPID
	Now        charge.Time         // its clock
	Clock      charge.ClockQuality // of what it writes
	Booted     charge.Time
	Journal    charge.JournalID
	Seq        charge.Seq
	Boots      int
	Conn       uint64
	Simulated  bool
	Connectors map[charge.ConnectorID]*Connector
	Storage    []wire.Record                         // what its disk holds, in the order of writing
	Log        []wire.Record                         // all it ever wrote, lost or not
	Billed     map[charge.SessionID]charge.WattHours // energy of the sessions it ended
	Damaged    []wire.Damaged                        // named by the next boot
}

// NewChargingPoint returns a charging point that has not started yet; its registers stand
// at 1000 Wh.
func NewChargingPoint(id charge.CPID, connectors int, now charge.Time) *ChargingPoint {
	b := &ChargingPoint{ID: id, Now: now, Clock: charge.ClockSynced, Connectors: map[charge.ConnectorID]*Connector{}, Billed: map[charge.SessionID]charge.WattHours{}}
	for i := range connectors {
		b.Connectors[charge.ConnectorID(i+1)] = &Connector{Available: true, Register: 1000}
	}
	return b
}

// Write journals a payload.
func (b *ChargingPoint) Write(connector charge.ConnectorID, session charge.SessionID, p wire.Payload) wire.Record {
	r, err := wire.NewRecord(p)
	if err != nil {
		panic(err) // a test wrote nonsense
	}
	b.Seq++
	r.CPID, r.Journal, r.Seq, r.Connector, r.SessionID = b.ID, b.Journal, b.Seq, connector, session
	r.At, r.Clock, r.UptimeMS = b.Now, b.Clock, int64(b.Now-b.Booted)
	if n := len(b.Storage); n > 0 {
		r.Prev = wire.Hash(Raw(b.Storage[n-1]))
	}
	b.Storage = append(b.Storage, r)
	b.Log = append(b.Log, r)
	return r
}

// Raw is the bytes of a record.
func Raw(r wire.Record) []byte {
	raw, err := r.Encode()
	if err != nil {
		panic(err) // a test wrote nonsense
	}
	return raw
}

// Boot starts the agent: contactors are open, sessions that its storage knows
// are reported, those it does not know are forgotten.
func (b *ChargingPoint) Boot() wire.Record {
	b.Boots++
	b.Journal = charge.JournalID(fmt.Sprintf("%s-j%d", b.ID, b.Boots))
	b.Seq, b.Booted, b.Conn = 0, b.Now, 0
	reg := &wire.Registered{Agent: "test", Name: "Box " + string(b.ID), Simulated: b.Simulated, Damaged: b.Damaged}
	b.Damaged = nil
	if n := len(b.Storage); n > 0 {
		reg.After = &wire.Position{Journal: b.Storage[n-1].Journal, Seq: b.Storage[n-1].Seq}
	}
	for _, id := range slices.Sorted(maps.Keys(b.Connectors)) {
		o := b.Connectors[id]
		o.Faults = nil
		if !b.remembers(o.Session) {
			o.Session = ""
		}
		register := o.Register
		reg.Connectors = append(reg.Connectors, wire.ConnectorState{
			Connector: id, Status: b.Status(id), Register: &register, SessionID: o.Session, Plugged: o.Plugged, Available: o.Available,
			Rated: RatedPower,
		})
		if o.Held != nil {
			reg.Reservations = append(reg.Reservations, *o.Held)
		}
	}
	return b.Write(0, "", reg)
}

func (b *ChargingPoint) remembers(id charge.SessionID) bool {
	return slices.ContainsFunc(b.Storage, func(r wire.Record) bool { return r.SessionID == id && r.Type == wire.TypeAuthorized })
}

// Status is what the connector does.
func (b *ChargingPoint) Status(id charge.ConnectorID) charge.Status {
	o := b.Connectors[id]
	switch {
	case len(o.Faults) > 0:
		return charge.StatusFaulted
	case !o.Available:
		return charge.StatusUnavailable
	case o.Session != "":
		return charge.StatusSuspendedEVSE
	case o.Held != nil:
		return charge.StatusReserved
	case o.Plugged:
		return charge.StatusPreparing
	}
	return charge.StatusAvailable
}

// Lose takes the last n records from the storage: it went back to an older
// state, or is empty if n is large.
func (b *ChargingPoint) Lose(n int) { b.Storage = b.Storage[:max(0, len(b.Storage)-n)] }

// Plug connects a vehicle.
func (b *ChargingPoint) Plug(id charge.ConnectorID) {
	b.Connectors[id].Plugged = true
	b.Write(id, "", &wire.PluggedIn{})
}

// Unplug disconnects it; a session ends first.
func (b *ChargingPoint) Unplug(id charge.ConnectorID) {
	b.Stop(id, charge.StopUnplugged)
	b.Connectors[id].Plugged = false
	b.Write(id, "", &wire.Unplugged{})
}

// Grant opens a session.
func (b *ChargingPoint) Grant(id charge.ConnectorID, session charge.SessionID, user charge.Username, tariff charge.TariffVersion) {
	o := b.Connectors[id]
	o.Session, o.Start, o.User, o.Tariff, o.Reserved = session, o.Register, user, tariff, ""
	a := &wire.Authorized{By: wire.GrantOrder, Username: user, Register: o.Register, Tariff: tariff}
	if o.Held != nil {
		a.By, a.ReservationID, o.Reserved = wire.GrantReservation, o.Held.ReservationID, o.Held.ReservationID
		o.Held = nil
	}
	b.Write(id, session, a)
}

// Begin closes the contactor for the first time.
func (b *ChargingPoint) Begin(id charge.ConnectorID) {
	o := b.Connectors[id]
	b.Write(id, o.Session, &wire.ChargingStarted{Register: o.Register, Username: o.User, ReservationID: o.Reserved})
}

// RatedPower is the rated power of each connector of a Box.
const RatedPower charge.Watts = 50_000

// Flow lets energy through the meter, without a record and in no time: up to a
// kilowatt-hour passes for the step of a coarse register.
func (b *ChargingPoint) Flow(id charge.ConnectorID, e charge.WattHours) {
	b.Connectors[id].Register += e
}

// FlowRated lets energy through the meter at the rated power, without a record.
func (b *ChargingPoint) FlowRated(id charge.ConnectorID, e charge.WattHours) {
	b.Flow(id, e)
	b.Now = b.Now.Add(time.Duration(e) * time.Hour / time.Duration(RatedPower))
}

// Sample writes the register down within a session.
func (b *ChargingPoint) Sample(id charge.ConnectorID) {
	o := b.Connectors[id]
	b.Write(id, o.Session, &wire.MeterRead{Register: o.Register, Power: RatedPower})
}

// Stop ends the session, if there is one.
func (b *ChargingPoint) Stop(id charge.ConnectorID, reason charge.StopReason) {
	o := b.Connectors[id]
	if o.Session == "" {
		return
	}
	b.Billed[o.Session] = o.Register - o.Start
	b.Write(id, o.Session, &wire.ChargingStopped{
		Reason: reason, Start: o.Start, Register: o.Register, Username: o.User, ReservationID: o.Reserved, Tariff: o.Tariff,
	})
	o.Session = ""
}

// Raise and Clear write a fault and its end.
func (b *ChargingPoint) Raise(id charge.ConnectorID, f charge.Fault) {
	b.Connectors[id].Faults = append(b.Connectors[id].Faults, f)
	b.Write(id, "", &wire.FaultRaised{Fault: f})
	b.Stop(id, f.StopReason())
}

// Clear ends all faults of the connector.
func (b *ChargingPoint) Clear(id charge.ConnectorID) {
	for _, f := range b.Connectors[id].Faults {
		b.Write(id, "", &wire.FaultCleared{Fault: f})
	}
	b.Connectors[id].Faults = nil
}

// Presence is what the box says at a new connection; acked is Central's last
// acknowledgement, in the epoch central.
func (b *ChargingPoint) Presence(acked wire.Position, central charge.Epoch) wire.Presence {
	b.Conn++
	p := wire.Presence{V: 1, Online: true, Journal: b.Journal, Conn: b.Conn, Central: central, At: b.Now}
	if n := len(b.Storage); n > 0 {
		first, last := b.Storage[0], b.Storage[n-1]
		p.First = &wire.Position{Journal: first.Journal, Seq: first.Seq}
		p.Last = &wire.Position{Journal: last.Journal, Seq: last.Seq}
		p.Next = &wire.Position{Journal: last.Journal, Seq: last.Seq + 1}
		i := slices.IndexFunc(b.Storage, func(r wire.Record) bool { return r.Journal == acked.Journal && r.Seq == acked.Seq })
		if i+1 < n {
			p.Next = &wire.Position{Journal: b.Storage[i+1].Journal, Seq: b.Storage[i+1].Seq}
		}
	}
	return p
}
