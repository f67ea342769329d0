package orders_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// agent is a charging point that executes commands as docs/PROTOCOL.md requires.
// Its records are in cp.Log.
type agent struct {
	cp      *ledgertest.ChargingPoint
	seen    map[charge.CommandID]bool
	last    map[charge.ConnectorID]uint64
	central charge.Epoch
	over    map[string]bool                      // reservation and session ids that ended in this boot and are refused
	waiting map[charge.ConnectorID]*waitingStart // for the plug
	until   map[charge.ConnectorID]charge.Time   // monotonic end of the reservation held
	refuse  string                               // rejects RESERVE and START with this reason
	ahead   time.Duration                        // of its clock
	list    map[charge.TokenHash]wire.LocalListEntry
}

type waitingStart struct {
	cmd   wire.Command
	start wire.Start
	until charge.Time
}

func newAgent(cp *ledgertest.ChargingPoint) *agent {
	a := &agent{cp: cp}
	a.boot()
	return a
}

func (a *agent) boot() {
	a.seen, a.last, a.central = map[charge.CommandID]bool{}, map[charge.ConnectorID]uint64{}, charge.Epoch{}
	a.over, a.waiting = map[string]bool{}, map[charge.ConnectorID]*waitingStart{}
	a.until = map[charge.ConnectorID]charge.Time{}
	a.cp.Boot()
	for id, o := range a.cp.Connectors {
		if o.Held != nil {
			a.until[id] = o.Held.Until
		}
	}
}

func (a *agent) finish(c wire.Command, r wire.CommandResult, reason string) {
	a.cp.Write(c.Connector, "", &wire.CommandFinished{CommandID: c.ID, Command: c.Type, Result: r, Reason: reason})
}

func (a *agent) accept(c wire.Command) {
	raw, err := c.Encode()
	if err != nil {
		panic(err)
	}
	a.cp.Write(c.Connector, "", &wire.CommandAccepted{Command: raw})
}

// obey executes a command at the moment now.
func (a *agent) obey(c wire.Command, now charge.Time) {
	a.cp.Now = now
	a.tick(now)
	if c.Journal != a.cp.Journal || a.seen[c.ID] {
		return
	}
	a.seen[c.ID] = true
	if c.Central.Less(a.central) || c.Central == a.central && c.N <= a.last[c.Connector] {
		a.finish(c, wire.ResultRejected, wire.ReasonSuperseded)
		return
	}
	if a.central.Less(c.Central) {
		a.central, a.last = c.Central, map[charge.ConnectorID]uint64{}
	}
	a.last[c.Connector] = c.N
	if now.Add(a.ahead) > c.ExpiresAt.Add(30_000_000_000) {
		a.finish(c, wire.ResultExpired, "")
		return
	}
	order, err := c.Order()
	if err != nil {
		panic(err)
	}
	o := a.cp.Connectors[c.Connector]
	switch m := order.(type) {
	case *wire.Reserve:
		a.reserve(c, o, m, now)
	case *wire.CancelReservation:
		a.over[string(m.ReservationID)] = true
		a.accept(c)
		a.releaseHeld(c.Connector, m.ReservationID, charge.ReservationCancelled)
		a.finish(c, wire.ResultDone, "")
	case *wire.Start:
		a.start(c, o, m, now)
	case *wire.Stop:
		a.over[string(m.SessionID)] = true
		a.accept(c)
		if w := a.waiting[c.Connector]; w != nil && w.start.SessionID == m.SessionID {
			delete(a.waiting, c.Connector)
			a.finish(w.cmd, wire.ResultFailed, "stopped")
		}
		if o.Session == m.SessionID {
			a.cp.Stop(c.Connector, cmp.Or(m.Reason, charge.StopRemote))
		}
		a.finish(c, wire.ResultDone, "")
	case *wire.SetAvailability:
		a.accept(c)
		o.Available = m.Available
		if !m.Available {
			a.cp.Stop(c.Connector, charge.StopRemote)
			if o.Held != nil {
				a.releaseHeld(c.Connector, o.Held.ReservationID, charge.ReservationUnavailable)
			}
		}
		a.finish(c, wire.ResultDone, "")
	case *wire.Simulate:
		a.accept(c)
		switch m.Action {
		case wire.SimulatePlug:
			a.plug(c.Connector, now)
		case wire.SimulateUnplug:
			a.cp.Unplug(c.Connector)
		case wire.SimulateFault:
			a.fault(c.Connector, m.Fault)
		case wire.SimulateRepair:
			a.cp.Clear(c.Connector)
		}
		a.finish(c, wire.ResultDone, "")
	case *wire.SetLocalList:
		a.setList(c, m)
	case *wire.Authorize, *wire.SetLimit:
		a.accept(c)
		a.finish(c, wire.ResultDone, "")
	default:
		a.finish(c, wire.ResultRejected, "unsupported")
	}
}

// setList applies a part of the local list, if the charging point keeps one.
func (a *agent) setList(c wire.Command, m *wire.SetLocalList) {
	if a.cp.LocalList == nil {
		a.finish(c, wire.ResultRejected, "unsupported")
		return
	}
	next := map[charge.TokenHash]wire.LocalListEntry{}
	if m.Base != 0 {
		maps.Copy(next, a.list)
	}
	for _, e := range m.Entries {
		next[e.TokenHash] = e
	}
	for _, h := range m.Removed {
		delete(next, h)
	}
	digest := wire.ListDigest(slices.Collect(maps.Values(next)))
	if m.Base != 0 && m.Base != a.cp.LocalList.Version || m.Digest != "" && m.Digest != digest {
		a.finish(c, wire.ResultRejected, "other_version")
		return
	}
	a.list, a.cp.LocalList = next, &wire.ListState{Version: m.Version, Digest: digest}
	a.accept(c)
	a.finish(c, wire.ResultDone, "")
}

func (a *agent) reserve(c wire.Command, o *ledgertest.Connector, m *wire.Reserve, now charge.Time) {
	replaced := o.Held != nil && slices.Contains(m.Replaces, o.Held.ReservationID)
	switch {
	case o.Held != nil && o.Held.ReservationID == m.ReservationID:
	case a.refuse != "":
		a.finish(c, wire.ResultRejected, a.refuse)
		return
	case a.over[string(m.ReservationID)] || m.Until <= now:
		a.finish(c, wire.ResultRejected, "ended")
		return
	case len(o.Faults) > 0:
		a.finish(c, wire.ResultRejected, "faulted")
		return
	case !o.Available:
		a.finish(c, wire.ResultRejected, "unavailable")
		return
	case o.Session != "":
		a.finish(c, wire.ResultRejected, "occupied")
		return
	case o.Held != nil && !replaced:
		a.finish(c, wire.ResultRejected, "reserved")
		return
	}
	a.accept(c)
	if replaced {
		a.releaseHeld(c.Connector, o.Held.ReservationID, charge.ReservationCancelled)
	}
	o.Held = &wire.ReservationState{
		ReservationID: m.ReservationID, Connector: c.Connector, Username: m.Username, Until: m.Until, Tariff: m.Tariff,
	}
	a.until[c.Connector] = now + (m.Until - c.SentAt)
	a.finish(c, wire.ResultDone, "")
}

func (a *agent) releaseHeld(id charge.ConnectorID, r charge.ReservationID, why charge.ReservationEnd) {
	o := a.cp.Connectors[id]
	if o.Held == nil || o.Held.ReservationID != r {
		return
	}
	a.over[string(r)] = true
	o.Held = nil
	a.cp.Write(id, "", &wire.ReservationEnded{ReservationID: r, Reason: why})
	if w := a.waiting[id]; w != nil && w.start.ReservationID == r {
		delete(a.waiting, id)
		a.finish(w.cmd, wire.ResultFailed, "reservation_ended")
	}
}

func (a *agent) start(c wire.Command, o *ledgertest.Connector, m *wire.Start, now charge.Time) {
	held := o.Held
	switch {
	case a.refuse != "":
		a.finish(c, wire.ResultRejected, a.refuse)
		return
	case a.over[string(m.SessionID)]:
		a.finish(c, wire.ResultRejected, "ended")
		return
	case m.ReservationID != "" && (held == nil || held.ReservationID != m.ReservationID || held.Username != m.Username):
		a.finish(c, wire.ResultRejected, "not_yours")
		return
	case m.ReservationID == "" && held != nil:
		a.finish(c, wire.ResultRejected, "reserved")
		return
	case o.Session != "":
		a.finish(c, wire.ResultRejected, "occupied")
		return
	}
	a.accept(c)
	w := &waitingStart{c, *m, now + 120_000}
	if held != nil {
		w.until = a.until[c.Connector]
	}
	a.waiting[c.Connector] = w
	if o.Plugged {
		a.beginWaiting(c.Connector)
	}
}

func (a *agent) beginWaiting(id charge.ConnectorID) {
	w := a.waiting[id]
	delete(a.waiting, id)
	a.over[string(w.start.SessionID)] = true
	a.cp.Connectors[id].Limit = charge.SessionLimit{Energy: w.start.Limit, Amount: w.start.LimitAmount}
	a.cp.Grant(id, w.start.SessionID, w.start.Username, w.start.Tariff)
	a.finish(w.cmd, wire.ResultDone, "")
	a.cp.Begin(id)
}

func (a *agent) plug(id charge.ConnectorID, now charge.Time) {
	a.cp.Now = now
	a.tick(now)
	a.cp.Plug(id)
	if a.waiting[id] != nil {
		a.beginWaiting(id)
	}
}

func (a *agent) fault(id charge.ConnectorID, f charge.Fault) {
	a.cp.Raise(id, f)
	if h := a.cp.Connectors[id].Held; h != nil {
		a.releaseHeld(id, h.ReservationID, charge.ReservationFault)
	}
}

// tick ends reservations and waiting starts whose time has passed.
func (a *agent) tick(now charge.Time) {
	a.cp.Now = now
	for _, id := range slices.Sorted(maps.Keys(a.cp.Connectors)) {
		if h := a.cp.Connectors[id].Held; h != nil && now >= a.until[id] {
			a.releaseHeld(id, h.ReservationID, charge.ReservationExpired)
		}
		if w := a.waiting[id]; w != nil && now >= w.until {
			delete(a.waiting, id)
			a.finish(w.cmd, wire.ResultFailed, "not_plugged")
		}
	}
}
