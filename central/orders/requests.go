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

// answerWithin is the last moment for an answer after the request was read. The
// protocol allows 5 s; the rest is for the way.
const answerWithin = 4800 * time.Millisecond

// At the start of Central: how long it lasts, and how often a request is looked
// at again meanwhile.
const (
	startsFor = 10 * time.Second
	lookAgain = 250 * time.Millisecond
)

// driverAsked takes in one message of a driver.
func (x *step) driverAsked(e DriverAsked) {
	q := e.Request
	age, old := x.age(e)
	was := cmp.Or(x.s.requests[RequestKey{q.Username, q.MessageID}], e.Was)
	answered := was != nil && was.Answer != nil
	switch {
	case x.fenced():
		if was == nil || was.Silent {
			x.passOver(q)
		}
		return
	case was != nil && !was.is(q.EventType):
		if !old {
			x.reused(q, was)
		}
		return
	case answered:
		x.do(Tell{*was.Answer})
		return
	case was != nil && !was.Silent:
		return // a running one is answered when it is decided
	}
	// A message that is known without an answer had no effect, being too old; said
	// again with a fresh timestamp it is judged anew.
	switch {
	case old:
		x.do(Refused{Unanswered})
		x.do(SaveRequest{x.request(q, true)})
	case e.Invalid != "":
		x.refuse(q, wire.RefusedInvalid, e.Invalid)
	case age > ms(wire.MaxRequestAge):
		x.refuse(q, wire.RefusedStale, "the request is older than a minute; ask again, and see that your clock is right")
	case age < -ms(wire.MaxClockError):
		x.refuse(q, wire.RefusedInvalid, "field timestamp: lies more than a minute ahead; set the clock")
	case e.BadName != "" && !x.hasSomething(q):
		x.refuse(q, wire.RefusedInvalid, e.BadName)
	case q.Username != "" && x.s.cfg.Drivers != nil && !slices.Contains(x.s.cfg.Drivers, q.Username):
		x.refuse(q, wire.RefusedUnknownDriver, "this driver is not on the list")
	default:
		x.serve(q)
	}
}

// hasSomething reports whether a request is about what its driver has: somebody
// who charges already, under a name that would be refused today, can still stop.
func (x *step) hasSomething(q wire.DriverRequest) bool {
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

// age is how old a request is, in ms: by its own timestamp, or by Kafka's where
// that cannot be read. (As a time.Duration the year 9999 would overflow.) Of one
// that came into Kafka within the last minute, as Central itself knows, the
// driver's clock may be behind by MaxClockError; a log that is read again gets no
// such grace. old says that the request is not even answered.
func (x *step) age(e DriverAsked) (age charge.Time, old bool) {
	at := e.Request.Timestamp.Time()
	if at == 0 && e.Invalid != "" {
		at = e.LoggedAt
	}
	age = x.At - at
	if e.After != 0 && x.At-e.After <= ms(wire.MaxRequestAge) {
		if age > 0 {
			age = max(age-ms(wire.MaxClockError), 0)
		}
		return age, false
	}
	return age, age > ms(wire.MaxAnswerAge)
}

func ms(d time.Duration) charge.Time { return charge.Time(d.Milliseconds()) }

// answerHeard keeps an answer that was given by somebody else: the request had
// its effect, so when it is read again it is answered alike and not served.
func (x *step) answerHeard(e AnswerHeard) {
	if e.Known || e.Answer.Reason == wire.RefusedReused { // which answers no request of its own
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
	x.do(SaveRequest{*q})
}

func (x *step) serve(q wire.DriverRequest) {
	switch q.EventType {
	case wire.DriverAuthorization:
		x.authorize(q)
	case wire.DriverStarted:
		x.pluggedIn(q)
	case wire.DriverStop:
		x.stopAll(q)
	case wire.DriverSimulateError, wire.DriverFixError:
		x.simulateFor(q)
	default:
		x.refuse(q, wire.RefusedInvalid, fmt.Sprintf("field event_type: %.64q is unknown; one of %q is expected", q.EventType, wire.DriverEventTypes()))
	}
}

func (x *step) request(q wire.DriverRequest, silent bool) Request {
	r := Request{
		MessageID: q.MessageID, EventType: q.EventType, Username: q.Username, ClientID: q.ClientID, ReadAt: x.At,
		AnswerBy: x.At.Add(answerWithin), Silent: silent,
	}
	if q.CPID != nil {
		r.CPID = *q.CPID
	}
	return r
}

// refuse answers a request at once, in words, and keeps the answer for its
// repeats. A client that goes on sending what cannot be used is told a few times.
func (x *step) refuse(q wire.DriverRequest, reason, message string) {
	if left := x.patience(q.Username); x.refused(reason, left) {
		r := x.request(q, false)
		x.finish(&r, x.refusal(&r, reason, words(message, left)))
	}
}

// mostRefusals is how many messages that cannot be used are answered for one
// driver within refusalsFor; mostRefused bounds the drivers that are counted.
const (
	mostRefusals = 30
	refusalsFor  = time.Minute
	mostRefused  = 10_000
)

// patience counts a message of a driver that cannot be used, and returns how many
// more are answered; below zero not even this one.
func (x *step) patience(user charge.Username) (left int) {
	s := x.s
	if x.At < s.refusedSince || x.At >= s.refusedSince.Add(refusalsFor) || len(s.refusals) >= mostRefused {
		clear(s.refusals)
		s.refusedSince = x.At
	}
	s.refusals[user]++
	return mostRefusals - s.refusals[user]
}

// refused counts a refusal and reports whether it is told.
func (x *step) refused(reason string, left int) bool {
	if left < 0 {
		reason = Unanswered
	}
	x.do(Refused{reason})
	return left >= 0
}

// words adds to the last refusal that is told that it is the last.
func words(message string, left int) string {
	if left == 0 {
		message += "; what else cannot be used is not answered for a minute"
	}
	return message
}

func (x *step) refusal(q *Request, reason, message string) wire.CentralEvent {
	ev := x.answer(q)
	ev.Reason, ev.Message = reason, message
	if q.EventType == wire.DriverAuthorization {
		no := false
		ev.Authorized = &no
	}
	return ev
}

// reused refuses a request under the message_id of one of another type, and
// leaves that one as it is.
func (x *step) reused(q wire.DriverRequest, was *Request) {
	r := x.request(q, false)
	first := string(was.EventType)
	if first == "" {
		first = "request answered with " + string(was.Answer.EventType)
	}
	message := fmt.Sprintf("message_id %.128q was used before, for another %s; use a new one for each request", q.MessageID, first)
	if left := x.patience(q.Username); x.refused(wire.RefusedReused, left) {
		x.do(Tell{x.refusal(&r, wire.RefusedReused, words(message, left))})
	}
}

// passOver keeps a request that is read while another Central is in charge. That
// one may have served it, and what it did is not known here: should this Central
// be in charge again, a repeat is refused and has no second effect.
func (x *step) passOver(q wire.DriverRequest) {
	r := x.request(q, false)
	no := x.refusal(&r, wire.RefusedStale, "another Central was in charge when this was asked first; ask again with a new message_id")
	r.Answer = &no
	x.do(SaveRequest{r})
}

// finish answers a request and keeps the answer for its repeats.
func (x *step) finish(q *Request, ev wire.CentralEvent) {
	delete(x.s.requests, q.Key())
	q.Answer = &ev
	x.do(SaveRequest{*q})
	x.do(Tell{ev})
}

// answerType is the type of the answer to a request.
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
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", user, message, t))
	return "a." + hex.EncodeToString(sum[:16])
}

// answer begins the answer to a request.
func (x *step) answer(q *Request) wire.CentralEvent {
	return wire.CentralEvent{
		EventID: answerID(q.Username, q.MessageID, q.EventType), EventType: answerType(q.EventType), MessageID: q.MessageID, ClientID: q.ClientID, Username: q.Username, CPID: q.CPID,
		Timestamp: wire.Seconds(x.At),
	}
}

// authorize serves an AUTHORIZATION_REQUEST.
func (x *step) authorize(q wire.DriverRequest) {
	r := x.request(q, false)
	x.s.requests[r.Key()] = &r
	x.assign(&r)
}

// assign finds a reservation for a request. A driver who holds all he may have
// gets the same one again.
func (x *step) assign(q *Request) {
	held := x.heldBy(q)
	switch {
	case held == nil:
		x.ask(q)
	case held.ConfirmedAt != 0:
		x.finish(q, x.granted(q, held))
	default: // another request asks for it: wait with that one
		q.ReservationID, q.AskedAt = held.ID, 0
		x.do(SaveRequest{*q})
	}
}

// heldBy finds the reservation that a driver's request gets again: the one at
// the charging point asked for; else, when he may have no more, the newest.
func (x *step) heldBy(q *Request) *Reservation {
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

// granted is the answer to a request whose reservation is confirmed.
func (x *step) granted(q *Request, r *Reservation) wire.CentralEvent {
	yes, until := true, wire.Seconds(r.Until)
	ev := x.answer(q)
	ev.Authorized, ev.CPID, ev.Connector, ev.ReservationID, ev.ExpiresAt = &yes, r.CPID, r.Connector, r.ID, &until
	return ev
}

// ask reserves the next connector for a request, or refuses it when there is
// none, or enough were asked.
func (x *step) ask(q *Request) {
	unreachable := len(q.Asked) > 0 // and none of them said yes
	if len(q.Asked) >= x.s.cfg.MaxAsked || x.At >= q.AnswerBy {
		x.refuseAsked(q, wire.RefusedUnreachable)
		return
	}
	t, refusal := x.choose(q, true)
	if refusal != "" && !unreachable && x.early(q, refusal) {
		q.AskedAt = x.At
		x.do(SaveRequest{*q})
		return
	}
	if refusal != "" {
		if unreachable && x.anySilent(q) {
			refusal = wire.RefusedUnreachable
		}
		x.refuseAsked(q, refusal)
		return
	}
	q.Asked = append(q.Asked, t)
	q.AskedAt = x.At
	r := x.reserve(t, q.Username, q.MessageID)
	if x.s.requests[q.Key()] == q && r.EndedAt == 0 {
		q.ReservationID = r.ID
		x.do(SaveRequest{*q})
	}
}

// early reports whether a refusal may be due to nothing but Central's own start:
// charging points are there, and were not heard yet. Such a request is looked at
// again, as long as there is time left to ask somebody.
func (x *step) early(q *Request, refusal string) bool {
	if x.At >= x.s.begun.Add(startsFor) || x.At.Add(lookAgain+x.s.cfg.AskFor) > q.AnswerBy {
		return false
	}
	return refusal == wire.RefusedNoneFree || refusal == wire.RefusedUnreachable || refusal == wire.RefusedUnknownCP
}

func (x *step) anySilent(q *Request) bool {
	return slices.ContainsFunc(q.Asked, func(t Target) bool { _, yes := x.s.silent[t]; return yes })
}

// refuseAsked refuses a request, and those that waited for the same reservation.
func (x *step) refuseAsked(q *Request, reason string) {
	no := false
	ev := x.answer(q)
	ev.Authorized, ev.Reason, ev.Message = &no, reason, refusalWords(reason)
	x.finish(q, ev)
}

// requestDue is when a running request needs attention.
func (s *State) requestDue(q *Request) charge.Time {
	if q.AskedAt == 0 { // it waits for a reservation that another request asks for
		return q.AnswerBy
	}
	if len(q.Asked) == 0 {
		return q.AskedAt.Add(lookAgain)
	}
	return min(q.AskedAt.Add(s.cfg.AskFor), q.AnswerBy)
}

// requestLate gives up the charging point that was asked, and asks the next.
func (x *step) requestLate(q *Request) {
	if q.AskedAt != 0 && len(q.Asked) == 0 {
		x.assign(q)
		return
	}
	r := x.s.reservations[q.ReservationID]
	if r == nil || r.MessageID != q.MessageID { // not its own to give up
		x.refuseAsked(q, wire.RefusedUnreachable)
		return
	}
	x.s.silent[Target{r.CPID, r.Connector}] = x.At
	x.endReservation(r, string(charge.ReservationCancelled))
	x.compare(r.CPID)
}

// answerConfirmed answers all requests that waited for a reservation.
func (x *step) answerConfirmed(r *Reservation) {
	for _, q := range x.waitingFor(r) {
		x.finish(q, x.granted(q, r))
	}
}

func (x *step) waitingFor(r *Reservation) []*Request {
	var list []*Request
	for _, q := range x.s.requests {
		if q.ReservationID == r.ID {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b *Request) int {
		switch {
		case a.MessageID == r.MessageID: // whose reservation it is goes first
			return -1
		case b.MessageID == r.MessageID:
			return 1
		}
		return int(a.ReadAt - b.ReadAt)
	})
	return list
}

// nextAfter goes on with the requests that waited for a reservation which ended
// before it was confirmed: its own request asks the next charging point, the
// others wait with it, or are refused with it.
func (x *step) nextAfter(r *Reservation) {
	list := x.waitingFor(r)
	if len(list) == 0 {
		return
	}
	first := list[0]
	for _, q := range list {
		q.ReservationID = ""
	}
	if first.MessageID == r.MessageID {
		x.ask(first)
	} else {
		x.refuseAsked(first, wire.RefusedUnreachable)
	}
	for _, q := range list[1:] {
		switch {
		case first.Answer == nil:
			q.ReservationID = first.ReservationID
			x.do(SaveRequest{*q})
		case first.Answer.Authorized != nil && *first.Answer.Authorized:
			if won := x.s.reservations[first.ReservationID]; won != nil {
				q.ReservationID = won.ID
				x.finish(q, x.granted(q, won))
			}
		default:
			x.refuseAsked(q, first.Answer.Reason)
		}
	}
}

// pluggedIn serves "charging_started": the wish to start, never the fact.
func (x *step) pluggedIn(q wire.DriverRequest) {
	r := x.request(q, false)
	r.CPID = x.placeOf(q)
	ev := x.answer(&r)
	held := x.reservedAt(r.CPID, q.Username)
	if q.ReservationID != "" {
		held = x.s.reservations[q.ReservationID]
		if held != nil && (held.Username != q.Username || held.CPID != r.CPID || !held.Active(x.At)) {
			held = nil
		}
	}
	switch {
	case held == nil && x.chargesAt(r.CPID, q.Username):
		ev.Message = "you are charging there already"
	case held == nil:
		ev.Reason, ev.Message = "not_reserved", "you hold no reservation there; ask for one first"
	default:
		ev.Connector, ev.ReservationID = held.Connector, held.ID
		ev.Message = "the charging point is told to start"
		if w := x.s.point(held.CPID).startOf(held.ID); w != nil {
			ev.SessionID = w.SessionID
		} else {
			ev.SessionID = x.wantStart(Target{held.CPID, held.Connector}, q.Username, held)
		}
	}
	x.finish(&r, ev)
}

// reservedAt finds a driver's active reservation at a charging point.
func (x *step) reservedAt(cp charge.CPID, user charge.Username) *Reservation {
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

func (x *step) chargesAt(id charge.CPID, user charge.Username) bool {
	cp := x.v.CP(id)
	if cp == nil {
		return false
	}
	for _, s := range cp.Sessions {
		if s.Username == user {
			return true
		}
	}
	return false
}

// stopAll serves a STOP_REQUEST: it stops the session that it names, or those of
// that driver there that Central knows, running or waiting for the plug. One that
// began after the request was written, by more than the clocks may differ, is
// another one.
func (x *step) stopAll(q wire.DriverRequest) {
	r := x.request(q, false)
	r.CPID = x.placeOf(q)
	named := q.SessionID != "" || q.ReservationID != ""
	latest := q.Timestamp.Time().Add(wire.MaxClockError)
	meant := func(user charge.Username, s charge.SessionID, b charge.ReservationID, began charge.Time) bool {
		return user == q.Username && (q.SessionID == "" || q.SessionID == s) && (q.ReservationID == "" || q.ReservationID == b) && (named || began <= latest)
	}
	var stopped []*Wish
	if cp := x.v.CP(r.CPID); cp != nil {
		for _, c := range byNumber(cp.Connectors) {
			if s := cp.Sessions[c.Session]; s != nil && meant(s.Username, s.ID, s.ReservationID, began(s.AuthorizedAt, s.HeardAt)) {
				x.wantStop(Target{cp.ID, s.Connector}, s.ID, s.Username, 0)
				stopped = append(stopped, &Wish{Connector: s.Connector, SessionID: s.ID})
			}
		}
	}
	if p := x.s.points[r.CPID]; p != nil {
		for _, w := range byAsked(p.wishes) {
			if w.Kind == WishStart && meant(w.Username, w.SessionID, w.ReservationID, w.AskedAt) {
				x.wantStop(Target{w.CPID, w.Connector}, w.SessionID, w.Username, x.At.Add(stopFor))
				stopped = append(stopped, w)
			}
		}
	}
	x.compare(r.CPID)
	ev := x.answer(&r)
	ev.Reason, ev.Message = "stopping", "the charging point is told to stop"
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

// placeOf is the charging point that a request is about: as it says, or where the
// session or reservation is that it names.
func (x *step) placeOf(q wire.DriverRequest) charge.CPID {
	if q.CPID != nil {
		return *q.CPID
	}
	if q.SessionID != "" {
		if s, ok := x.v.Session(q.SessionID); ok {
			return s.CPID
		}
		for id, p := range x.s.points {
			if p.wishes[wishKey{kind: WishStart, session: q.SessionID}] != nil {
				return id
			}
		}
	}
	if q.ReservationID != "" {
		if r := x.s.reservations[q.ReservationID]; r != nil {
			return r.CPID
		}
		if r, ok := x.old(q.ReservationID); ok {
			return r.CPID
		}
	}
	return ""
}

// began is when a session began: by the charging point's clock where that is
// believable beside the moment Central first heard of it.
func began(at, heard charge.Time) charge.Time {
	if at > heard.Add(-time.Hour) && at <= heard {
		return at
	}
	return heard
}
