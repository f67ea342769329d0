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

// machine is the shell of one connector: it feeds the state machine of
// agent/connector and performs its effects, runs this connector's part of the
// control loop, and reads its meter.
type machine struct {
	boot   *boot
	outlet *outlet
	state  connector.State
	// Uptime for which state set its timer; 0: none.
	timerAt time.Duration

	// The control loop: state of agent/safety, and inputs for its next tick.
	rules  safety.State
	permit bool // the connector permits power
	reset  bool // the next tick resets latched faults

	// What the control loop last reported to the connector.
	reported   bool // false: nothing yet
	pilot      charge.PilotState
	closed     bool
	safetyHold string
	faults     charge.FaultSet

	// BugPlugFromJournal: the pilot by the journal instead of the hardware; 0: none.
	pilotOverride charge.PilotState
}

// handle passes an event to the state machine, and performs the effects in their
// order. It recurses when an effect causes an event at once.
func (m *machine) handle(e connector.Event) {
	var effects []connector.Effect
	m.state, effects = connector.Step(m.state, e)
	for _, f := range effects {
		m.perform(f)
	}
}

// perform performs one effect.
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

// append queues records, and returns the result as an event with the effect's token.
func (m *machine) append(f connector.Append) {
	b := m.boot
	done := func(err error) {
		if err != nil {
			m.handle(connector.AppendFailed{Now: b.moment(), Token: f.Token})
			return
		}
		m.handle(connector.Appended{Now: b.moment(), Token: f.Token})
	}
	// The machine continues at once, and the result of the commit is ignored.
	if b.w.bug(BugCloseBeforeSync) {
		early := done
		b.after(0, "appended", func() { early(nil) })
		done = func(error) {}
	}
	b.enqueue(m.outlet.id, f.Records, done)
	b.noteEnded(f.Records)
}

// noteEnded remembers ended sessions and reservations, so that a late command
// cannot start them again.
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

// arm sets the connector's timer; a later call replaces an earlier one.
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

// reading returns what the meter shows now; false if it does not answer.
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

// read reads the meter once, after the time that Modbus needs.
func (m *machine) read() {
	b := m.boot
	taken := b.uptime()
	b.after(b.rng.between(span{time.Millisecond, 40 * time.Millisecond}), "meter", func() {
		r, ok := m.reading(taken)
		m.handle(connector.MeterRead{Now: b.moment(), Reading: r, Failed: !ok})
	})
}

// readMeters polls all meters, faster while a session or a meter's fault depends on it.
func (b *boot) readMeters() {
	// One poll for all connectors: they share the meter bus.
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

// controlQuiet is how long the control loop runs after the last change. It is
// longer than every limit of package safety, so that later ticks have no effect.
const controlQuiet = 500 * time.Millisecond

// wakeControlLoop makes the control loop run, because an input or output changed.
// Ticks without an effect are left out: 100 per second would dominate the run.
func (b *boot) wakeControlLoop() {
	b.activeAt = b.w.now
	// Before record 1 is durable no input may have an effect.
	if b.ticking || !b.ready {
		return
	}
	b.ticking = true
	b.after(controlTick-b.uptime()%controlTick, "tick", b.tick)
}

// tick runs one cycle of the control loop over all connectors.
func (b *boot) tick() {
	gap := controlTick
	if !b.firstTickDone {
		b.firstTickDone, gap = true, 0
	}
	for _, m := range b.machines {
		m.tick(gap)
	}
	// A tick may write a record, and the process may die in it.
	if b.agent.run != b {
		return
	}
	if b.w.now-b.activeAt < controlQuiet {
		b.after(controlTick, "tick", b.tick)
		return
	}
	b.ticking = false
}

// pilotNow returns the pilot's state as the agent perceives it.
func (m *machine) pilotNow() charge.PilotState {
	if m.pilotOverride != 0 {
		return m.pilotOverride
	}
	return m.outlet.pilot()
}

// tick evaluates the safety rules of one connector, and commands its contactor.
// gap is the time since the previous tick; 0 for the first.
func (m *machine) tick(gap time.Duration) {
	o := m.outlet
	// All safety inputs are read over one expander, so they fail together.
	ok := safety.Input{OK: !o.broken.input}
	in := safety.Inputs{
		Now: m.boot.uptime(), Gap: gap, Permit: m.permit, Commanded: o.commanded,
		Pilot: m.pilotNow(), PilotIn: ok, Pressed: o.broken.pressed, EStopIn: safety.Input{OK: true},
		Closed: o.closed, ContactIn: ok, Tripped: o.broken.tripped, TrippedIn: ok, ResetLatch: m.reset,
	}
	m.reset = false
	var v safety.Verdict
	m.rules, v = safety.Step(m.boot.limits, m.rules, in)
	// Only the control loop closes a contactor; the state machine merely permits it.
	if v.Close != in.Commanded {
		if v.Close {
			m.boot.w.checkCommand(o)
		}
		o.command(v.Close)
		m.boot.wakeControlLoop()
	}
	m.reportChanges(in, v)
}

// reportChanges passes changed inputs and faults to the connector. The pilot is
// first: a fault or a contact is interpreted by the state it is in.
func (m *machine) reportChanges(in safety.Inputs, v safety.Verdict) {
	b := m.boot
	first := !m.reported
	m.reported = true
	// The id is for a session that this change may start: a pure state machine cannot
	// create one.
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
	// One event per fault that appeared or disappeared, in a fixed order.
	for _, f := range charge.Faults() {
		switch {
		case v.Faults.Has(f) && !was.Has(f):
			m.handle(connector.FaultSeen{Now: b.moment(), Fault: f})
		case !v.Faults.Has(f) && was.Has(f):
			m.handle(connector.FaultGone{Now: b.moment(), Fault: f})
		}
	}
}

// handleCommand follows the command handler of agent/app: commands without an effect
// get their result here, and the others are executed. A repeated command and one
// of another boot get none.
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
		// No answer: it was for a boot that has ended.
	case delivery.Run:
		b.execute(v)
	}
}

// execute passes an order to the machines it concerns.
func (b *boot) execute(v delivery.Verdict) {
	n := v.Command.Connector
	switch o := v.Order.(type) {
	case *wire.SetAvailability:
		// The whole charging point: each machine executes its part, and the result is
		// written here.
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

// dispatch passes a command to a machine; partly if it is one of several that
// execute the same command, which has one result.
func (b *boot) dispatch(v delivery.Verdict, m *machine, partly bool) {
	m.handle(connector.CommandReceived{
		Now: b.moment(), ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: b.encodeCommand(v), Order: v.Order, Expires: v.Deadline, AllConnectors: partly,
	})
}

// encodeCommand returns the command as command_accepted records it.
func (b *boot) encodeCommand(v delivery.Verdict) string {
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			b.w.violated("shell", "order cannot be encoded: %v", err)
			return ""
		}
		c.Data = data
	}
	raw, err := c.Encode()
	if err != nil {
		b.w.violated("shell", "command cannot be encoded: %v", err)
		return ""
	}
	return string(raw)
}

// recordAccepted records that a command is executed.
func (b *boot) recordAccepted(v delivery.Verdict) {
	b.appendRecord(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(b.encodeCommand(v))})
}

// recordFinished records the result of a command.
func (b *boot) recordFinished(v delivery.Verdict, r wire.CommandResult, reason string) {
	b.appendRecord(v.Command.Connector, &wire.CommandFinished{CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason})
}

// simulate executes SIMULATE: it operates the vehicle or breaks the hardware.
func (b *boot) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	if n < 1 || int(n) > len(b.machines) {
		b.recordFinished(v, wire.ResultRejected, "unknown_connector")
		return
	}
	b.recordAccepted(v)
	hw := b.agent.outlets[n-1]
	b.after(10*time.Millisecond, "simulate", func() {
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
