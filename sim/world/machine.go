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
	b     *boot
	o     *outlet
	state connector.State
	timer time.Duration // for which one is set

	rules   safety.State
	permit  bool
	reset   bool
	told    bool
	pilot   charge.PilotState
	closed  bool
	hold    string
	faults  charge.FaultSet
	believe charge.PilotState // a planted bug: what the journal says of the plug
}

// take steps and performs the effects in their order.
func (m *machine) take(e connector.Event) {
	var effects []connector.Effect
	m.state, effects = connector.Step(m.state, e)
	for _, f := range effects {
		m.perform(f)
	}
}

func (m *machine) perform(f connector.Effect) {
	b := m.b
	switch f := f.(type) {
	case connector.OpenContactor:
		m.permit = false
		m.o.set(false)
		b.stir()
	case connector.Append:
		m.append(f)
	case connector.OfferPower:
		m.o.offer(f.Offer)
	case connector.CloseContactor:
		m.permit, m.o.permitted = true, m.state.Session.ID
		b.stir()
	case connector.ReadMeter:
		m.read()
	case connector.SetTimer:
		m.arm(f.At)
	}
}

func (m *machine) append(f connector.Append) {
	b := m.b
	done := func(err error) {
		if err != nil {
			m.take(connector.AppendFailed{Now: b.moment(), Token: f.Token})
			return
		}
		m.take(connector.Appended{Now: b.moment(), Token: f.Token})
	}
	if b.w.bug(BugCloseBeforeSync) {
		early := done
		b.after(0, "appended", func() { early(nil) })
		done = func(error) {}
	}
	b.add(m.o.id, f.Records, done)
	b.tell(f.Records)
}

// tell remembers what has ended, so that no command brings it back.
func (b *boot) tell(records []connector.Record) {
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
	m.timer = at
	if at == 0 {
		return
	}
	b := m.b
	b.after(at-b.moment().At, "connector timer", func() {
		if m.timer == at {
			m.take(connector.TimerFired{Now: b.moment()})
		}
	})
}

// reading is what the meter shows.
func (m *machine) reading(taken time.Duration) (connector.Reading, bool) {
	o := m.o
	if o.broken.meter {
		return connector.Reading{}, false
	}
	r := connector.Reading{Taken: taken, Import: o.register(), Voltage: 230_000, Temperature: 30_000}
	if o.flowing {
		r.Power = charge.Watts(o.milliwatts / 1000)
	}
	return r, true
}

// read reads the meter once.
func (m *machine) read() {
	b := m.b
	taken := b.up()
	b.after(b.c.in(span{time.Millisecond, 40 * time.Millisecond}), "meter", func() {
		r, ok := m.reading(taken)
		m.take(connector.MeterRead{Now: b.moment(), Reading: r, Failed: !ok})
	})
}

// readMeters reads every so often: more often while it matters.
func (b *boot) readMeters() {
	every := meterIdle
	for _, m := range b.machines {
		if m.state.Session.ID != "" || m.state.Start.Session != "" || m.state.Meter.Failures > 0 || m.o.broken.meter {
			every = meterBusy
		}
	}
	b.after(every, "meters", func() {
		for _, m := range b.machines {
			r, ok := m.reading(b.up())
			m.take(connector.MeterRead{Now: b.moment(), Reading: r, Failed: !ok})
		}
		b.readMeters()
	})
}

// settled is how long nothing must change before a tick of the control loop
// cannot do anything: longer than each of the limits of package safety.
const settled = 500 * time.Millisecond

// stir has the control loop turn. While nothing changes its ticks have no
// effect, and are left out.
func (b *boot) stir() {
	b.stirred = b.w.now
	if b.ticking || !b.ready {
		return
	}
	b.ticking = true
	b.after(controlTick-b.up()%controlTick, "tick", b.tick)
}

func (b *boot) tick() {
	gap := controlTick
	if !b.ticked {
		b.ticked, gap = true, 0
	}
	for _, m := range b.machines {
		m.turn(gap)
	}
	if b.a.run != b {
		return
	}
	if b.w.now-b.stirred < settled {
		b.after(controlTick, "tick", b.tick)
		return
	}
	b.ticking = false
}

func (m *machine) pilotNow() charge.PilotState {
	if m.believe != 0 {
		return m.believe
	}
	return m.o.pilot()
}

// turn is one tick of one connector.
func (m *machine) turn(gap time.Duration) {
	o := m.o
	ok := safety.Input{OK: !o.broken.input}
	in := safety.Inputs{
		Now: m.b.up(), Gap: gap, Permit: m.permit, Commanded: o.commanded,
		Pilot: m.pilotNow(), PilotIn: ok, Pressed: o.broken.pressed, EStopIn: safety.Input{OK: true},
		Closed: o.closed, ContactIn: ok, Tripped: o.broken.tripped, TrippedIn: ok, ResetLatch: m.reset,
	}
	m.reset = false
	var v safety.Verdict
	m.rules, v = safety.Step(m.b.limits, m.rules, in)
	if v.Close != in.Commanded {
		if v.Close {
			m.b.w.checkCommand(o)
		}
		o.set(v.Close)
		m.b.stir()
	}
	m.report(in, v)
}

// report tells the machine what has changed, the pilot first.
func (m *machine) report(in safety.Inputs, v safety.Verdict) {
	b := m.b
	first := !m.told
	m.told = true
	if in.PilotIn.OK && (first || in.Pilot != m.pilot) {
		m.pilot = in.Pilot
		wall, _ := b.wall()
		m.take(connector.PilotChanged{Now: b.moment(), Pilot: in.Pilot, Fresh: charge.SessionID(b.c.id(wall))})
	}
	if v.Hold != m.hold {
		m.hold = v.Hold
		m.take(connector.HoldChanged{Now: b.moment(), Reason: v.Hold})
		b.stir()
	}
	if in.ContactIn.OK && (first || in.Closed != m.closed) {
		m.closed = in.Closed
		m.take(connector.ContactChanged{Now: b.moment(), Closed: in.Closed})
	}
	if v.Faults == m.faults {
		return
	}
	was := m.faults
	m.faults = v.Faults
	b.stir()
	for _, f := range charge.Faults() {
		switch {
		case v.Faults.Has(f) && !was.Has(f):
			m.take(connector.FaultSeen{Now: b.moment(), Fault: f})
		case !v.Faults.Has(f) && was.Has(f):
			m.take(connector.FaultGone{Now: b.moment(), Fault: f})
		}
	}
}

// obey follows the desk of agent/app: what has no effect is answered here, the
// rest goes to the machines.
func (b *boot) obey(v delivery.Verdict) {
	switch v.Kind {
	case delivery.Malformed:
		if v.Command.ID != "" {
			b.finish(v, wire.ResultRejected, v.Reason)
		}
	case delivery.Superseded:
		b.finish(v, wire.ResultRejected, v.Reason)
	case delivery.Expired:
		b.finish(v, wire.ResultExpired, v.Reason)
	case delivery.Known:
		if b.w.bug(BugCommandTwice) {
			if order, err := v.Command.Order(); err == nil {
				v.Order, v.Deadline = order, b.up()+time.Minute
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
			b.accept(v)
			for _, m := range b.machines {
				b.pass(v, m, true)
			}
			b.finish(v, wire.ResultDone, "")
			return
		}
	case *wire.Simulate:
		b.simulate(v, *o)
		return
	}
	if n < 1 || int(n) > len(b.machines) {
		b.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	b.pass(v, b.machines[n-1], false)
}

func (b *boot) pass(v delivery.Verdict, m *machine, partly bool) {
	m.take(connector.CommandReceived{
		Now: b.moment(), ID: v.Command.ID, SentAt: v.Command.SentAt, Raw: b.raw(v), Order: v.Order, Expires: v.Deadline, Part: partly,
	})
}

// raw is the command as it is written down.
func (b *boot) raw(v delivery.Verdict) string {
	c := v.Command
	if v.Order != nil {
		data, err := wire.EncodeOrder(v.Order)
		if err != nil {
			b.w.object("shell", "order cannot be written: %v", err)
			return ""
		}
		c.Data = data
	}
	raw, err := c.Encode()
	if err != nil {
		b.w.object("shell", "command cannot be written: %v", err)
		return ""
	}
	return string(raw)
}

func (b *boot) accept(v delivery.Verdict) {
	b.say(v.Command.Connector, &wire.CommandAccepted{Command: json.RawMessage(b.raw(v))})
}

func (b *boot) finish(v delivery.Verdict, r wire.CommandResult, reason string) {
	b.say(v.Command.Connector, &wire.CommandFinished{CommandID: v.Command.ID, Command: v.Command.Type, Result: r, Reason: reason})
}

func (b *boot) simulate(v delivery.Verdict, o wire.Simulate) {
	n := v.Command.Connector
	if n < 1 || int(n) > len(b.machines) {
		b.finish(v, wire.ResultRejected, "unknown_connector")
		return
	}
	b.accept(v)
	hw := b.a.hw[n-1]
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
			b.a.known.broke(f)
			hw.breakDown(f)
		case wire.SimulateRepair:
			hw.repair()
		}
		b.finish(v, wire.ResultDone, "")
	})
}
