package world

import (
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/agent/safety"
	"github.com/carga-ev/carga/internal/charge"
)

// controlled is one connector's part of the control loop, around agent/safety, and
// the reader of its meter.
type controlled struct {
	boot   *boot
	outlet *outlet

	rules  safety.State
	permit bool         // the connector permits power
	reset  bool         // the next tick resets latched faults
	limit  charge.Limit // of the current, as the core set it

	// What was last reported to the core.
	reported bool // false: nothing yet
	pilot    charge.PilotState
	closed   bool
	applied  charge.Limit
	withheld string
	faults   charge.FaultSet

	// BugPlugFromJournal: the pilot by the journal instead of the hardware; 0: none.
	pilotOverride charge.PilotState
}

// maxCurrent is what each connector carries.
const maxCurrent charge.MilliAmps = 32_000

// fitted is what a connector has. Behind a fuse the pilot steers its vehicle.
func (w *World) fitted() safety.Fitted { return safety.Fitted{Steered: w.plan.Fuse > 0} }

// reading returns what the meter shows now; false if it does not answer.
func (m *controlled) reading(taken time.Duration) (connector.Reading, bool) {
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
func (m *controlled) read() {
	b := m.boot
	taken := b.uptime()
	b.after(b.rng.between(span{time.Millisecond, 40 * time.Millisecond}), "meter", func() { m.report(taken) })
}

// report reports a reading that began at taken.
func (m *controlled) report(taken time.Duration) {
	r, ok := m.reading(taken)
	m.boot.step(point.MeterRead{Connector: m.outlet.id, Reading: r, Failed: !ok})
}

// readMeters polls all meters, faster while a session or a meter's fault depends on it.
func (b *boot) readMeters() {
	// One poll for all connectors: they share the meter bus.
	every := meterIdle
	for i, m := range b.connectors {
		s := &b.view.Connectors[i]
		if s.Session.ID != "" || s.Pending.Session != "" || s.Meter.Failures > 0 || m.outlet.broken.meter {
			every = meterActive
		}
	}
	b.after(every, "meters", func() {
		for _, m := range b.connectors {
			m.report(b.uptime())
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
	for _, m := range b.connectors {
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
func (m *controlled) pilotNow() charge.PilotState {
	if m.pilotOverride != 0 {
		return m.pilotOverride
	}
	return m.outlet.pilot()
}

// tick evaluates the safety rules of one connector, and commands its contactor.
// gap is the time since the previous tick; 0 for the first.
func (m *controlled) tick(gap time.Duration) {
	o := m.outlet
	// All safety inputs are read over one expander, so they fail together.
	ok := safety.Input{OK: !o.broken.input}
	in := safety.Inputs{
		Now: m.boot.uptime(), Gap: gap, Fitted: m.boot.w.fitted(), Permit: m.permit, Commanded: o.commanded,
		Pilot: m.pilotNow(), PilotIn: ok, Pressed: o.broken.pressed, EStopIn: safety.Input{OK: true},
		Closed: o.closed, ContactIn: ok, Tripped: o.broken.tripped, TrippedIn: ok, ResetLatch: m.reset,
		MaxCurrent: maxCurrent, Limit: m.limit,
	}
	m.reset = false
	var v safety.Verdict
	m.rules, v = safety.Step(m.boot.limits, m.rules, in)
	// Only the control loop closes a contactor; the core merely permits it.
	if v.Close != in.Commanded {
		if v.Close {
			m.boot.w.checkCommand(o)
		}
		o.command(v.Close)
		m.boot.wakeControlLoop()
	}
	m.reportChanges(in, v)
}

// reportChanges passes changed inputs and faults to the core, in the order of
// agent/internal/control: a fault or a contact is interpreted by the state of the pilot.
func (m *controlled) reportChanges(in safety.Inputs, v safety.Verdict) {
	b, id := m.boot, m.outlet.id
	first := !m.reported
	m.reported = true
	if v.Limit != m.applied {
		m.applied = v.Limit
		b.step(point.LimitApplied{Connector: id, Limit: v.Limit})
	}
	if v.Withheld != m.withheld {
		m.withheld = v.Withheld
		b.step(point.PowerWithheld{Connector: id, Reason: v.Withheld, Input: v.Input})
		b.wakeControlLoop()
	}
	if in.PilotIn.OK && (first || in.Pilot != m.pilot) {
		m.pilot = in.Pilot
		wall, _ := b.wall()
		b.step(point.PilotChanged{Connector: id, Pilot: in.Pilot, NewSession: charge.SessionID(b.rng.newID(wall))})
	}
	if in.ContactIn.OK && (first || in.Closed != m.closed) {
		m.closed = in.Closed
		b.step(point.ContactChanged{Connector: id, Closed: in.Closed})
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
			b.step(point.FaultSeen{Connector: id, Fault: f})
		case !v.Faults.Has(f) && was.Has(f):
			b.step(point.FaultGone{Connector: id, Fault: f})
		}
	}
}
