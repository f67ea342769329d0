package world

import (
	"encoding/json"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// machine is the shell of one connector: its state machine, its part of the
// control loop, and its meter reader.
type machine struct {
	boot    *boot
	outlet  *outlet
	state   connector.State
	timerAt time.Duration // for which one is set

	rules         safety.State
	permit        bool
	reset         bool
	reported      bool
	pilot         charge.PilotState
	closed        bool
	safetyHold    string
	faults        charge.FaultSet
	pilotOverride charge.PilotState // a planted bug: what the journal says of the plug
}

// handle steps and performs the effects in their order.
func (m *machine) handle(e connector.Event) {
	var effects []connector.Effect
	m.state, effects = connector.Step(m.state, e)
	for _, f := range effects {
		m.perform(f)
	}
}

func (m *machine) perform(f connector.Effect) {
	b := m.boot
	switch f := f.(type) {
	case connector.OpenContactor:
		m.permit = false
		m.outlet.command(false)
		b.wakeControlLoop()
	case connector.Append:
		m.append(f)
	case connector.OfferPower:
		m.outlet.offer(f.Offer)
	case connector.CloseContactor:
		m.permit, m.outlet.permittedFor = true, m.state.Session.ID
		b.wakeControlLoop()
	case connector.ReadMeter:
		m.read()
	case connector.SetTimer:
		m.arm(f.At)
	}
}

func (m *machine) append(f connector.Append) {
	b := m.boot
	done := func(err error) {
		if err != nil {
			m.handle(connector.AppendFailed{Now: b.moment(), Token: f.Token})
			return
		}
		m.handle(connector.Appended{Now: b.moment(), Token: f.Token})
	}
	if b.w.bug(BugCloseBeforeSync) {
		early := done
		b.after(0, "appended", func() { early(nil) })
		done = func(error) {}
	}
	b.enqueue(m.outlet.id, f.Records, done)
	b.noteEnded(f.Records)
}

// noteEnded remembers what has ended, so that no command brings it back.
func (b *boot) noteEnded(records []connector.Record) {
	if b.commands == nil {
		return
	}
	for _, rec := range records {
		switch p := rec.Payload.(type) {
		case *wire.ChargingStopped:
			b.commands.EndSession(rec.Session)
			if p.ReservationID != "" {
				b.commands.EndReservation(p.ReservationID)
			}
		case *wire.ReservationEnded:
			b.commands.EndReservation(p.ReservationID)
		}
	}
}

func (m *machine) arm(at time.Duration) {
	m.timerAt = at
	if at == 0 {
		return
	}
	b := m.boot
	b.after(at-b.moment().At, "connector timer", func() {
		if m.timerAt == at {
			m.handle(connector.TimerFired{Now: b.moment()})
		}
	})
}

// reading is what the meter shows.
func (m *machine) reading(taken time.Duration) (connector.Reading, bool) {
	o := m.outlet
	if o.broken.meter {
		return connector.Reading{}, false
	}
	r := connector.Reading{BegunAt: taken, Import: o.register(), Voltage: 230_000, Temperature: 30_000}
	if o.flowing {
		r.Power = charge.Watts(o.milliwatts / 1000)
	}
	return r, true
}

// read reads the meter once.
func (m *machine) read() {
	b := m.boot
	taken := b.uptime()
	b.after(b.rng.between(span{time.Millisecond, 40 * time.Millisecond}), "meter", func() {
		r, ok := m.reading(taken)
		m.handle(connector.MeterRead{Now: b.moment(), Reading: r, Failed: !ok})
	})
}

// readMeters reads every so often: more often while it matters.
func (b *boot) readMeters() {
	every := meterIdle
	for _, m := range b.machines {
		if m.state.Session.ID != "" || m.state.Pending.Session != "" || m.state.Meter.Failures > 0 || m.outlet.broken.meter {
			every = meterActive
		}
	}
	b.after(every, "meters", func() {
		for _, m := range b.machines {
			r, ok := m.reading(b.uptime())
			m.handle(connector.MeterRead{Now: b.moment(), Reading: r, Failed: !ok})
		}
		b.readMeters()
	})
}

// controlQuiet is how long nothing must change before a tick of the control loop
// cannot do anything: longer than each of the limits of package safety.
const controlQuiet = 500 * time.Millisecond

// wakeControlLoop has the control loop turn. While nothing changes its ticks have no
// effect, and are left out.
func (b *boot) wakeControlLoop() {
	b.activeAt = b.w.now
	if b.ticking || !b.ready {
		return
	}
	b.ticking = true
	b.after(controlTick-b.uptime()%controlTick, "tick", b.tick)
}

func (b *boot) tick() {
	gap := controlTick
	if !b.firstTickDone {
		b.firstTickDone, gap = true, 0
	}
	for _, m := range b.machines {
		m.tick(gap)
	}
	if b.agent.run != b {
		return
	}
	if b.w.now-b.activeAt < controlQuiet {
		b.after(controlTick, "tick", b.tick)
		return
	}
	b.ticking = false
}

func (m *machine) pilotNow() charge.PilotState {
	if m.pilotOverride != 0 {
		return m.pilotOverride
	}
	return m.outlet.pilot()
}

// tick is one tick of one connector.
func (m *machine) tick(gap time.Duration) {
	o := m.outlet
	ok := safety.Input{OK: !o.broken.input}
	in := safety.Inputs{
		Now: m.boot.uptime(), Gap: gap, Permit: m.permit, Commanded: o.commanded,
		Pilot: m.pilotNow(), PilotIn: ok, Pressed: o.broken.pressed, EStopIn: safety.Input{OK: true},
		Closed: o.closed, ContactIn: ok, Tripped: o.broken.tripped, TrippedIn: ok, ResetLatch: m.reset,
	}
	m.reset = false
	var v safety.Verdict
	m.rules, v = safety.Step(m.boot.limits, m.rules, in)
	if v.Close != in.Commanded {
		if v.Close {
			m.boot.w.checkCommand(o)
		}
		o.command(v.Close)
		m.boot.wakeControlLoop()
	}
	m.reportChanges(in, v)
}

// reportChanges tells the machine what has changed, the pilot first.
func (m *machine) reportChanges(in safety.Inputs, v safety.Verdict) {
	b := m.boot
	first := !m.reported
	m.reported = true
	if in.PilotIn.OK && (first || in.Pilot != m.pilot) {
		m.pilot = in.Pilot
		wall, _ := b.wall()
		m.handle(connector.PilotChanged{Now: b.moment(), Pilot: in.Pilot, NewSession: charge.SessionID(b.rng.newID(wall))})
	}
	if v.Withheld != m.safetyHold {
		m.safetyHold = v.Withheld
		m.handle(connector.PowerWithheld{Now: b.moment(), Reason: v.Withheld})
		b.wakeControlLoop()
	}
	if in.ContactIn.OK && (first || in.Closed != m.closed) {
		m.closed = in.Closed
		m.handle(connector.ContactChanged{Now: b.moment(), Closed: in.Closed})
	}
	if v.Faults == m.faults {
		return
	}
	was := m.faults
	m.faults = v.Faults
	b.wakeControlLoop()
	for _, f := range charge.Faults() {
		switch {
		case v.Faults.Has(f) && !was.Has(f):
			m.handle(connector.FaultSeen{Now: b.moment(), Fault: f})
		case !v.Faults.Has(f) && was.Has(f):
			m.handle(connector.FaultGone{Now: b.moment(), Fault: f})
		}
	}
}

// handleCommand follows the desk of agent/app: what has no effect is answered here, the
// rest goes to the machines.
func (b *boot) handleCommand(v delivery.Verdict) {
	switch v.Kind {
	case delivery.Malformed:
		if v.Command.ID != "" {
			b.recordFinished(v, wire.ResultRejected, v.Reason)
		}
	case delivery.Superseded:
		b.recordFinished(v, wire.ResultRejected, v.Reason)
	case delivery.Expired:
		b.recordFinished(v, wire.ResultExpired, v.Reason)
	case delivery.Known:
		if b.w.bug(BugCommandTwice) {
			if order, err := v.Command.Order(); err == nil {
				v.Order, v.Deadline = order, b.uptime()+time.Minute
				b.execute(v)
			}
		}
	case delivery.OtherBoot:
	case delivery.Run:
		b.execute(v)
	}
}

func (b *boot) execute(v delivery.Verdict) {
	n := v.Command.Connector
	switch o := v.Order.(type) {
	case *wire.SetAvailability:
		if n == 0 {
			b.recordAccepted(v)
			for _, m := range b.machines {
				b.dispatch(v, m, true)
			}
			b.recordFinished(v, wire.ResultDone, "")
			return
		}
	case *wire.Simulate:
		b.simulate(v, *o)
		return
	}
	if n < 1 || int(n) > len(b.machines) {
		b.recordFinished(v, wire.ResultRejected, "unknown_connector")
		return
	}
	b.dispatch(v, b.machines[n-1], false)
}

func (b *boot) dispatch(v delivery.Verdict, m *machine, partly bool) {
	m.handle(connector.CommandReceived{
		Now: b.moment(), ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: b.encodeCommand(v), Order: v.Order, Expires: v.Deadline, AllConnectors: partly,
	})
}

// encodeCommand is the command as it is written down.
func (b *boot) encodeCommand(v delivery.Verdict) string {
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			b.w.violated("shell", "order cannot be written: %v", err)
			return ""
		}
		c.Data = data
	}
	raw, err := c.Encode()
	if err != nil {
		b.w.violated("shell", "command cannot be written: %v", err)
		return ""
	}
	return string(raw)
}

func (b *boot) recordAccepted(v delivery.Verdict) {
	b.appendRecord(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(b.encodeCommand(v))})
}

func (b *boot) recordFinished(v delivery.Verdict, r wire.CommandResult, reason string) {
	b.appendRecord(v.Command.Connector, &wire.CommandFinished{CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason})
}

func (b *boot) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	if n < 1 || int(n) > len(b.machines) {
		b.recordFinished(v, wire.ResultRejected, "unknown_connector")
		return
	}
	b.recordAccepted(v)
	hw := b.agent.outlets[n-1]
	b.after(10*time.Millisecond, "hands", func() {
		switch o.Action {
		case wire.SimulatePlug:
			hw.plug(5000, 22_000)
		case wire.SimulateUnplug:
			hw.unplug()
		case wire.SimulateFault:
			f := o.Fault
			if f == "" {
				f = charge.FaultOther
			}
			b.agent.truth.noteFault(f)
			hw.breakDown(f)
		case wire.SimulateRepair:
			hw.repair()
		}
		b.recordFinished(v, wire.ResultDone, "")
	})
}
