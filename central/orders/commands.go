package orders

import (
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Paces: after what time an order that did not get its way is given again.
const (
	retrySoon  = time.Second      // superseded or expired: nothing is said about the wish
	retryLater = 10 * time.Second // availability refused: wanted until it is so
)

// subject is what a command is about; there is at most one open command of a
// type for each.
type subject struct {
	reservation charge.ReservationID
	session     charge.SessionID
	message     string
}

// issue writes a command down and sends it for the first time, unless one of
// its kind is under way, or the charging point cannot be there.
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
		return nil // our own ids and times: cannot be refused
	}
	t := Target{cp.ID, connector}
	x.s.numbers[t]++
	life := wire.MaxCommandLife
	if kind == wire.CommandReserve {
		life = wire.ReserveLife
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

// send hands a command to Kafka once more: 0, 1, 2, 4, 8 … s after it was written.
// It is written until Kafka has it: see commandSent.
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

func (x *step) sendDue(p *point) {
	for _, c := range byIssued(p.commands) {
		if c.State != Accepted && c.NextSendAt != 0 && c.NextSendAt <= x.At && x.At < c.ExpiresAt {
			x.send(c)
		}
	}
}

// sendAgain makes what is under way due now: the charging point is back.
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

// commandSent takes in that Kafka has a command.
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

// endCommand closes a command's life.
func (x *step) endCommand(c *Command, s CommandState, reason string) {
	c.State, c.Reason, c.ChangedAt, c.NextSendAt = s, reason, x.At, 0
	delete(x.s.point(c.CPID).commands, c.ID)
	x.emit(SaveCommand{*c})
}

// endCommandsOfOtherBoots ends the orders for boots that are not the present one: they
// cannot have an effect any more.
func (x *step) endCommandsOfOtherBoots(cp *ledger.CP) {
	p := x.s.points[cp.ID]
	if p == nil {
		return
	}
	for _, c := range byIssued(p.commands) {
		if c.Journal != cp.CurrentJournal {
			x.endCommand(c, Superseded, "the charging point started anew")
		}
	}
}

// commandAccepted takes in a command_accepted, also of a command this Central does not
// know (it was restored from a copy, or took it for expired).
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
			return // an id of another charging point's: that command is not this one
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
	}
}

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
	}
	return "", ""
}

// commandFinished takes in a command_finished. Only the latest order of a wish decides
// about it: earlier ones are not open any more.
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
	if f.Reason == wire.ReasonSuperseded { // rejected, or failed because a later order took its place
		state = Superseded
	}
	x.endCommand(c, state, f.Reason)
	refused := state == Rejected || state == Failed
	if state == Superseded || state == Expired {
		p.notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(retrySoon)
	}
	x.applyResult(p, c, state, refused)
}

// applyResult tells the wish behind a command how it ended.
func (x *step) applyResult(p *point, c *Command, state CommandState, refused bool) {
	switch c.Type {
	case wire.CommandReserve, wire.CommandCancel:
		if r := x.s.reservations[c.ReservationID]; r != nil {
			x.applyReservationResult(r, c, state, refused)
		}
	case wire.CommandStart:
		if w := p.desired[desiredKey{kind: DesiredStart, session: c.SessionID}]; w != nil && refused {
			x.endDesired(p, w, c.Reason)
		}
	case wire.CommandStop:
		if w := p.desired[desiredKey{kind: DesiredStop, session: c.SessionID}]; w != nil && (refused || state == Done) {
			x.endDesired(p, w, outcomeOf(state, c.Reason))
		}
	case wire.CommandSetAvailability:
		if refused {
			p.notBefore[paceKey{c.Connector, c.Type}] = x.At.Add(retryLater)
		}
	case wire.CommandSimulate:
		x.publishSimulationRefused(c, refused)
	case wire.CommandSetLimit, wire.CommandUnlock, wire.CommandReset, wire.CommandSetLocalList, wire.CommandAuthorize:
	}
}

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

func outcomeOf(s CommandState, reason string) string {
	if s == Done || reason == "" {
		return string(s)
	}
	return reason
}
