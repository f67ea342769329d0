package point

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/limits"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Config is what does not change during a boot.
type Config struct {
	CP           charge.CPID
	Journal      charge.JournalID // of this boot
	Agent        string           // the version of this agent
	Name, Place  string
	Capabilities []string
	Simulated    bool   // the hardware is simulated, and commands may operate it
	Lights       []bool // by connector, from 1 on: it has lights, which commands may let blink
	Policy       connector.Policy
	Cards        cards.Policy
	Limits       limits.Policy
	// MaxCurrent is what the hardware of a connector carries per phase; 0: not known.
	MaxCurrent charge.MilliAmps
	// Telemetry and IdleTelemetry are the intervals of telemetry while a session runs
	// and while none does.
	Telemetry, IdleTelemetry time.Duration
	// Planted is a bug that the checks of the simulation must find; see Bug.
	Planted Bug
}

// Presence is what the charging point publishes about a connection; without the
// fields about records it is the last will.
func (c *Config) Presence(conn uint64, online bool, at charge.Time) wire.Presence {
	return wire.Presence{V: wire.Version, Online: online, Journal: c.Journal, Conn: conn, At: at}
}

// State is a charging point during one boot. Boot makes it. One caller at a time
// may use it.
//
// Invariant: at most one of Append and SavePosition is under way.
// Invariant: no record but those of Boot is written, and nothing is published,
// before record 1 is durable.
type State struct {
	cfg        Config
	connectors []connector.State // by number, from 1 on
	cards      cards.State
	limits     limits.State
	limited    []charge.Limit // by connector, from 1 on: as last given to the control loop
	measured   []charge.Limit // likewise: the lowest limit, as the control loop applies it
	registered bool           // record 1 is durable

	disk disk

	held     delivery.Held // what the disk holds
	position delivery.Position
	delivery delivery.State
	commands *delivery.Commands

	conn        uint64 // of the connection that is up; 0: none
	presence    delivery.PresenceSchedule
	presenceAt  time.Duration // when the presence is due
	described   bool          // presenceAt is computed from the present state
	telemetryAt time.Duration
	badMessages uint64

	stopping, ended, drained bool // the stages of the end

	startedAt charge.Time   // by the wall clock; for BugWallClock, BugLimitByWall
	timer     time.Duration // as last asked for
	now       Now           // of the step under way
	// The effects of the step under way: contactors that open, and the others.
	opening, effects []Effect
}

// Recovered is what a boot recovers from the journal and the hardware.
type Recovered struct {
	Saved    []connector.Saved // by connector.Restore, one of each connector
	After    *wire.Position    // the last record, which this journal follows; nil: none
	Damaged  []wire.Damaged
	Position delivery.Position
	Outlets  []Outlet // one of each connector
}

// Outlet is the hardware of a connector at boot: all contactors are open.
type Outlet struct {
	Pilot      charge.PilotState
	Reading    connector.Reading
	HasReading bool // false: the meter did not answer
}

// Boot restores a charging point. The effects ask for record 1 to be written; the
// shell takes up everything else when that is durable.
func Boot(cfg Config, now Now, found Recovered) (*State, []Effect) {
	s := &State{
		cfg: cfg, now: now, startedAt: now.Wall.Add(-now.At), connectors: make([]connector.State, len(found.Outlets)),
		disk: disk{saved: found.Saved}, position: found.Position, commands: delivery.NewCommands(cfg.CP, cfg.Journal),
		cards: cards.New(cfg.Cards, savedCards(found.Saved)), limits: limits.New(cfg.Limits, savedLimits(found.Saved), len(found.Outlets), now.At),
		limited: make([]charge.Limit, len(found.Outlets)), measured: make([]charge.Limit, len(found.Outlets)),
	}
	for i, o := range found.Outlets {
		s.stepConnector(charge.ConnectorID(i+1), connector.Booted{
			Now: s.connectorNow(), ID: charge.ConnectorID(i + 1), Policy: cfg.Policy, Saved: found.Saved[i],
			Pilot: o.Pilot, Reading: o.Reading, HasReading: o.HasReading,
		})
	}
	s.register(found)
	return s, s.settle()
}

// Step applies an event and returns what is to be done. What is due at the time
// of the event happens before it.
func (s *State) Step(now Now, e Event) []Effect {
	s.now = now
	switch e := e.(type) {
	case Appended:
		s.appended(e)
	case AppendFailed:
		s.appendFailed(e)
	default:
		if s.registered { // else the shell is too early
			s.fireTimers()
			s.handle(e)
		}
	}
	return s.settle()
}

func (s *State) handle(e Event) {
	switch e := e.(type) {
	case PilotChanged:
		s.stepConnector(e.Connector, connector.PilotChanged{Now: s.connectorNow(), Pilot: e.Pilot, NewSession: e.NewSession})
	case ContactChanged:
		s.stepConnector(e.Connector, connector.ContactChanged{Now: s.connectorNow(), Closed: e.Closed})
	case PowerWithheld:
		s.stepConnector(e.Connector, connector.PowerWithheld{Now: s.connectorNow(), Reason: e.Reason})
	case LimitApplied:
		s.limitApplied(e)
	case FaultSeen:
		s.stepConnector(e.Connector, connector.FaultSeen{Now: s.connectorNow(), Fault: e.Fault})
	case FaultGone:
		s.stepConnector(e.Connector, connector.FaultGone{Now: s.connectorNow(), Fault: e.Fault})
	case MeterRead:
		s.stepConnector(e.Connector, connector.MeterRead{Now: s.connectorNow(), Reading: e.Reading, Failed: e.Failed})
	case CardPresented:
		s.cardPresented(e)
	case LocalStop:
		s.stepConnector(e.Connector, connector.LocalStop{Now: s.connectorNow()})
	case Operated:
		s.operated(e)
	case Appended, AppendFailed: // applied by Step
	case PositionSaved:
		s.positionSaved(e)
	case DiskChecked:
		s.disk.permille = e.Permille
		s.checkSpace()
		s.setHeld(e.Held)
	case Connected:
		s.connected(e)
	case Disconnected:
		if e.Conn == s.conn {
			s.conn = 0
			s.stepDelivery(delivery.Disconnected{})
		}
	case Confirmed:
		s.confirmed(e)
	case AckReceived:
		s.ackReceived(e)
	case CommandReceived:
		s.commandReceived(e)
	case BadMessage:
		s.badMessages++
	case TimerFired: // fireTimers did all
		s.timer = 0 // so that it is set again, also if it fired too early
	case Shutdown:
		s.stopping = true
		s.stepAll(func(n connector.Now) connector.Event { return connector.Shutdown{Now: n} })
	}
}

// stepConnector applies an event to the connector n, if there is one, and collects
// its effects.
func (s *State) stepConnector(n charge.ConnectorID, e connector.Event) {
	if !s.has(n) {
		return
	}
	var effects []connector.Effect
	s.connectors[n-1], effects = connector.Step(s.connectors[n-1], e)
	c := &s.connectors[n-1]
	for _, f := range effects {
		switch f := f.(type) {
		case connector.OpenContactor:
			// A permission of this step, which would follow, is void.
			s.effects = slices.DeleteFunc(s.effects, func(e Effect) bool { p, ok := e.(Permit); return ok && p.Connector == n })
			s.opening = append(s.opening, OpenContactor{n})
		case connector.Append:
			s.append(job{connector: n, token: f.Token, records: f.Records})
			s.noteEnded(f.Records)
			s.effects = append(s.effects, Recorded{*c, f.Records})
		case connector.OfferPower:
			s.effects = append(s.effects, OfferPower{n, f.Offer})
		case connector.CloseContactor:
			s.effects = append(s.effects, Permit{n, c.Session.ID})
		case connector.ReadMeter:
			s.effects = append(s.effects, ReadMeter{n})
		case connector.ResetLatch:
			s.effects = append(s.effects, ResetLatch{n})
		case connector.ReleaseCable:
			s.effects = append(s.effects, ReleaseCable{n})
		case connector.SetTimer: // deadline reads it from the state
		}
	}
}

// stepAll applies an event to every connector.
func (s *State) stepAll(e func(connector.Now) connector.Event) {
	for i := range s.connectors {
		s.stepConnector(charge.ConnectorID(i+1), e(s.connectorNow()))
	}
}

// has reports whether the connector exists.
func (s *State) has(n charge.ConnectorID) bool { return n >= 1 && int(n) <= len(s.connectors) }

// fireTimers lets happen what is due.
func (s *State) fireTimers() {
	for i := range s.connectors {
		if t := s.connectors[i].Timer; t != 0 && t <= s.connectorNow().At {
			s.stepConnector(charge.ConnectorID(i+1), connector.TimerFired{Now: s.connectorNow()})
		}
	}
	if t := s.cards.Timer; t != 0 && t <= s.now.At {
		s.stepCards(nil, "", cards.TimerFired{Now: s.cardNow(), Connectors: s.forCards()})
	}
	s.limits.End(s.limitsAt(), s.now.Wall, s.now.Clock)
	if t := s.probeAt(); t != 0 && t <= s.now.At {
		s.stepDelivery(delivery.TimerFired{Now: s.deliveryNow()})
	}
	if s.telemetryAt <= s.now.At {
		s.publishTelemetry()
	}
}

// settle completes a step: what its event has made possible. It returns the
// effects of the step.
func (s *State) settle() []Effect {
	s.continueEarly()
	s.applyLimits()
	s.publishPresence()
	s.write()
	s.end()
	if at := s.deadline(); at != s.timer {
		s.timer = at
		s.effects = append(s.effects, SetTimer{at})
	}
	out := append(s.opening, s.effects...)
	s.opening, s.effects = nil, nil
	return out
}

// end reports the stages of the end of the agent, each once.
func (s *State) end() {
	if !s.stopping {
		return
	}
	if !s.ended && len(s.disk.waiting) == 0 && !slices.ContainsFunc(s.connectors, func(c connector.State) bool {
		return c.Phase != connector.PhaseStopping || !c.NothingPending() || c.Closed
	}) {
		s.ended = true
		s.effects = append(s.effects, Ended{})
	}
	if s.ended && !s.drained && len(s.disk.waiting) == 0 && s.delivery.Unacked() == 0 {
		s.drained = true
		s.effects = append(s.effects, Drained{})
	}
}

// deadline is when the next thing is due; 0: nothing is.
func (s *State) deadline() time.Duration {
	if !s.registered {
		return 0
	}
	next := s.telemetryAt
	ahead := s.now.At - s.connectorNow().At // zero but with a planted bug
	for i := range s.connectors {
		if t := s.connectors[i].Timer; t != 0 {
			next = min(next, t+ahead)
		}
	}
	if t := s.cards.Timer; t != 0 {
		next = min(next, t)
	}
	if t := s.limits.Next(); t != 0 {
		next = min(next, t)
	}
	if t := s.probeAt(); t != 0 {
		next = min(next, t)
	}
	if s.conn != 0 {
		next = min(next, s.presenceAt)
	}
	if s.disk.waits() {
		next = min(next, s.disk.retryAt)
	}
	return max(next, 1) // 0 would mean none
}

// deliveryNow is the time of an event of delivery.
func (s *State) deliveryNow() delivery.Now { return delivery.Now{At: s.now.At, Rand: s.now.Rand} }
