package driver

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Event is an input of a Conversation.
//
//sumtype:decl
type Event interface{ event() }

// Tick is the passing of time. It is due at Conversation.Next; a later one is
// fine.
type Tick struct{ At time.Time }

// LinkChanged is the state of the connection to Kafka. A driver sends its first
// message after the first LinkChanged with Up: only then is the offset known
// from which the client reads central-events, and no answer can be missed.
type LinkChanged struct {
	At     time.Time
	Up     bool
	Since  time.Time // the state holds since then
	Reason string    // why it is down
}

// Sent is the result of a Send. Failed is the error, or empty when Kafka has
// acknowledged the message. A message whose Send failed may have been written
// all the same, so a retry keeps its message_id.
type Sent struct {
	At        time.Time
	MessageID string
	Failed    string
}

// Received is one message of central-events. It may be about another driver;
// the Conversation filters.
type Received struct {
	At    time.Time
	Event wire.CentralEvent
}

func (Tick) event()        {}
func (LinkChanged) event() {}
func (Sent) event()        {}
func (Received) event()    {}

// Effect is an action that the caller of Step performs. The effects of one Step
// are performed in order.
//
//sumtype:decl
type Effect interface{ effect() }

// Send produces a message to driver-events; its result comes back as Sent. At
// most one Send is in flight.
type Send struct{ Request wire.DriverRequest }

// Report shows a step to the driver.
type Report struct{ Step Step }

func (Send) effect()   {}
func (Report) effect() {}

// phase is the progress of a service.
type phase int

const (
	phaseAsking     phase = iota // requested, not answered
	phaseAuthorized              // a connector is reserved, charging has not begun
	phaseCharging                // the session is open
	phaseOver
)

// pendingRequest is the message that is sent, and retried, until it has its
// effect. There is at most one.
type pendingRequest struct {
	kind      wire.DriverEventType
	id        string
	firstSent time.Time // when it was first sent under this id; zero: not yet
	nextSend  time.Time // when to send it (again)
	failures  int       // failed Sends in a row, for the back-off
}

// Bounds of the exponential back-off while Sends fail.
const (
	minRetryDelay = 250 * time.Millisecond
	maxRetryDelay = 2 * time.Second
)

// Conversation is the drivers' protocol for one service, from the request to
// its end: a state machine that reads no clock, draws no random numbers and
// does no I/O. Events go in through Step; effects come out.
//
// Invariants: it ends exactly once, and by itself, since every phase has a
// deadline; all repeats of a request carry one message_id, until Central
// reports that it read the request too late; no message is sent before the
// first LinkChanged with Up.
//
// It is not safe for concurrent use: one goroutine owns it.
type Conversation struct {
	cfg   Config
	newID func() string

	phase   phase
	outcome Outcome // complete once phase is phaseOver
	// deadline is when the present phase ends without success. Each phase sets
	// its own: the request has Config.Deadline, an authorization the time of its
	// reservation, a session Config.SessionTimeout since its last message.
	deadline time.Time

	// pending is nil while no message waits for its effect: once charging began.
	pending      *pendingRequest
	inFlightID   string    // message_id of the Send whose Sent is awaited; empty: none
	kafkaReached bool      // a LinkChanged was up
	downSince    time.Time // Kafka is down since then; zero: it is up
	downReported bool      // the driver was informed of it

	requestID string // message_id of the authorization request
	// The place and the names that the authorization gave; session follows with
	// the first message about it.
	cp            charge.CPID
	connector     charge.ConnectorID
	reservationID charge.ReservationID
	session       charge.SessionID
	answeredAt    wire.Seconds // of the authorization, by Central's clock
	stopAt        time.Time    // when to send the stop request; zero: never, or sent
	limitKWh      *wire.KWh    // of the session that is asked for; nil: none
	limitCost     *wire.Money  // likewise
	// seenEvents holds the event_ids of the service's messages: central-events
	// delivers at least once, and a step is reported once.
	seenEvents map[string]struct{}
}

// NewConversation starts a service; newID returns a new message_id at each
// call. No effect is due before the first Step.
func NewConversation(cfg Config, at time.Time, newID func() string) *Conversation {
	c := &Conversation{
		cfg: cfg, newID: newID, deadline: at.Add(cfg.Deadline), downSince: at, seenEvents: map[string]struct{}{},
	}
	c.limitKWh, c.limitCost, _ = cfg.limits() // Validate has checked them
	c.startRequest(wire.DriverAuthorization, at)
	c.requestID = c.pending.id
	return c
}

// Outcome is the result of the service; false while it is not over.
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

// Step applies one event and returns the effects to perform. It is total: any
// event is valid in any phase. After the end it does nothing.
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

// performDue ends the phase or sends what is due at this time.
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
		// Central drops a request that it reads too late, and remembers its id:
		// a retry under the same id would have no effect.
		e.id, e.firstSent = c.newID(), now
	}
	c.inFlightID = e.id
	return append(out, Send{c.buildRequest(e, now)})
}

// startRequest replaces the pending request.
func (c *Conversation) startRequest(kind wire.DriverEventType, at time.Time) {
	c.pending = &pendingRequest{kind: kind, id: c.newID(), nextSend: at}
}

// buildRequest returns the pending request with the present time as its
// timestamp: Central refuses old requests by it, so a retry must not carry the
// first one. A stop request names the session once it is known, the others the
// reservation.
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
	if e.kind == wire.DriverStarted {
		r.LimitKWh, r.LimitCost = c.limitKWh, c.limitCost
	}
	if e.kind == wire.DriverStop && c.session != "" {
		r.ReservationID, r.SessionID = "", c.session
	}
	return r
}

// onLink records whether Kafka is reachable.
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

// onSent applies the result of the Send in flight. A success schedules the next
// retry of a message that still waits for its effect, a failure the next
// attempt.
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

// reportDown informs the driver, once per outage.
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

// reportUp ends an outage: a message that failed is due at once.
func (c *Conversation) reportUp(now time.Time) []Effect {
	from, reported := c.downSince, c.downReported
	c.downSince, c.downReported = time.Time{}, false
	if c.pending != nil && c.pending.failures > 0 { // Kafka is back: skip the back-off
		c.pending.nextSend = now
	}
	if !reported {
		return nil
	}
	return []Effect{c.report(now, StepKafkaBack, "Kafka answers after "+now.Sub(from).Round(time.Second).String())}
}

// giveUp ends the service because its phase has no time left. The result names
// the part that did not answer.
func (c *Conversation) giveUp(now time.Time) []Effect {
	switch {
	case c.phase == phaseAsking && !c.downSince.IsZero():
		return c.finish(c.report(now, StepGivenUp, "Kafka did not answer within "+c.cfg.Deadline.String()+"; is its address right, and does it run?"), Unreached)
	case c.phase == phaseAsking:
		return c.finish(c.report(now, StepGivenUp, "Central did not answer within "+c.cfg.Deadline.String()+"; is it running?"), TimedOut)
	case c.phase == phaseAuthorized:
		return c.finish(c.report(now, StepGivenUp, "the reservation is over and Central reported nothing about it"), TimedOut)
	}
	return c.finish(c.report(now, StepGivenUp, "Central reported nothing about the session for "+c.cfg.SessionTimeout.String()+"; the ticket is kept by Central"), TimedOut)
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
