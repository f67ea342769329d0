package orders

import (
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Pauses before a command that did not succeed is issued again for the same
// desired state.
const (
	retrySoon  = time.Second      // superseded or expired: the desired state was not refused
	retryLater = 10 * time.Second // refused, or expired by a clock that is ahead: it stays desired
)

// subject is what a command concerns.
//
// Invariant: at most one open command per type, connector and subject.
type subject struct {
	reservation charge.ReservationID
	session     charge.SessionID
	message     string
}

// issue creates a command and sends it for the first time. It returns nil if one
// for the same subject is open, if notBefore has not passed yet, or if the charging
// point is offline: its next boot would not execute the command.
func (x *step) issue(cp *ledger.CP, connector charge.ConnectorID, o wire.Order, about subject) *Command {
	p := x.s.point(cp.ID)
	kind := o.CommandType()
	for _, c := range p.commands {
		if c.Type == kind && c.Connector == connector && c.ReservationID == about.reservation && c.SessionID == about.session &&
			c.MessageID == about.message {
			return nil
		}
	}
	if x.At < p.notBefore[paceKey{connector, kind}] || x.v.Liveness(cp.ID, x.At) == ledger.Offline {
		return nil
	}
	data, err := wire.EncodeOrder(o)
	if err != nil {
		return nil // cannot happen: ids and times are Central's own
	}
	t := Target{cp.ID, connector}
	x.s.numbers[t]++
	life := wire.MaxCommandLife
	if kind == wire.CommandReserve {
		life = wire.ReserveLife
	}
	if kind == wire.CommandAuthorize {
		life = wire.AuthorizeLife
	}
	c := &Command{
		ID: charge.CommandID(x.IDs()), N: x.s.numbers[t], Central: cp.Epoch(x.s.self), Journal: cp.CurrentJournal, CPID: cp.ID, Connector: connector,
		Type: kind, Data: data, ReservationID: about.reservation, SessionID: about.session, MessageID: about.message,
		IssuedAt: x.At, ExpiresAt: x.At.Add(life), State: Written, ChangedAt: x.At,
	}
	p.commands[c.ID] = c
	x.send(c)
	return c
}

// send sends a command: 0, 1, 2, 4, 8 … s after it was issued, and not at or after
// its expiry.
func (x *step) send(c *Command) {
	c.NextSendAt = c.IssuedAt.Add(time.Second << min(c.SendCount, 30))
	c.SendCount++
	if c.NextSendAt <= x.At { // several were missed: count on from now
		c.NextSendAt = x.At.Add(time.Second)
	}
	if c.NextSendAt >= c.ExpiresAt {
		c.NextSendAt = 0
	}
	x.emit(SaveCommand{*c})
	x.emit(SendCommand{c.Message(x.At)})
}

// sendDue sends the commands that are due and not accepted yet.
func (x *step) sendDue(p *point) {
	for _, c := range byIssued(p.commands) {
		if c.State != Accepted && c.NextSendAt != 0 && c.NextSendAt <= x.At && x.At < c.ExpiresAt {
			x.send(c)
		}
	}
}

// sendAgain makes open commands due now, because the charging point is back.
// Those that were sent only once are on their way.
func (x *step) sendAgain(id charge.CPID) {
	p := x.s.points[id]
	if p == nil {
		return
	}
	for _, c := range p.commands {
		if c.State != Accepted && c.SendCount > 1 {
			c.NextSendAt = x.At
		}
	}
}

// commandSent notes that Kafka acknowledged a command.
func (x *step) commandSent(e CommandSent) {
	p := x.s.points[e.CPID]
	if p == nil {
		return
	}
	if c := p.commands[e.CommandID]; c != nil && c.State == Written {
		c.State, c.ChangedAt = Sent, x.At
		x.emit(SaveCommand{*c})
	}
}

// endCommand ends a command in a final state.
func (x *step) endCommand(c *Command, s CommandState, reason string) {
	c.State, c.Reason, c.ChangedAt, c.NextSendAt = s, reason, x.At, 0
	delete(x.s.point(c.CPID).commands, c.ID)
	x.emit(SaveCommand{*c})
}

// endCommandsOfOtherBoots ends the commands for boots that are not the current
// one: an agent ignores commands for another boot.
func (x *step) endCommandsOfOtherBoots(cp *ledger.CP) {
	p := x.s.points[cp.ID]
	if p == nil {
		return
	}
	for _, c := range byIssued(p.commands) {
		if c.Journal != cp.CurrentJournal {
			x.endCommand(c, Superseded, EndReboot)
		}
	}
}

// commandAccepted reacts to a command_accepted. The command may be unknown here: the
// database was restored from a backup, or the command had expired. It is then
// added, so that its result finds it.
func (x *step) commandAccepted(e RecordReceived) {
	cmd := e.Outcome.Command
	if cmd == nil {
		return
	}
	if x.fenced() {
		return
	}
	p := x.s.point(e.CPID)
	c := p.commands[cmd.ID]
	order, err := cmd.Order()
	if err != nil || !e.Outcome.Current {
		return
	}
	if c == nil {
		if old, known := x.v.Command(cmd.ID); known && old.CPID != e.CPID {
			return // a command of another charging point has this id
		}
		c = &Command{
			ID: cmd.ID, N: cmd.N, Central: cmd.Central, Journal: cmd.Journal, CPID: e.CPID, Connector: cmd.Connector, Type: cmd.Type,
			Data: cmd.Data, IssuedAt: cmd.IssuedAt, ExpiresAt: cmd.ExpiresAt, SendCount: 1,
		}
		c.ReservationID, c.SessionID = subjectOf(order)
		p.commands[c.ID] = c
	}
	c.State, c.ChangedAt, c.NextSendAt = Accepted, x.At, 0
	x.emit(SaveCommand{*c})
	switch o := order.(type) {
	case *wire.Reserve:
		if r := x.s.reservations[o.ReservationID]; r != nil {
			x.confirm(r)
		}
	case *wire.Start:
		x.adoptStart(p, c, o)
	case *wire.SetLocalList:
		x.listAccepted(e, o)
	}
}

// subjectOf returns the reservation and the session that a command concerns.
func subjectOf(o wire.Order) (charge.ReservationID, charge.SessionID) {
	switch o := o.(type) {
	case *wire.Reserve:
		return o.ReservationID, ""
	case *wire.CancelReservation:
		return o.ReservationID, ""
	case *wire.Start:
		return o.ReservationID, o.SessionID
	case *wire.Stop:
		return "", o.SessionID
	case *wire.Authorize:
		return "", o.SessionID
	}
	return "", ""
}

// commandFinished reacts to a command_finished. The result of a command that is
// not open any more is ignored: a later command for its subject decides.
func (x *step) commandFinished(e RecordReceived, f *wire.CommandFinished) {
	p := x.s.points[e.CPID]
	if p == nil {
		return
	}
	c := p.commands[f.CommandID]
	if c == nil {
		return
	}
	state := map[wire.CommandResult]CommandState{
		wire.ResultDone: Done, wire.ResultFailed: Failed, wire.ResultRejected: Rejected, wire.ResultExpired: Expired,
	}[f.Result]
	if f.Reason == wire.ReasonSuperseded { // rejected or failed because of a later command
		state = Superseded
	}
	x.endCommand(c, state, f.Reason)
	refused := state == Rejected || state == Failed
	if repeated(c.Type) && (state == Superseded || state == Expired) {
		pause := retrySoon
		if state == Expired && x.At < c.ExpiresAt { // the charging point's clock is ahead: the next command expires too
			pause = retryLater
		}
		p.notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(pause)
	}
	x.applyResult(p, c, state, refused)
}

// repeated reports whether Central issues commands of a type until a desired state is
// reached. One of another type answers a person or a card once: it needs no pause, and a
// pause would refuse the next one.
func repeated(t wire.CommandType) bool {
	switch t {
	case wire.CommandSimulate, wire.CommandUnlock, wire.CommandReset, wire.CommandIdentify, wire.CommandAuthorize:
		return false
	case wire.CommandReserve, wire.CommandCancel, wire.CommandStart, wire.CommandStop, wire.CommandSetAvailability,
		wire.CommandSetLimit, wire.CommandSetLocalList:
	}
	return true
}

// applyResult applies the end of a command to the desired state it was issued for.
func (x *step) applyResult(p *point, c *Command, state CommandState, refused bool) {
	switch c.Type {
	case wire.CommandReserve, wire.CommandCancel:
		if r := x.s.reservations[c.ReservationID]; r != nil {
			x.applyReservationResult(r, c, state, refused)
		}
	case wire.CommandStart:
		if d := p.desired[desiredKey{kind: DesiredStart, session: c.SessionID}]; d != nil && refused {
			x.endDesired(p, d, c.Reason)
		}
	case wire.CommandStop:
		if d := p.desired[desiredKey{kind: DesiredStop, session: c.SessionID}]; d != nil && (refused || state == Done) {
			x.endDesired(p, d, outcomeOf(state, c.Reason))
		}
	case wire.CommandSetAvailability:
		if refused {
			p.notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(retryLater)
		}
	case wire.CommandSimulate:
		if refused {
			x.publishSimulationRefused(c)
		}
	case wire.CommandSetLocalList:
		if refused {
			x.listRefused(p, c)
		}
	case wire.CommandSetLimit:
		x.limitResult(c, state)
	case wire.CommandUnlock, wire.CommandReset, wire.CommandIdentify, wire.CommandAuthorize:
	}
}

// applyReservationResult applies the end of a RESERVE or CANCEL_RESERVATION to its
// reservation. A refused CANCEL means that the charging point does not hold it.
func (x *step) applyReservationResult(r *Reservation, c *Command, state CommandState, refused bool) {
	switch {
	case c.Type == wire.CommandReserve && refused:
		r.Released = true
		x.endReservation(r, c.Reason)
		x.forgetIfReleased(r)
	case c.Type == wire.CommandReserve && state == Done:
		x.confirm(r)
	case c.Type == wire.CommandCancel && (refused || state == Done):
		x.markReleased(r)
	}
}

// outcomeOf is the outcome of a desired state whose command ended so.
func outcomeOf(s CommandState, reason string) string {
	if s == Done || reason == "" {
		return string(s)
	}
	return reason
}
