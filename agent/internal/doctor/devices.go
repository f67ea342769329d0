package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// estop is the emergency stop.
func estop(b hal.Board) *input {
	return &input{
		device: "emergency stop", absent: "nothing stops the charging point by hand",
		remedy: "its wire, and the bus it is on; until then no contactor closes",
		read: func() (string, error) {
			e, err := b.EStop()
			if err != nil {
				return "", err
			}
			pressed, _, err := e.Pressed()
			if pressed {
				return "pressed", err
			}
			return "released", err
		},
		explain: func(value string) (State, string, string) {
			if value == "pressed" {
				return Bad, "its contact is open: it is pressed, or its wire is cut", "release it; then check its wire"
			}
			return Good, "its contact is closed", ""
		},
	}
}

// reader is the health of the card reader.
func reader(b hal.Board) *input {
	return &input{
		device: "card reader", absent: "drivers start by app or at once, not by card",
		remedy: "its wires, its bus and its mode switches",
		read: func() (string, error) {
			r, err := b.Reader()
			if err != nil {
				return "", err
			}
			return "answers", r.Healthy()
		},
		explain: func(string) (State, string, string) { return Good, "the reader is there", "" },
	}
}

// connectorInputs are the inputs of one connector.
func connectorInputs(n charge.ConnectorID, c hal.Connector, info hal.Info) []*input {
	all := []*input{contactor(c), pilot(c, info), protection(c), lock(c), cable(c), heat(c, info)}
	for _, i := range all {
		i.device = fmt.Sprintf("connector %d: %s", n, i.device)
	}
	return all
}

// contactor is the feedback of the contactor, which is commanded open.
func contactor(c hal.Connector) *input {
	return &input{
		device: "contactor", absent: "it has no feedback contact: a welded contactor is not noticed",
		remedy: "the wire of its feedback contact",
		read: func() (string, error) {
			state, _, err := c.Contactor().Feedback()
			return state.String(), err
		},
		explain: func(value string) (State, string, string) {
			switch value {
			case hal.ContactOpen.String():
				return Good, "measured open, as commanded", ""
			case hal.ContactClosed.String():
				return Bad, "measured closed, but commanded open", "cut the supply; is it welded? Or its feedback is a mirror contact, and the configuration does not state it"
			}
			return Bad, "neither open nor closed", "the wire of its feedback contact"
		},
	}
}

// pilot is the vehicle's state.
func pilot(c hal.Connector, info hal.Info) *input {
	return &input{
		device: "pilot", absent: "", remedy: "the wires of the plug: pilot, or plug contact and request contact",
		read: func() (string, error) {
			state, _, err := c.Pilot().State()
			return state.String(), err
		},
		explain: func(value string) (State, string, string) {
			switch value {
			case "A":
				return Good, "no vehicle", ""
			case "B":
				return Good, "a vehicle is plugged in and requests no power", ""
			case "C":
				return Good, "a vehicle is plugged in and requests power", ""
			case "D":
				if info.Vent {
					return Good, "a vehicle requests power, with ventilation", ""
				}
				return Note, "a vehicle requests power with ventilation, which this installation does not declare", "it gets no power here"
			case "E":
				return Bad, "the pilot is shorted, or the cable is damaged", "the cable, and the wire of the pilot"
			case "F":
				return Bad, "the pilot is at its fault level", "the pilot's supply and its front end"
			}
			return Bad, "no state of a pilot", "the pilot's front end"
		},
	}
}

// protection is the devices that trip by themselves.
func protection(c hal.Connector) *input {
	return &input{
		device: "protection", absent: "no trip contact is wired: the residual current device is not watched",
		remedy: "the wires of the trip contacts",
		read: func() (string, error) {
			p, ok := c.(hal.Protection)
			if !ok {
				return "", hal.ErrNotFitted
			}
			fault, _, err := p.Tripped()
			if fault == "" {
				return "not tripped", err
			}
			return string(fault), err
		},
		explain: func(value string) (State, string, string) {
			if value == "not tripped" {
				return Good, "no device has tripped", ""
			}
			return Bad, "it has tripped, or the wire of its contact is cut", "remove the cause and reset the device; then check the wire"
		},
	}
}

// lock is the lock of the cable.
func lock(c hal.Connector) *input {
	return &input{
		device: "lock", absent: "the cable is not locked: right for a fixed cable only",
		remedy: "the wires of its end contacts",
		read: func() (string, error) {
			l, err := c.Lock()
			if err != nil {
				return "", err
			}
			state, _, err := l.State()
			return state.String(), err
		},
		explain: func(value string) (State, string, string) {
			switch value {
			case hal.LockOpen.String():
				return Good, "the bolt is out of the plug", ""
			case hal.LockLocked.String():
				return Note, "the bolt holds the plug", "the agent opens it when it starts and no vehicle is plugged in"
			}
			return Bad, "the bolt is at neither end", "is it jammed? Its end contacts and their wires"
		},
	}
}

// cable is the coding of the cable.
func cable(c hal.Connector) *input {
	return &input{
		device: "cable", absent: "its coding is not read: right for a fixed cable only",
		remedy: "the wire of the proximity contact, and the resistor in the plug",
		read: func() (string, error) {
			p, err := c.Proximity()
			if err != nil {
				return "", err
			}
			limit, _, err := p.CableLimit()
			if limit == 0 {
				return "none", err
			}
			return fmt.Sprintf("%d A", limit/1_000), err
		},
		explain: func(value string) (State, string, string) {
			if value == "none" {
				return Good, "no plug is in the socket", ""
			}
			return Good, "what the plugged cable carries", ""
		},
	}
}

// heat is the hottest temperature.
func heat(c hal.Connector, info hal.Info) *input {
	hot := false
	return &input{
		device: "temperature", absent: "heat is not watched", analogue: true,
		remedy: "the sensors' wires and addresses",
		read: func() (string, error) {
			t, err := c.Thermal()
			if err != nil {
				return "", err
			}
			hottest, _, err := t.Hottest()
			hot = info.TempLimit != 0 && hottest >= info.TempLimit
			return fmt.Sprintf("%.1f °C", float64(hottest)/1_000), err
		},
		explain: func(string) (State, string, string) {
			if hot {
				return Bad, "above the limit: no power is given", "let it cool down; a sensor that is shorted or wrong shows this too"
			}
			return Good, "the hottest sensor", ""
		},
	}
}

// meter is a meter and its first reading.
type meter struct {
	device string
	meter  hal.Meter
	pilot  hal.Pilot
	first  hal.Reading
	err    error // of the first reading
}

// readLimit is how long a meter may take to answer.
const readLimit = 3 * time.Second

func newMeter(ctx context.Context, n charge.ConnectorID, c hal.Connector) *meter {
	m := &meter{device: fmt.Sprintf("connector %d: meter", n), meter: c.Meter(), pilot: c.Pilot()}
	m.first, m.err = m.read(ctx)
	return m
}

func (m *meter) read(ctx context.Context) (hal.Reading, error) {
	// The end of the watch does not end this reading.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
	defer cancel()
	return m.meter.Read(ctx)
}

// finding reads the meter again and compares.
func (m *meter) finding(ctx context.Context, info hal.Info) Finding {
	if errors.Is(m.err, hal.ErrNotFitted) {
		return Finding{Note, m.device, "not fitted", "no energy is measured, and nothing can be billed", ""}
	}
	const wires = "the meter's supply, its wires (A and B exchanged?), address, speed and type"
	last, err := m.read(ctx)
	if err != nil {
		return Finding{Bad, m.device, "no value", "it does not answer: " + err.Error(), wires}
	}
	id, err := m.meter.Identity()
	if err != nil {
		return Finding{Bad, m.device, "no value", "it does not give its name: " + err.Error(), wires}
	}
	f := Finding{
		Good, m.device, fmt.Sprintf("%d Wh, %d W, %.1f V, %.2f A", last.Import, last.Power, float64(last.Voltage)/1_000, float64(last.Current)/1_000),
		fmt.Sprintf("%s %s, serial number %q", id.Maker, id.Model, id.Serial), "",
	}
	off := last.Voltage < info.Voltage*85/100 || last.Voltage > info.Voltage*115/100
	switch {
	case m.err == nil && last.Import < m.first.Import:
		f.State, f.Meaning, f.Remedy = Bad, fmt.Sprintf("its register went down from %d Wh", m.first.Import), "the type of the meter in the configuration"
	case last.Power > 50: // less may be the meter's own error
		f.State, f.Meaning, f.Remedy = Bad, "power flows although the contactor is commanded open", "is the contactor welded? Or the meter measures another load"
	case last.Voltage != 0 && off:
		f.State, f.Meaning, f.Remedy = Note, fmt.Sprintf("the configured voltage is %.1f V", float64(info.Voltage)/1_000), "the type of the meter, and the voltage in the configuration"
	}
	return f
}

// boardFindings explains the board's devices that are no inputs.
func (e *examination) boardFindings() (out []Finding) {
	if k, err := e.board.Keeper(); err == nil {
		out = append(out, Finding{Good, "dead-man device", k.Timeout().String(), "opens all contactors when the agent stops kicking it", ""})
	} else {
		out = append(out, Finding{Note, "dead-man device", "not fitted", "a hang of the agent may leave power on", "fit one where power is switched"})
	}
	if w, err := e.board.Watchdog(); err == nil {
		out = append(out, Finding{Good, "watchdog", w.Timeout().String(), "resets the computer when it hangs", ""})
	} else {
		out = append(out, Finding{Note, "watchdog", "not fitted", "the service manager may have one", ""})
	}
	if e.panel != nil {
		f := Finding{Good, "front panel", fmt.Sprintf("%d presses", e.presses), "buttons and lights", ""}
		if e.presses == 0 {
			f.State, f.Remedy = Note, "press its buttons while the doctor looks"
		}
		out = append(out, f)
	} else {
		out = append(out, Finding{Note, "front panel", "not fitted", "no buttons and no lights", ""})
	}
	return append(out, e.clockFinding())
}

// clockFinding compares the clock that runs without power with the computer's.
func (e *examination) clockFinding() Finding {
	f := Finding{Good, "clock", "", "runs without power", ""}
	c, err := e.board.Clock()
	if errors.Is(err, hal.ErrNotFitted) {
		return Finding{Note, "clock", "not fitted", "after a power cut the time is known only from the network", ""}
	}
	now, err := c.Now()
	if err != nil {
		f.State, f.Value, f.Meaning, f.Remedy = Bad, "no value", "it cannot be read: "+err.Error(), "its battery; it is set once the network has the time"
		return f
	}
	f.Value = now.UTC().Format(time.RFC3339)
	if apart := time.Since(now).Abs(); apart > time.Minute {
		f.State, f.Meaning, f.Remedy = Note, "differs from the computer's clock by "+apart.Round(time.Second).String(), "one of the two is wrong"
	}
	return f
}
