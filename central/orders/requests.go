package orders

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// answerTimeout is the longest time from reading a request to its answer. The
// protocol allows 5 s; the rest is for the transport.
const answerTimeout = 4800 * time.Millisecond

// After the start of Central, charging points may not have connected yet: for
// startupPeriod a request without a connector is tried again each startupRetry.
const (
	startupPeriod = 10 * time.Second
	startupRetry  = 250 * time.Millisecond
)

// driverRequest handles one message of a driver. A message whose key is known gets
// the same answer again, and has no second effect.
func (x *step) driverRequest(e DriverRequestReceived) {
	q := e.Request
	age, old := x.requestAge(e)
	was := cmp.Or(x.s.requests[RequestKey{q.Username, q.MessageID}], e.Previous)
	answered := was != nil && was.Answer != nil
	switch {
	case x.fenced():
		if was == nil || was.Ignored {
			x.recordWhileFenced(q)
		}
		return
	case was != nil && !was.hasType(q.EventType):
		if !old {
			x.refuseReused(q, was)
		}
		return
	case answered:
		x.emit(PublishEvent{*was.Answer})
		return
	case was != nil && !was.Ignored:
		return // a pending one is answered when it is decided
	}
	// A message that is known without an answer was too old and had no effect. The
	// driver may repeat it with a new timestamp.
	switch {
	case old:
		x.emit(CountRefusal{Unanswered})
		x.emit(SaveRequest{x.newRequest(q, true)})
	case e.InvalidReason != "":
		x.refuse(q, wire.RefusedInvalid, e.InvalidReason)
	case age > millis(wire.MaxRequestAge):
		x.refuse(q, wire.RefusedStale, "the request is older than a minute; ask again, and see that your clock is right")
	case age < -millis(wire.MaxClockError):
		x.refuse(q, wire.RefusedInvalid, "field timestamp: lies more than a minute ahead; set the clock")
	case e.NameError != "" && !x.hasReservationOrSession(q):
		x.refuse(q, wire.RefusedInvalid, e.NameError)
	case q.Username != "" && x.s.cfg.Drivers != nil && !slices.Contains(x.s.cfg.Drivers, q.Username):
		x.refuse(q, wire.RefusedUnknownDriver, "this driver is not on the list")
	default:
		x.serve(q)
	}
}

// hasReservationOrSession reports whether a request to start or stop comes from a
// driver with a reservation or session. Such a driver is served even under a name
// that would be refused today.
func (x *step) hasReservationOrSession(q wire.DriverRequest) bool {
	if q.EventType != wire.DriverStop && q.EventType != wire.DriverStarted {
		return false
	}
	for _, r := range x.s.reservations {
		if r.Username == q.Username && r.Active(x.At) {
			return true
		}
	}
	for cp := range x.v.CPs() {
		for _, s := range cp.Sessions {
			if s.Username == q.Username && s.State == ledger.SessionOpen {
				return true
			}
		}
	}
	return false
}

// requestAge returns how old a request is, in ms: by its own timestamp, or by
// Kafka's if that cannot be decoded. (As a time.Duration the year 9999 would
// overflow.) If the request certainly came into Kafka within the last minute, by
// Central's own clock, the driver's clock may be behind by MaxClockError. A log
// that is read again gets no such allowance. If old, the request is not answered.
func (x *step) requestAge(e DriverRequestReceived) (age charge.Time, old bool) {
	at := e.Request.Timestamp.Time()
	if at == 0 && e.InvalidReason != "" {
		at = e.LoggedAt
	}
	age = x.At - at
	if e.LoggedAfter != 0 && x.At-e.LoggedAfter <= millis(wire.MaxRequestAge) {
		if age > 0 {
			age = max(age-millis(wire.MaxClockError), 0)
		}
		return age, false
	}
	return age, age > millis(wire.MaxAnswerAge)
}

// millis converts a duration to the unit of charge.Time.
func millis(d time.Duration) charge.Time { return charge.Time(d.Milliseconds()) }

// answerReceived stores an answer that another run of Central gave. The request
// had its effect, so when it is read again it gets the same answer and is not
// served.
func (x *step) answerReceived(e AnswerReceived) {
	if e.Known || e.Answer.Reason == wire.RefusedReused { // the answer to a second use of the message_id, and no answer to the first
		return
	}
	q := x.s.requests[RequestKey{e.Answer.Username, e.Answer.MessageID}]
	if q == nil {
		q = &Request{
			MessageID: e.Answer.MessageID, Username: e.Answer.Username, ClientID: e.Answer.ClientID, CPID: e.Answer.CPID,
			ReadAt: x.At, AnswerBy: x.At,
		}
	}
	delete(x.s.requests, q.Key())
	q.Answer = &e.Answer
	x.emit(SaveRequest{*q})
}

// serve handles a valid request by its type.
func (x *step) serve(q wire.DriverRequest) {
	switch q.EventType {
	case wire.DriverAuthorization:
		x.authorize(q)
	case wire.DriverStarted:
		x.desireStartFor(q)
	case wire.DriverStop:
		x.stopSessions(q)
	case wire.DriverSimulateError, wire.DriverFixError:
		x.simulateForDriver(q)
	default:
		x.refuse(q, wire.RefusedInvalid, fmt.Sprintf("field event_type: %.64q is unknown; one of %q is expected", q.EventType, wire.DriverEventTypes()))
	}
}

// newRequest returns the Request for a message that is read now.
func (x *step) newRequest(q wire.DriverRequest, ignored bool) Request {
	r := Request{
		MessageID: q.MessageID, EventType: q.EventType, Username: q.Username, ClientID: q.ClientID, ReadAt: x.At,
		AnswerBy: x.At.Add(answerTimeout), Ignored: ignored,
	}
	if q.CPID != nil {
		r.CPID = *q.CPID
	}
	return r
}

// refuse answers a request at once with a refusal and an explanation, and stores
// the answer for repeats. After maxRefusals a driver gets no more answers for a
// while, so that a faulty client does not fill the topic.
func (x *step) refuse(q wire.DriverRequest, reason, message string) {
	if left := x.countUnusable(q.Username); x.reportRefusal(reason, left) {
		r := x.newRequest(q, false)
		x.finish(&r, x.refusal(&r, reason, withLastNote(message, left)))
	}
}

// maxRefusals is how many messages that cannot be used are answered per driver
// within refusalPeriod. maxRefusedDrivers bounds the memory for counting; beyond
// it all counts restart.
const (
	maxRefusals       = 30
	refusalPeriod     = time.Minute
	maxRefusedDrivers = 10_000
)

// countUnusable counts a message that cannot be used, and returns how many more of
// its driver are answered; below zero not even this one.
func (x *step) countUnusable(user charge.Username) (left int) {
	s := x.s
	if x.At < s.refusedSince || x.At >= s.refusedSince.Add(refusalPeriod) || len(s.refusals) >= maxRefusedDrivers {
		clear(s.refusals)
		s.refusedSince = x.At
	}
	s.refusals[user]++
	return maxRefusals - s.refusals[user]
}

// reportRefusal emits the count of a refusal, and reports whether it is answered.
func (x *step) reportRefusal(reason string, left int) bool {
	if left < 0 {
		reason = Unanswered
	}
	x.emit(CountRefusal{reason})
	return left >= 0
}

// withLastNote adds to the last refusal that is answered that it is the last one.
func withLastNote(message string, left int) string {
	if left == 0 {
		message += "; what else cannot be used is not answered for a minute"
	}
	return message
}

// refusal returns the answer that refuses a request.
func (x *step) refusal(q *Request, reason, message string) wire.CentralEvent {
	ev := x.newAnswer(q)
	ev.Reason, ev.Message = reason, message
	if q.EventType == wire.DriverAuthorization {
		no := false
		ev.Authorized = &no
	}
	return ev
}

// refuseReused refuses a request whose message_id was used for a request of another
// type. The refusal is not stored: the first request keeps its answer.
func (x *step) refuseReused(q wire.DriverRequest, was *Request) {
	r := x.newRequest(q, false)
	first := string(was.EventType)
	if first == "" {
		first = "request answered with " + string(was.Answer.EventType)
	}
	message := fmt.Sprintf("message_id %.128q was used before, for another %s; use a new one for each request", q.MessageID, first)
	if left := x.countUnusable(q.Username); x.reportRefusal(wire.RefusedReused, left) {
		x.emit(PublishEvent{x.refusal(&r, wire.RefusedReused, withLastNote(message, left))})
	}
}

// recordWhileFenced stores a request that is read while this Central is fenced. The
// other Central may have served it with an effect that is not known here. After
// the fence is lifted, a repeat is therefore refused.
func (x *step) recordWhileFenced(q wire.DriverRequest) {
	r := x.newRequest(q, false)
	no := x.refusal(&r, wire.RefusedStale, "another Central was in charge when this request was first read; ask again with a new message_id")
	r.Answer = &no
	x.emit(SaveRequest{r})
}

// finish answers a request, and stores the answer for repeats.
func (x *step) finish(q *Request, ev wire.CentralEvent) {
	delete(x.s.requests, q.Key())
	q.Answer = &ev
	x.emit(SaveRequest{*q})
	x.emit(PublishEvent{ev})
}

// answerType returns the type of the answer to a type of request.
func answerType(t wire.DriverEventType) wire.CentralEventType {
	switch t {
	case wire.DriverAuthorization:
		return wire.CentralAuthorization
	case wire.DriverStop:
		return wire.CentralStopResponse
	case wire.DriverStarted, wire.DriverSimulateError, wire.DriverFixError:
	}
	return wire.CentralNotice
}

// answerID derives the event_id of an answer from what names the request, so
// that it is the same when the answer is repeated and no other request has it.
func answerID(user charge.Username, message string, t wire.DriverEventType) string {
	// Hashed, because user and message may contain any character.
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", user, message, t))
	return "a." + hex.EncodeToString(sum[:16])
}

// newAnswer returns the answer to a request, without its content.
func (x *step) newAnswer(q *Request) wire.CentralEvent {
	return wire.CentralEvent{
		EventID: answerID(q.Username, q.MessageID, q.EventType), EventType: answerType(q.EventType), MessageID: q.MessageID, ClientID: q.ClientID, Username: q.Username, CPID: q.CPID,
		Timestamp: wire.Seconds(x.At),
	}
}

// authorize serves an AUTHORIZATION_REQUEST. The request is pending before assign
// runs, because the reservation may be confirmed or end within the same step.
func (x *step) authorize(q wire.DriverRequest) {
	r := x.newRequest(q, false)
	x.s.requests[r.Key()] = &r
	x.assign(&r)
}

// assign finds a reservation for a request. A driver with as many reservations as
// allowed gets an existing one again.
func (x *step) assign(q *Request) {
	held := x.existingReservation(q)
	switch {
	case held == nil:
		x.tryNext(q)
	case held.ConfirmedAt != 0:
		x.finish(q, x.grantedAnswer(q, held))
	default: // another request waits for its confirmation: wait with that one
		q.ReservationID, q.TriedAt = held.ID, 0
		x.emit(SaveRequest{*q})
	}
}

// existingReservation finds the reservation that a request gets again: the driver's
// at the requested charging point; else, if the driver may have no more, the
// newest.
func (x *step) existingReservation(q *Request) *Reservation {
	var same, newest *Reservation
	n := 0
	for _, r := range x.s.reservations {
		if r.Username != q.Username || !r.Active(x.At) {
			continue
		}
		n++
		if q.CPID == r.CPID && (same == nil || same.ID > r.ID) {
			same = r
		}
		if newest == nil || r.MadeAt > newest.MadeAt || r.MadeAt == newest.MadeAt && r.ID > newest.ID {
			newest = r
		}
	}
	switch {
	case same != nil:
		return same
	case n >= x.s.cfg.PerDriver:
		return newest
	}
	return nil
}

// grantedAnswer returns the answer to a request whose reservation is confirmed.
func (x *step) grantedAnswer(q *Request, r *Reservation) wire.CentralEvent {
	yes, until := true, wire.Seconds(r.Until)
	ev := x.newAnswer(q)
	ev.Authorized, ev.CPID, ev.Connector, ev.ReservationID, ev.ExpiresAt = &yes, r.CPID, r.Connector, r.ID, &until
	return ev
}

// tryNext reserves the next connector for a request. It refuses the request if
// there is none, if MaxTried were tried, or if its time is over.
func (x *step) tryNext(q *Request) {
	unreachable := len(q.Tried) > 0 // and none of them confirmed
	if len(q.Tried) >= x.s.cfg.MaxTried || x.At >= q.AnswerBy {
		x.refuseRequest(q, wire.RefusedUnreachable)
		return
	}
	t, refusal := x.choose(q, true)
	if refusal != "" && !unreachable && x.atStartup(q, refusal) {
		q.TriedAt = x.At
		x.emit(SaveRequest{*q})
		return
	}
	if refusal != "" {
		if unreachable && x.anyUnresponsive(q) {
			refusal = wire.RefusedUnreachable
		}
		x.refuseRequest(q, refusal)
		return
	}
	q.Tried = append(q.Tried, t)
	q.TriedAt = x.At
	r := x.reserve(t, q.Username, q.MessageID)
	if x.s.requests[q.Key()] == q && r.EndedAt == 0 {
		q.ReservationID = r.ID
		x.emit(SaveRequest{*q})
	}
}

// atStartup reports whether a refusal may only be due to Central's own start:
// charging points are running and have not connected yet. Such a request is tried
// again, as long as there is time left for a charging point to confirm.
func (x *step) atStartup(q *Request, refusal string) bool {
	if x.At >= x.s.firstEventAt.Add(startupPeriod) || x.At.Add(startupRetry+x.s.cfg.ConfirmTimeout) > q.AnswerBy {
		return false
	}
	return refusal == wire.RefusedNoneFree || refusal == wire.RefusedUnreachable || refusal == wire.RefusedUnknownCP
}

// anyUnresponsive reports whether a connector that was tried did not respond; the
// others refused or became unavailable.
func (x *step) anyUnresponsive(q *Request) bool {
	return slices.ContainsFunc(q.Tried, func(t Target) bool { _, yes := x.s.unresponsive[t]; return yes })
}

// refuseRequest answers an AUTHORIZATION_REQUEST with a refusal.
func (x *step) refuseRequest(q *Request, reason string) {
	no := false
	ev := x.newAnswer(q)
	ev.Authorized, ev.Reason, ev.Message = &no, reason, refusalText(reason)
	x.finish(q, ev)
}

// requestDue returns when a pending request needs attention.
func (s *State) requestDue(q *Request) charge.Time {
	if q.sharesReservation() {
		return q.AnswerBy
	}
	if len(q.Tried) == 0 {
		return q.TriedAt.Add(startupRetry)
	}
	return min(q.TriedAt.Add(s.cfg.ConfirmTimeout), q.AnswerBy)
}

// requestTimedOut ends the reservation that was not confirmed in time. Its end
// makes continueWaiting try the next connector.
func (x *step) requestTimedOut(q *Request) {
	if !q.sharesReservation() && len(q.Tried) == 0 {
		x.assign(q)
		return
	}
	r := x.s.reservations[q.ReservationID]
	if r == nil || r.MessageID != q.MessageID { // it belongs to another request
		x.refuseRequest(q, wire.RefusedUnreachable)
		return
	}
	x.s.unresponsive[Target{r.CPID, r.Connector}] = x.At
	x.endReservation(r, string(charge.ReservationCancelled))
	x.reconcile(r.CPID)
}

// answerConfirmed answers all requests that waited for a reservation.
func (x *step) answerConfirmed(r *Reservation) {
	for _, q := range x.waitingFor(r) {
		x.finish(q, x.grantedAnswer(q, r))
	}
}

// waitingFor returns the requests that wait for a reservation: the one it was made
// for first, the others in the order of reading.
func (x *step) waitingFor(r *Reservation) []*Request {
	var list []*Request
	for _, q := range x.s.requests {
		if q.ReservationID == r.ID {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b *Request) int {
		switch {
		case a.MessageID == r.MessageID:
			return -1
		case b.MessageID == r.MessageID:
			return 1
		}
		return int(a.ReadAt - b.ReadAt)
	})
	return list
}

// continueWaiting handles the requests that waited for a reservation which ended
// before it was confirmed. The request that it was made for tries the next
// connector; the others wait with it, or get the same result.
func (x *step) continueWaiting(r *Reservation) {
	list := x.waitingFor(r)
	if len(list) == 0 {
		return
	}
	first := list[0]
	for _, q := range list {
		q.ReservationID = ""
	}
	if first.MessageID == r.MessageID {
		x.tryNext(first)
	} else {
		x.refuseRequest(first, wire.RefusedUnreachable)
	}
	for _, q := range list[1:] {
		switch {
		case first.Answer == nil:
			q.ReservationID = first.ReservationID
			x.emit(SaveRequest{*q})
		case first.Answer.Authorized != nil && *first.Answer.Authorized:
			if won := x.s.reservations[first.ReservationID]; won != nil {
				q.ReservationID = won.ID
				x.finish(q, x.grantedAnswer(q, won))
			}
		default:
			x.refuseRequest(q, first.Answer.Reason)
		}
	}
}

// desireStartFor serves a driver's "charging_started". Despite its name it is only
// the desire to start at a reservation; that charging started is reported by the
// charging point alone.
func (x *step) desireStartFor(q wire.DriverRequest) {
	r := x.newRequest(q, false)
	r.CPID = x.chargingPointOf(q)
	ev := x.newAnswer(&r)
	held := x.reservationAt(r.CPID, q.Username)
	if q.ReservationID != "" {
		held = x.s.reservations[q.ReservationID]
		if held != nil && (held.Username != q.Username || held.CPID != r.CPID || !held.Active(x.At)) {
			held = nil
		}
	}
	var prices ledger.Tariff
	var limit charge.SessionLimit // that the session has, or is to have
	session := x.sessionAt(r.CPID, q.Username)
	switch {
	case held != nil:
		prices = x.v.TariffOf(held.Tariff, x.At)
	case session != nil:
		prices, limit = x.v.TariffOf(session.Tariff, session.AuthorizedAt), session.Limit
		ev.Message = "you are charging there already"
	default:
		ev.Reason, ev.Message = "not_reserved", "you hold no reservation there; ask for one first"
		x.finish(&r, ev)
		return
	}
	wanted, invalid := limitOf(&q, prices)
	if invalid != "" {
		x.refuse(q, wire.RefusedInvalid, invalid)
		return
	}
	full, _ := priced(wanted, prices)
	if held != nil {
		ev.Connector, ev.ReservationID = held.Connector, held.ID
		ev.Message = "the charging point has been asked to start"
		if d := x.s.point(held.CPID).startOf(held.ID); d != nil {
			ev.SessionID, limit = d.SessionID, d.Limit
		} else {
			ev.SessionID, limit = x.desireStart(Target{held.CPID, held.Connector}, q.Username, held, wanted), full
		}
	}
	if wanted != (charge.SessionLimit{}) && full != limit { // one without a limit asks for no other one
		ev.Reason, ev.Message = RefusedLimitDiffers, "the session has been asked for with the limit of this answer; to change it, stop the session or cancel the reservation first"
	}
	showLimit(&ev, limit, prices.Currency)
	x.finish(&r, ev)
}

// reservationAt finds a driver's active reservation at a charging point.
func (x *step) reservationAt(cp charge.CPID, user charge.Username) *Reservation {
	p := x.s.points[cp]
	if p == nil {
		return nil
	}
	for _, r := range byMade(p.reservations) {
		if r.Username == user && r.Active(x.At) {
			return r
		}
	}
	return nil
}

// sessionAt finds a session of a driver at a charging point that has not ended: the one
// at the first connector; nil if there is none.
func (x *step) sessionAt(id charge.CPID, user charge.Username) (first *ledger.Session) {
	cp := x.v.CP(id)
	if cp == nil {
		return nil
	}
	for _, s := range cp.Sessions {
		if s.Username == user && (first == nil || s.Connector < first.Connector || s.Connector == first.Connector && s.ID < first.ID) {
			first = s
		}
	}
	return first
}

// stopSessions serves a STOP_REQUEST. It stops the session that the request names,
// or else all sessions of the driver at the charging point, running or waiting for
// the plug. Without a name, a session that began after the request was written, by
// more than clocks may differ, is not meant.
func (x *step) stopSessions(q wire.DriverRequest) {
	r := x.newRequest(q, false)
	r.CPID = x.chargingPointOf(q)
	named := q.SessionID != "" || q.ReservationID != ""
	latest := q.Timestamp.Time().Add(wire.MaxClockError)
	meant := func(user charge.Username, s charge.SessionID, b charge.ReservationID, began charge.Time) bool {
		return user == q.Username && (q.SessionID == "" || q.SessionID == s) && (q.ReservationID == "" || q.ReservationID == b) && (named || began <= latest)
	}
	var stopped []*Desired
	if cp := x.v.CP(r.CPID); cp != nil {
		for _, s := range running(cp) {
			if meant(s.Username, s.ID, s.ReservationID, believableStart(s.AuthorizedAt, s.FirstSeenAt)) {
				x.desireStop(Target{cp.ID, s.Connector}, s.ID, s.Username, 0)
				stopped = append(stopped, &Desired{Connector: s.Connector, SessionID: s.ID})
			}
		}
	}
	if p := x.s.points[r.CPID]; p != nil {
		for _, d := range byRequested(p.desired) {
			if d.Kind == DesiredStart && meant(d.Username, d.SessionID, d.ReservationID, d.RequestedAt) {
				x.desireStop(Target{d.CPID, d.Connector}, d.SessionID, d.Username, x.At.Add(stopDesiredFor))
				stopped = append(stopped, d)
			}
		}
	}
	x.reconcile(r.CPID)
	ev := x.newAnswer(&r)
	ev.Reason, ev.Message = "stopping", "the charging point has been asked to stop"
	switch {
	case len(stopped) == 1:
		ev.Connector, ev.SessionID = stopped[0].Connector, stopped[0].SessionID
	case len(stopped) == 0 && named:
		ev.Reason, ev.Message = "no_session", "no session of yours runs under that session_id or reservation_id"
	case len(stopped) == 0:
		ev.Reason, ev.Message = "no_session", "no session of yours runs there"
	}
	x.finish(&r, ev)
}

// running returns the sessions that run at a charging point, by connector: those that
// are open, and those that the boot which is shown reports. The latter alone would not
// do: of two devices with one id the one without the session may be shown.
func running(cp *ledger.CP) (all []*ledger.Session) {
	for _, s := range cp.Sessions {
		if c := cp.Connectors[s.Connector]; s.State == ledger.SessionOpen || c != nil && c.Session == s.ID {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *ledger.Session) int {
		return cmp.Or(cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// chargingPointOf returns the charging point that a request concerns: the one it
// names, or that of the session or reservation it names; "" if none is known.
func (x *step) chargingPointOf(q wire.DriverRequest) charge.CPID {
	if q.CPID != nil {
		return *q.CPID
	}
	if q.SessionID != "" {
		if s, ok := x.v.Session(q.SessionID); ok {
			return s.CPID
		}
		for id, p := range x.s.points {
			if p.desired[desiredKey{kind: DesiredStart, session: q.SessionID}] != nil {
				return id
			}
		}
	}
	if q.ReservationID != "" {
		if r := x.s.reservations[q.ReservationID]; r != nil {
			return r.CPID
		}
		if r, ok := x.pastReservation(q.ReservationID); ok {
			return r.CPID
		}
	}
	return ""
}

// believableStart returns when a session began: by the charging point's clock if
// that is at most an hour before Central received the session's first record, else
// the moment of that record.
func believableStart(at, received charge.Time) charge.Time {
	if at > received.Add(-time.Hour) && at <= received {
		return at
	}
	return received
}
