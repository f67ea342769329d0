package connector

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// command decides a command by its content. That it is for this boot, in order
// and not a duplicate was decided before (package delivery).
//
// Each command ends with exactly one command_finished; what has an effect is
// accepted before. Repeated orders are idempotent: the wanted state is done.
func (t *transition) command(e CommandReceived) {
	switch o := e.Order.(type) {
	case *wire.Reserve:
		t.ifFresh(e, func() { t.reserve(e, *o) })
	case *wire.CancelReservation:
		t.ifFresh(e, func() { t.cancel(e, o.ReservationID) })
	case *wire.Start:
		t.ifFresh(e, func() { t.start(e, *o) })
	case *wire.Authorize:
		t.ifFresh(e, func() { t.cardAuthorized(e, *o) })
	case *wire.Stop:
		t.ifFresh(e, func() { t.stop(e, *o) })
	case *wire.SetAvailability:
		t.ifFresh(e, func() { t.setAvailability(e, o.Available) })
	case *wire.Reset:
		t.ifFresh(e, func() { t.resetFaults(e) })
	case *wire.Unlock:
		t.ifFresh(e, func() { t.unlock(e) })
	default:
		t.refuse(e, "unsupported")
	}
}

// ifFresh executes do, unless the command expired while it waited or the agent
// is stopping.
func (t *transition) ifFresh(e CommandReceived, do func()) {
	switch {
	case e.Expires > 0 && t.now.At >= e.Expires:
		t.finish(e, wire.ResultExpired, "expired")
	case t.s.Phase != PhaseRunning:
		t.refuse(e, "stopping")
	default:
		do()
	}
}

func (t *transition) accept(e CommandReceived) {
	if !e.AllConnectors {
		t.record("", &wire.CommandAccepted{Command: json.RawMessage(e.Raw)})
	}
}

func (t *transition) finish(e CommandReceived, r wire.CommandResult, reason string) {
	if e.AllConnectors {
		return
	}
	p := &wire.CommandFinished{CommandID: e.ID, Result: r, Reason: reason}
	if e.Order != nil {
		p.Command = e.Order.CommandType()
	}
	t.record("", p)
}

func (t *transition) refuse(e CommandReceived, reason string) {
	t.finish(e, wire.ResultRejected, reason)
}

func (t *transition) done(e CommandReceived, reason string) { t.finish(e, wire.ResultDone, reason) }

// refusal is why neither a reservation nor a session can begin; empty if they
// can. With replaced, the held reservation is about to be replaced: a pending
// start that waits for it does not occupy the connector.
func (t *transition) refusal(replaced bool) string {
	switch s := &t.s; {
	case !s.Faults.Empty():
		return "faulted"
	case s.Unavailable:
		return "unavailable"
	case s.Session.ID != "", s.Pending.Session != "" && (!replaced || s.Pending.Reservation != s.Reservation.ID):
		return "occupied"
	case s.StorageFull:
		return "storage_full"
	}
	return ""
}

func (t *transition) reserve(e CommandReceived, o wire.Reserve) {
	left := reservedFor(&o, e.SentAt)
	r := t.s.Reservation
	replaced := r.ID != "" && slices.Contains(o.Replaces, r.ID)
	refused := t.refusal(replaced)
	switch {
	case r.ID == o.ReservationID:
		t.accept(e)
		t.done(e, "")
		return
	case refused == "" && r.ID != "" && !replaced:
		refused = "reserved"
	}
	switch {
	case refused != "":
		t.refuse(e, refused)
		return
	case left <= 0, t.now.Clock == charge.ClockSynced && t.now.Wall.Sub(o.Until) > clockSkew:
		t.finish(e, wire.ResultExpired, "expired")
		return
	}
	t.accept(e)
	t.endReservation(charge.ReservationCancelled) // the replaced one
	t.s.Reservation = Reservation{
		ID: o.ReservationID, Username: o.Username, Until: o.Until, Tariff: o.Tariff, EndsAt: t.now.At + left,
	}
	t.done(e, "")
}

// reservedFor is how long a RESERVE that was sent at a moment keeps the connector; not
// above 0: it is over.
func reservedFor(o *wire.Reserve, sentAt charge.Time) time.Duration {
	return min(o.Until.Sub(sentAt), ReserveAtMost)
}

func (t *transition) cancel(e CommandReceived, id charge.ReservationID) {
	switch {
	case id == t.s.Reservation.ID && id != "":
		t.accept(e)
		t.endReservation(charge.ReservationCancelled)
		t.done(e, "")
	case id == t.s.Session.Reservation && id != "":
		t.done(e, "used")
	default:
		t.done(e, "unknown")
	}
}

func (t *transition) start(e CommandReceived, o wire.Start) {
	s := &t.s
	limit := charge.SessionLimit{Energy: o.Limit, Amount: o.LimitAmount}
	switch {
	case s.Session.ID == o.SessionID && s.Session.Ending.Reason == "":
		t.accept(e)
		t.done(e, "")
		return
	case s.Pending.Session == o.SessionID:
		t.replaceStartCommand(e)
		s.Pending.Limit = limit
		return
	}
	r := s.Reservation
	refused := t.refusal(false)
	switch {
	case refused != "":
	case o.ReservationID != "" && o.ReservationID != r.ID:
		refused = "not_reserved"
	case o.ReservationID != "" && o.Username != r.Username:
		refused = "not_yours"
	case r.ID != "" && o.Username != r.Username:
		refused = "reserved"
	}
	if refused != "" {
		t.refuse(e, refused)
		return
	}
	t.beginStart(PendingStart{
		Session: o.SessionID, Username: o.Username, Reservation: r.ID, Tariff: o.Tariff, Command: e.ID, Raw: e.Raw,
		Limit: limit,
	})
}

// replaceStartCommand replaces the command of the pending start by a later one
// for the same session. The earlier command fails as superseded.
func (t *transition) replaceStartCommand(e CommandReceived) {
	p := &t.s.Pending
	if p.Command != "" {
		t.record("", &wire.CommandFinished{
			CommandID: p.Command, Command: p.commandType(), Result: wire.ResultFailed, Reason: wire.ReasonSuperseded,
		})
	}
	p.Command, p.Raw, p.Authorize = e.ID, "", false
	t.accept(e)
}

func (t *transition) stop(e CommandReceived, o wire.Stop) {
	id := o.SessionID
	switch s := &t.s; {
	case id == s.Session.ID && s.Session.Ending.Reason == "":
		t.accept(e)
		s.Session.Ending.Command = e.ID
		t.beginEnding(cmp.Or(o.Reason, charge.StopRemote))
	case id == s.Session.ID:
		t.done(e, "already_ending")
	case id == s.Pending.Session:
		t.accept(e)
		t.endStart("stopped")
		t.done(e, "")
	default:
		t.done(e, "already_ended")
	}
}

func (t *transition) setAvailability(e CommandReceived, available bool) {
	t.accept(e)
	t.reset = available && t.s.Unavailable
	t.s.Unavailable = !available
	if !available {
		t.endReservation(charge.ReservationUnavailable)
		t.endStart("unavailable")
		t.beginEnding(charge.StopRemote)
	}
	t.done(e, "")
}

// resetFaults asks the safety rules to end what latched and is over. What then ends
// is recorded as fault_cleared.
func (t *transition) resetFaults(e CommandReceived) {
	t.accept(e)
	t.reset = true
	t.done(e, "")
}

// unlock ends what holds the cable, and moves the bolt once more. The safety rules
// release it when the contactor is open.
func (t *transition) unlock(e CommandReceived) {
	switch s := &t.s; {
	case !s.Policy.Lock:
		t.refuse(e, "no_lock")
		return
	case s.Faults.Has(charge.FaultContactorWelded):
		t.refuse(e, "welded")
		return
	}
	t.accept(e)
	t.endStart("stopped")
	t.beginEnding(charge.StopRemote)
	t.release = true
	t.done(e, "")
}

// endReservation ends the held reservation, if there is one, and the pending
// start that waits for it.
func (t *transition) endReservation(why charge.ReservationEnd) {
	r := t.s.Reservation
	if r.ID == "" {
		return
	}
	t.s.Reservation = Reservation{}
	t.record("", &wire.ReservationEnded{ReservationID: r.ID, Reason: why, Username: r.Username})
	if t.s.Pending.Reservation == r.ID {
		reason := string(why)
		if why == charge.ReservationExpired && !t.s.Plugged {
			reason = "not_plugged"
		}
		t.endStart(reason)
	}
}
