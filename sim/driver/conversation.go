package driver

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Event is what happened to a driver.
//
//sumtype:decl
type Event interface{ event() }

// Tick says that time went on: at Next or later.
type Tick struct{ At time.Time }

// LinkChanged says whether Kafka answers. A driver asks for the first time
// once it does, for only then the place is known from which it listens.
type LinkChanged struct {
	At     time.Time
	Up     bool
	Since  time.Time
	Reason string // why it is down
}

// Sent is the result of a Send: Failed is empty when Kafka has the message. A
// failed one may have arrived all the same.
type Sent struct {
	At        time.Time
	MessageID string
	Failed    string
}

// Heard is one message of central-events, of whomever.
type Heard struct {
	At    time.Time
	Event wire.CentralEvent
}

func (Tick) event()        {}
func (LinkChanged) event() {}
func (Sent) event()        {}
func (Heard) event()       {}

// Effect is what is to be done, in order.
//
//sumtype:decl
type Effect interface{ effect() }

// Send says a message on driver-events; its result comes back as Sent. There
// is one at a time.
type Send struct{ Request wire.DriverRequest }

// Say tells the driver.
type Say struct{ Step Step }

func (Send) effect() {}
func (Say) effect()  {}

// phase is how far a service has come.
type phase int

const (
	phaseAsking     phase = iota // no answer yet
	phaseAuthorized              // a connector is kept; not charging yet
	phaseCharging                // the session runs
	phaseOver
)

// errand is a message that is said until it has its effect.
type errand struct {
	kind  wire.DriverEventType
	id    string
	since time.Time // the first saying under this id
	next  time.Time // the next saying
	tries int       // sayings that failed in a row
}

// Bounds of the time between two tries while Kafka refuses.
const (
	leastRetry = 250 * time.Millisecond
	mostRetry  = 2 * time.Second
)

// Conversation is one service, from the request to its end. It reads no clock
// and draws nothing; Step is total.
//
// Invariants: it ends once, by itself; every message of one request carries
// one message_id unless Central said that it read it too late; nothing is sent
// before the first LinkChanged that is up.
type Conversation struct {
	cfg   Config
	newID func() string

	phase   phase
	outcome Outcome
	giveUp  time.Time // ends the present phase as given up

	errand   *errand
	inFlight string // message_id of the Send without a Sent
	reached  bool   // Kafka answered once
	downFrom time.Time
	downSaid bool

	askID      string
	cp         charge.CPID
	connector  charge.ConnectorID
	held       charge.ReservationID
	session    charge.SessionID
	answeredAt wire.Seconds // by Central's clock
	stopAt     time.Time    // when to ask for the stop; zero: not (any more)
	seen       map[string]struct{}
}

// NewConversation begins a service at a time; newID mints message ids. The
// first effects come from the first Step.
func NewConversation(cfg Config, at time.Time, newID func() string) *Conversation {
	c := &Conversation{
		cfg: cfg, newID: newID, giveUp: at.Add(cfg.Deadline), downFrom: at, seen: map[string]struct{}{},
	}
	c.begin(wire.DriverAuthorization, at)
	c.askID = c.errand.id
	return c
}

// Outcome is how the service ended; false while it goes on.
func (c *Conversation) Outcome() (Outcome, bool) { return c.outcome, c.phase == phaseOver }

// Next is when the next Tick is due.
func (c *Conversation) Next() time.Time {
	next := c.giveUp
	if c.reached && c.errand != nil && c.inFlight == "" && c.errand.next.Before(next) {
		next = c.errand.next
	}
	if !c.stopAt.IsZero() && c.stopAt.Before(next) {
		next = c.stopAt
	}
	return next
}

// Step folds one event into the conversation and returns what is to be done.
func (c *Conversation) Step(e Event) []Effect {
	if c.phase == phaseOver {
		return nil
	}
	var out []Effect
	var now time.Time
	switch e := e.(type) {
	case Tick:
		now = e.At
	case LinkChanged:
		now, out = e.At, c.link(e)
	case Sent:
		now, out = e.At, c.sent(e)
	case Heard:
		now, out = e.At, c.hear(e)
	}
	return append(out, c.due(now)...)
}

// due does what its time has come for.
func (c *Conversation) due(now time.Time) []Effect {
	if c.phase == phaseOver {
		return nil
	}
	if !now.Before(c.giveUp) {
		return c.surrender(now)
	}
	var out []Effect
	if !c.stopAt.IsZero() && !now.Before(c.stopAt) {
		c.stopAt = time.Time{}
		c.begin(wire.DriverStop, now)
		out = append(out, c.say(now, StepStopping, "asking to stop"))
	}
	e := c.errand
	if e == nil || !c.reached || c.inFlight != "" || now.Before(e.next) {
		return out
	}
	switch {
	case e.since.IsZero():
		e.since = now
		if e.kind == wire.DriverAuthorization {
			out = append(out, c.say(now, StepAsking, "asking for "+c.wanted()))
		}
	case e.kind == wire.DriverAuthorization && e.tries == 0:
		out = append(out, c.say(now, StepAskingAgain, "no answer yet, asking again"))
	case e.kind != wire.DriverAuthorization && now.Sub(e.since) >= wire.MaxRequestAge:
		// Under its old id it may have been read too late, and a repeat of that
		// has no effect either.
		e.id, e.since = c.newID(), now
	}
	c.inFlight = e.id
	return append(out, Send{c.message(e, now)})
}

// begin makes a message the one that is said until it has its effect.
func (c *Conversation) begin(kind wire.DriverEventType, at time.Time) {
	c.errand = &errand{kind: kind, id: c.newID(), next: at}
}

func (c *Conversation) message(e *errand, now time.Time) wire.DriverRequest {
	r := wire.DriverRequest{
		MessageID: e.id, EventType: e.kind, DriverID: c.cfg.DriverID, Username: c.cfg.Username, CPID: c.cfg.CPID,
		ClientID: c.cfg.ClientID, Timestamp: wire.Seconds(charge.At(now)),
	}
	if e.kind != wire.DriverAuthorization {
		cp := c.cp
		r.CPID = &cp
		r.ReservationID = c.held
	}
	if e.kind == wire.DriverStop && c.session != "" {
		r.ReservationID, r.SessionID = "", c.session
	}
	return r
}

// link takes in whether Kafka answers.
func (c *Conversation) link(e LinkChanged) []Effect {
	if e.Up {
		c.reached = true
		return c.back(e.At)
	}
	if c.downFrom.IsZero() {
		c.downFrom = e.Since
	}
	return c.away(e.At, e.Reason)
}

func (c *Conversation) sent(e Sent) []Effect {
	if e.MessageID != c.inFlight {
		return nil
	}
	c.inFlight = ""
	if c.errand == nil || c.errand.id != e.MessageID {
		return nil
	}
	if e.Failed == "" {
		c.errand.tries, c.errand.next = 0, e.At.Add(c.cfg.Repeat)
		return c.back(e.At)
	}
	c.errand.next = e.At.Add(min(leastRetry<<min(c.errand.tries, 3), mostRetry))
	c.errand.tries++
	if c.downFrom.IsZero() {
		c.downFrom = e.At
	}
	return c.away(e.At, e.Failed)
}

func (c *Conversation) away(now time.Time, reason string) []Effect {
	if c.downSaid {
		return nil
	}
	c.downSaid = true
	text := "waiting for Kafka since " + c.downFrom.Format(clock)
	if reason != "" {
		text += ": " + reason
	}
	s := c.say(now, StepKafkaAway, text)
	since := c.downFrom
	s.Step.Since, s.Step.Reason = &since, reason
	return []Effect{s}
}

func (c *Conversation) back(now time.Time) []Effect {
	from, said := c.downFrom, c.downSaid
	c.downFrom, c.downSaid = time.Time{}, false
	if c.errand != nil && c.errand.tries > 0 { // no need to wait for the back-off
		c.errand.next = now
	}
	if !said {
		return nil
	}
	return []Effect{c.say(now, StepKafkaBack, "Kafka answers after "+now.Sub(from).Round(time.Second).String())}
}

// surrender ends a wait whose time is over.
func (c *Conversation) surrender(now time.Time) []Effect {
	switch {
	case c.phase == phaseAsking && !c.downFrom.IsZero():
		return c.end(c.say(now, StepGivenUp, "Kafka did not answer within "+c.cfg.Deadline.String()+"; is its address right, and does it run?"), Unreached)
	case c.phase == phaseAsking:
		return c.end(c.say(now, StepGivenUp, "Central did not answer within "+c.cfg.Deadline.String()+"; is it running?"), TimedOut)
	case c.phase == phaseAuthorized:
		return c.end(c.say(now, StepGivenUp, "the reservation is over and nothing was heard of it"), TimedOut)
	}
	return c.end(c.say(now, StepGivenUp, "nothing was heard of the session for "+c.cfg.Patience.String()+"; the ticket is kept by Central"), TimedOut)
}

func (c *Conversation) end(last Say, o Result) []Effect {
	c.phase = phaseOver
	c.errand, c.stopAt = nil, time.Time{}
	c.outcome.Result, c.outcome.Last = o, last.Step
	return []Effect{last}
}

func (c *Conversation) wanted() string {
	if c.cfg.CPID == nil {
		return "any free charging point"
	}
	return string(*c.cfg.CPID)
}

func (c *Conversation) say(now time.Time, k StepKind, text string) Say {
	return Say{Step{
		At: now, Kind: k, Username: c.cfg.Username, Text: text,
		CPID: c.cp, Connector: c.connector, ReservationID: c.held, SessionID: c.session,
	}}
}
