package ledgertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Connector is the true state of one connector of a ChargingPoint.
//
// Methods of ChargingPoint change it together with a record. A test may set a field
// directly to change what the agent cannot see or has not recorded: the register of
// a replaced meter, or a session that the storage lost.
type Connector struct {
	Plugged   bool
	Available bool
	Register  charge.WattHours
	Session   charge.SessionID
	Start     charge.WattHours    // register at the grant of Session
	Limit     charge.SessionLimit // of the next grant
	Card      charge.TokenHash    // that begins the next session; "": none
	User      charge.Username
	Reserved  charge.ReservationID // the reservation that Session used; "": none
	Tariff    charge.TariffVersion
	Held      *wire.ReservationState
	Faults    []charge.Fault
}

// ChargingPoint is a correct charging point: it writes records and has them as
// long as its storage does. Its clock stands still unless a test moves Now.
//
// Storage is what the agent can send again and what its next boot continues; Log is
// what a test delivers. They differ after Lose, and when a test trims Storage.
// Billed is the expected energy of tickets.
type ChargingPoint struct {
	ID         charge.CPID
	Now        charge.Time         // its clock
	Clock      charge.ClockQuality // of the records it writes
	Booted     charge.Time
	Journal    charge.JournalID
	Seq        charge.Seq
	Boots      int
	Conn       uint64
	Simulated  bool
	LocalList  *wire.ListState // that a boot reports; nil: it keeps no list
	Connectors map[charge.ConnectorID]*Connector
	Storage    []wire.Record                         // what its disk holds, in the order of writing
	Log        []wire.Record                         // all it ever wrote, lost or not
	Billed     map[charge.SessionID]charge.WattHours // energy of the sessions it ended
	Damaged    []wire.Damaged                        // reported by the next boot

	// Capabilities that a boot reports.
	Capabilities []string
}

// NewChargingPoint returns a charging point that has not started yet. Its registers
// stand at 1000 Wh, so that a register of 0 is noticed as wrong.
func NewChargingPoint(id charge.CPID, connectors int, now charge.Time) *ChargingPoint {
	cp := &ChargingPoint{ID: id, Now: now, Clock: charge.ClockSynced, Connectors: map[charge.ConnectorID]*Connector{}, Billed: map[charge.SessionID]charge.WattHours{}}
	for i := range connectors {
		cp.Connectors[charge.ConnectorID(i+1)] = &Connector{Available: true, Register: 1000}
	}
	return cp
}

// Write appends a record with the payload to the journal, linked to the record
// before it.
func (cp *ChargingPoint) Write(connector charge.ConnectorID, session charge.SessionID, p wire.Payload) wire.Record {
	r, err := wire.NewRecord(p)
	if err != nil {
		panic(err) // a test wrote nonsense
	}
	cp.Seq++
	r.CPID, r.Journal, r.Seq, r.Connector, r.SessionID = cp.ID, cp.Journal, cp.Seq, connector, session
	r.At, r.Clock, r.UptimeMS = cp.Now, cp.Clock, int64(cp.Now-cp.Booted)
	if n := len(cp.Storage); n > 0 {
		r.Prev = wire.Hash(Raw(cp.Storage[n-1]))
	}
	cp.Storage = append(cp.Storage, r)
	cp.Log = append(cp.Log, r)
	return r
}

// Raw returns the bytes of a record as they are journalled and hashed.
func Raw(r wire.Record) []byte {
	raw, err := r.Encode()
	if err != nil {
		panic(err) // a test wrote nonsense
	}
	return raw
}

// Boot starts the agent with a new journal. Contactors are open. It reports the
// sessions that its storage knows; a session whose records were lost is gone.
func (cp *ChargingPoint) Boot() wire.Record {
	cp.Boots++
	cp.Journal = charge.JournalID(fmt.Sprintf("%s-j%d", cp.ID, cp.Boots))
	cp.Seq, cp.Booted, cp.Conn = 0, cp.Now, 0
	reg := &wire.Registered{Agent: "test", Name: "Test " + string(cp.ID), Simulated: cp.Simulated, Damaged: cp.Damaged, LocalList: cp.LocalList, Capabilities: cp.Capabilities}
	cp.Damaged = nil
	if n := len(cp.Storage); n > 0 {
		reg.After = &wire.Position{Journal: cp.Storage[n-1].Journal, Seq: cp.Storage[n-1].Seq}
	}
	for _, id := range slices.Sorted(maps.Keys(cp.Connectors)) {
		o := cp.Connectors[id]
		o.Faults = nil
		if !cp.remembers(o.Session) {
			o.Session = ""
		}
		register := o.Register
		reg.Connectors = append(reg.Connectors, wire.ConnectorState{
			Connector: id, Status: cp.Status(id), Register: &register, SessionID: o.Session, Plugged: o.Plugged, Available: o.Available,
			Rated: RatedPower,
		})
		if o.Held != nil {
			reg.Reservations = append(reg.Reservations, *o.Held)
		}
	}
	return cp.Write(0, "", reg)
}

// remembers reports whether the storage still has the grant of a session.
func (cp *ChargingPoint) remembers(id charge.SessionID) bool {
	return slices.ContainsFunc(cp.Storage, func(r wire.Record) bool { return r.SessionID == id && r.Type == wire.TypeAuthorized })
}

// Status computes the status of a connector, as an agent reports it.
func (cp *ChargingPoint) Status(id charge.ConnectorID) charge.Status {
	o := cp.Connectors[id]
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

// Lose removes the last n records from the storage: it was rolled back to an
// older state, or is empty if n is large.
func (cp *ChargingPoint) Lose(n int) { cp.Storage = cp.Storage[:max(0, len(cp.Storage)-n)] }

// Plug connects a vehicle.
func (cp *ChargingPoint) Plug(id charge.ConnectorID) {
	cp.Connectors[id].Plugged = true
	cp.Write(id, "", &wire.PluggedIn{})
}

// Unplug disconnects the vehicle; a session ends first.
func (cp *ChargingPoint) Unplug(id charge.ConnectorID) {
	cp.Stop(id, charge.StopUnplugged)
	cp.Connectors[id].Plugged = false
	cp.Write(id, "", &wire.Unplugged{})
}

// Grant opens a session, by the reservation held if there is one.
func (cp *ChargingPoint) Grant(id charge.ConnectorID, session charge.SessionID, user charge.Username, tariff charge.TariffVersion) {
	o := cp.Connectors[id]
	o.Session, o.Start, o.User, o.Tariff, o.Reserved = session, o.Register, user, tariff, ""
	a := &wire.Authorized{By: wire.GrantOrder, Username: user, Register: o.Register, Tariff: tariff, Limit: o.Limit.Energy, LimitAmount: o.Limit.Amount}
	a.TokenHash = o.Card
	o.Limit, o.Card = charge.SessionLimit{}, ""
	if o.Held != nil {
		a.By, a.ReservationID, o.Reserved = wire.GrantReservation, o.Held.ReservationID, o.Held.ReservationID
		o.Held = nil
	}
	cp.Write(id, session, a)
}

// Begin closes the contactor for the first time in the session.
func (cp *ChargingPoint) Begin(id charge.ConnectorID) {
	o := cp.Connectors[id]
	cp.Write(id, o.Session, &wire.ChargingStarted{Register: o.Register, Username: o.User, ReservationID: o.Reserved})
}

// RatedPower is the rated power of each connector of a ChargingPoint.
const RatedPower charge.Watts = 50_000

// Flow advances the register without a record and without time passing. Up to a
// kilowatt-hour is accepted as the step of a coarse register; for more the ledger
// raises meter_jumped: use FlowRated.
func (cp *ChargingPoint) Flow(id charge.ConnectorID, e charge.WattHours) {
	cp.Connectors[id].Register += e
}

// FlowRated advances the register without a record, and the clock by the time
// that the energy takes at the rated power.
func (cp *ChargingPoint) FlowRated(id charge.ConnectorID, e charge.WattHours) {
	cp.Flow(id, e)
	cp.Now = cp.Now.Add(time.Duration(e) * time.Hour / time.Duration(RatedPower))
}

// Sample writes a meter_read with the register of the connector.
func (cp *ChargingPoint) Sample(id charge.ConnectorID) {
	o := cp.Connectors[id]
	cp.Write(id, o.Session, &wire.MeterRead{Register: o.Register, Power: RatedPower})
}

// Stop ends the session, if there is one. Billed keeps its energy as the expected
// energy of its ticket, whether or not the record ever reaches Central.
func (cp *ChargingPoint) Stop(id charge.ConnectorID, reason charge.StopReason) {
	o := cp.Connectors[id]
	if o.Session == "" {
		return
	}
	cp.Billed[o.Session] = o.Register - o.Start
	cp.Write(id, o.Session, &wire.ChargingStopped{
		Reason: reason, Start: o.Start, Register: o.Register, Username: o.User, ReservationID: o.Reserved, Tariff: o.Tariff,
	})
	o.Session = ""
}

// Raise writes a fault and stops the session.
func (cp *ChargingPoint) Raise(id charge.ConnectorID, f charge.Fault) {
	cp.Connectors[id].Faults = append(cp.Connectors[id].Faults, f)
	cp.Write(id, "", &wire.FaultRaised{Fault: f})
	cp.Stop(id, f.StopReason())
}

// Clear writes the end of all faults of the connector.
func (cp *ChargingPoint) Clear(id charge.ConnectorID) {
	for _, f := range cp.Connectors[id].Faults {
		cp.Write(id, "", &wire.FaultCleared{Fault: f})
	}
	cp.Connectors[id].Faults = nil
}

// Presence returns the birth message of a new connection. acked is Central's last
// acknowledgement, in the epoch central.
func (cp *ChargingPoint) Presence(acked wire.Position, central charge.Epoch) wire.Presence {
	cp.Conn++
	p := wire.Presence{V: 1, Online: true, Journal: cp.Journal, Conn: cp.Conn, Central: central, At: cp.Now}
	if n := len(cp.Storage); n > 0 {
		first, last := cp.Storage[0], cp.Storage[n-1]
		p.First = &wire.Position{Journal: first.Journal, Seq: first.Seq}
		p.Last = &wire.Position{Journal: last.Journal, Seq: last.Seq}
		p.Next = &wire.Position{Journal: last.Journal, Seq: last.Seq + 1}
		i := slices.IndexFunc(cp.Storage, func(r wire.Record) bool { return r.Journal == acked.Journal && r.Seq == acked.Seq })
		if i+1 < n {
			p.Next = &wire.Position{Journal: cp.Storage[i+1].Journal, Seq: cp.Storage[i+1].Seq}
		}
	}
	return p
}
