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

// Received is one message of central-events, of whomever.
type Received struct {
	At    time.Time
	Event wire.CentralEvent
}

func (Tick) event()        {}
func (LinkChanged) event() {}
func (Sent) event()        {}
func (Received) event()    {}

// Effect is what is to be done, in order.
//
//sumtype:decl
type Effect interface{ effect() }

// Send says a message on driver-events; its result comes back as Sent. There
// is one at a time.
type Send struct{ Request wire.DriverRequest }

// Report tells the driver.
type Report struct{ Step Step }

func (Send) effect()   {}
func (Report) effect() {}

// phase is how far a service has come.
type phase int

const (
	phaseAsking     phase = iota // no answer yet
	phaseAuthorized              // a connector is kept; not charging yet
	phaseCharging                // the session runs
	phaseOver
)

// pendingRequest is a message that is said until it has its effect.
type pendingRequest struct {
	kind      wire.DriverEventType
	id        string
	firstSent time.Time // the first saying under this id
	nextSend  time.Time // the next saying
	failures  int       // sayings that failed in a row
}

// Bounds of the time between two tries while Kafka refuses.
const (
	minRetryDelay = 250 * time.Millisecond
	maxRetryDelay = 2 * time.Second
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

	phase    phase
	outcome  Outcome
	deadline time.Time // ends the present phase as given up

	pending      *pendingRequest
	inFlightID   string // message_id of the Send without a Sent
	kafkaReached bool   // Kafka answered once
	downSince    time.Time
	downReported bool

	requestID     string
	cp            charge.CPID
	connector     charge.ConnectorID
	reservationID charge.ReservationID
	session       charge.SessionID
	answeredAt    wire.Seconds // by Central's clock
	stopAt        time.Time    // when to ask for the stop; zero: not (any more)
	seenEvents    map[string]struct{}
}

// NewConversation begins a service at a time; newID mints message ids. The
// first effects come from the first Step.
func NewConversation(cfg Config, at time.Time, newID func() string) *Conversation {
	c := &Conversation{
		cfg: cfg, newID: newID, deadline: at.Add(cfg.Deadline), downSince: at, seenEvents: map[string]struct{}{},
	}
	c.startRequest(wire.DriverAuthorization, at)
	c.requestID = c.pending.id
	return c
}

// Outcome is how the service ended; false while it goes on.
func (c *Conversation) Outcome() (Outcome, bool) { return c.outcome, c.phase == phaseOver }

// Next is when the next Tick is due.
func (c *Conversation) Next() time.Time {
	next := c.deadline
	if c.kafkaReached && c.pending != nil && c.inFlightID == "" && c.pending.nextSend.Before(next) {
		next = c.pending.nextSend
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
		now, out = e.At, c.onLink(e)
	case Sent:
		now, out = e.At, c.onSent(e)
	case Received:
		now, out = e.At, c.onReceived(e)
	}
	return append(out, c.performDue(now)...)
}

// performDue does what its time has come for.
func (c *Conversation) performDue(now time.Time) []Effect {
	if c.phase == phaseOver {
		return nil
	}
	if !now.Before(c.deadline) {
		return c.giveUp(now)
	}
	var out []Effect
	if !c.stopAt.IsZero() && !now.Before(c.stopAt) {
		c.stopAt = time.Time{}
		c.startRequest(wire.DriverStop, now)
		out = append(out, c.report(now, StepStopping, "asking to stop"))
	}
	e := c.pending
	if e == nil || !c.kafkaReached || c.inFlightID != "" || now.Before(e.nextSend) {
		return out
	}
	switch {
	case e.firstSent.IsZero():
		e.firstSent = now
		if e.kind == wire.DriverAuthorization {
			out = append(out, c.report(now, StepAsking, "asking for "+c.requestedCP()))
		}
	case e.kind == wire.DriverAuthorization && e.failures == 0:
		out = append(out, c.report(now, StepAskingAgain, "no answer yet, asking again"))
	case e.kind != wire.DriverAuthorization && now.Sub(e.firstSent) >= wire.MaxRequestAge:
		// Under its old id it may have been read too late, and a repeat of that
		// has no effect either.
		e.id, e.firstSent = c.newID(), now
	}
	c.inFlightID = e.id
	return append(out, Send{c.buildRequest(e, now)})
}

// startRequest makes a message the one that is said until it has its effect.
func (c *Conversation) startRequest(kind wire.DriverEventType, at time.Time) {
	c.pending = &pendingRequest{kind: kind, id: c.newID(), nextSend: at}
}

func (c *Conversation) buildRequest(e *pendingRequest, now time.Time) wire.DriverRequest {
	r := wire.DriverRequest{
		MessageID: e.id, EventType: e.kind, DriverID: c.cfg.DriverID, Username: c.cfg.Username, CPID: c.cfg.CPID,
		ClientID: c.cfg.ClientID, Timestamp: wire.Seconds(charge.At(now)),
	}
	if e.kind != wire.DriverAuthorization {
		cp := c.cp
		r.CPID = &cp
		r.ReservationID = c.reservationID
	}
	if e.kind == wire.DriverStop && c.session != "" {
		r.ReservationID, r.SessionID = "", c.session
	}
	return r
}

// onLink takes in whether Kafka answers.
func (c *Conversation) onLink(e LinkChanged) []Effect {
	if e.Up {
		c.kafkaReached = true
		return c.reportUp(e.At)
	}
	if c.downSince.IsZero() {
		c.downSince = e.Since
	}
	return c.reportDown(e.At, e.Reason)
}

func (c *Conversation) onSent(e Sent) []Effect {
	if e.MessageID != c.inFlightID {
		return nil
	}
	c.inFlightID = ""
	if c.pending == nil || c.pending.id != e.MessageID {
		return nil
	}
	if e.Failed == "" {
		c.pending.failures, c.pending.nextSend = 0, e.At.Add(c.cfg.Repeat)
		return c.reportUp(e.At)
	}
	c.pending.nextSend = e.At.Add(min(minRetryDelay<<min(c.pending.failures, 3), maxRetryDelay))
	c.pending.failures++
	if c.downSince.IsZero() {
		c.downSince = e.At
	}
	return c.reportDown(e.At, e.Failed)
}

func (c *Conversation) reportDown(now time.Time, reason string) []Effect {
	if c.downReported {
		return nil
	}
	c.downReported = true
	text := "waiting for Kafka since " + c.downSince.Format(clockFormat)
	if reason != "" {
		text += ": " + reason
	}
	s := c.report(now, StepKafkaAway, text)
	since := c.downSince
	s.Step.Since, s.Step.Reason = &since, reason
	return []Effect{s}
}

func (c *Conversation) reportUp(now time.Time) []Effect {
	from, reported := c.downSince, c.downReported
	c.downSince, c.downReported = time.Time{}, false
	if c.pending != nil && c.pending.failures > 0 { // no need to wait for the back-off
		c.pending.nextSend = now
	}
	if !reported {
		return nil
	}
	return []Effect{c.report(now, StepKafkaBack, "Kafka answers after "+now.Sub(from).Round(time.Second).String())}
}

// giveUp ends a wait whose time is over.
func (c *Conversation) giveUp(now time.Time) []Effect {
	switch {
	case c.phase == phaseAsking && !c.downSince.IsZero():
		return c.finish(c.report(now, StepGivenUp, "Kafka did not answer within "+c.cfg.Deadline.String()+"; is its address right, and does it run?"), Unreached)
	case c.phase == phaseAsking:
		return c.finish(c.report(now, StepGivenUp, "Central did not answer within "+c.cfg.Deadline.String()+"; is it running?"), TimedOut)
	case c.phase == phaseAuthorized:
		return c.finish(c.report(now, StepGivenUp, "the reservation is over and nothing was heard of it"), TimedOut)
	}
	return c.finish(c.report(now, StepGivenUp, "nothing was heard of the session for "+c.cfg.SessionTimeout.String()+"; the ticket is kept by Central"), TimedOut)
}

func (c *Conversation) finish(last Report, o Result) []Effect {
	c.phase = phaseOver
	c.pending, c.stopAt = nil, time.Time{}
	c.outcome.Result, c.outcome.Last = o, last.Step
	return []Effect{last}
}

func (c *Conversation) requestedCP() string {
	if c.cfg.CPID == nil {
		return "any free charging point"
	}
	return string(*c.cfg.CPID)
}

func (c *Conversation) report(now time.Time, k StepKind, text string) Report {
	return Report{Step{
		At: now, Kind: k, Username: c.cfg.Username, Text: text,
		CPID: c.cp, Connector: c.connector, ReservationID: c.reservationID, SessionID: c.session,
	}}
}
