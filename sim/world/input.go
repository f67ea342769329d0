package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// input is one thing for the writer to apply. It may be applied again when its
// commit was refused, so apply changes nothing but the state and the unit.
type input interface{ apply(u *unit) }

// batchInput is a batch of one partition, decoded once.
type batchInput struct {
	batch batch
	// Lets the reader fetch the next batch; nil after the first call.
	accepted func()
	messages []*decodedMessage
}

// decodedMessage is a record of a log, decoded. Several Centrals and several reads
// share it, so it is never changed. At most one of the pointers is set.
type decodedMessage struct {
	m        *message
	err      error // not nil: a dead letter
	rec      wire.Record
	cp       charge.CPID // of presence
	presence *wire.Presence
	bridge   *wire.BridgeAlive
	alive    *wire.CentralAlive
	req      *wire.DriverRequest
	// Why req is refused; "" if it is well-formed.
	invalid string
	answer  *wire.CentralEvent
}

// acceptBatch decodes a batch and submits it. The reader continues when the writer
// applies it, so that a commit that fails stops reading. While this Central is not
// active it reads nothing but the monitor.
func (r *centralRun) acceptBatch(b batch, done func(bool)) {
	if !r.alive() {
		return
	}
	// A fenced Central continues to read the monitor, so that liveness stays up to date.
	if !r.active() && b.topic != wire.TopicMonitor {
		r.after(5*time.Second, "not active", func() { r.acceptBatch(b, done) })
		return
	}
	in := &batchInput{batch: b, accepted: func() { done(true) }}
	for i, m := range b.messages {
		// Liveness is updated now, the rest when the writer gets there.
		p := decodeMessage(b.topic, m, b.first+int64(i), b.n)
		in.messages = append(in.messages, p)
		r.noteLiveness(p, b.first+int64(i) < b.initialEnd)
	}
	r.submit(in)
}

// noteLiveness updates the liveness table from a message. This does not wait for
// the writer: a charging point is not offline because the disk is full. A message
// of the past counts from when Kafka received it.
func (r *centralRun) noteLiveness(p *decodedMessage, past bool) {
	at := r.central.now()
	if past {
		at = min(at, p.m.receivedAt)
	}
	switch {
	case p.err != nil:
	case p.rec.CPID != "":
		r.live.received(p.rec.CPID, at)
	case p.presence != nil && p.presence.Online:
		r.live.received(p.cp, at)
	case p.bridge != nil:
		r.live.bridgeHeartbeat(p.bridge.MQTT.Up, p.bridge.MQTT.Since, at, r.central.now())
	}
}

// decodeMessage decodes a record once, for all readers.
func decodeMessage(topic string, m *message, offset int64, n int) *decodedMessage {
	if m.decoded != nil {
		return m.decoded
	}
	p := &decodedMessage{m: m}
	m.decoded = p
	switch topic {
	case wire.TopicEvents:
		p.rec, p.err = wire.DecodeRecord(m.value)
		// The key decides the partition and so the order: a record under another key
		// could overtake.
		if p.err == nil && m.key != string(p.rec.CPID) {
			p.err = fmt.Errorf("the key names %s", m.key)
		}
	case wire.TopicDriverEvents:
		req, err := wire.DecodeDriverRequest(m.value)
		switch {
		case err == nil:
		case req.Username == "" && req.MessageID == "":
			// Nothing identifies the request, so no client could recognize an answer.
			p.err = err
		default:
			p.invalid = err.Error()
		}
		// Its place in the log identifies it: a repeat of the same bytes is another
		// request.
		if req.MessageID == "" {
			req.MessageID = fmt.Sprintf("%s/%d/%d", topic, n, offset)
		}
		p.req = &req
	case wire.TopicCentralEvents:
		var e wire.CentralEvent
		e, p.err = wire.DecodeCentralEvent(m.value)
		p.answer = &e
	case wire.TopicMonitor:
		p.decodeMonitor()
	}
	return p
}

// decodeMonitor decodes a presence or a heartbeat.
func (p *decodedMessage) decodeMonitor() {
	switch p.m.kind {
	case wire.KindValuePresence:
		v, err := wire.DecodePresence(p.m.value)
		p.cp, p.presence, p.err = charge.CPID(p.m.key), &v, err
	case wire.KindValueBridgeAlive:
		v, err := wire.DecodeBridgeAlive(p.m.value)
		p.bridge, p.err = &v, err
	case wire.KindValueCentralAlive:
		v, err := wire.DecodeCentralAlive(p.m.value)
		p.alive, p.err = &v, err
	}
}

// apply applies the messages one by one; the offset moves with each.
func (in *batchInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	// The reader continues as soon as the batch is applied, not when it is committed:
	// the next batch joins the next transaction.
	if in.accepted != nil {
		in.accepted()
		in.accepted = nil
	}
	for i := range in.messages {
		p := in.messages[i]
		switch {
		case p.err != nil:
			// Kept with the reason, and passed: it must not block what is behind it.
			u.deadLetters++
			u.run.w.stats.DeadLetters++
		case in.batch.topic == wire.TopicEvents:
			u.applyRecord(p, in.batch.n, in.batch.first+int64(i))
		case p.req != nil:
			u.applyRequest(p, in.batch.after)
		case p.answer != nil:
			u.applyAnswer(p.answer)
		case p.presence != nil:
			u.applyPresence(p.cp, *p.presence)
		case p.alive != nil && in.batch.first+int64(i) < in.batch.initialEnd:
			u.run.observePastEpoch(p.alive.Central)
		}
		u.offsets[in.batch.partition] = cursor{in.batch.first + int64(i) + 1, fingerprint(p.m)}
	}
}

// applyRecord applies a record of a charging point to the ledger, and its outcome
// to orders. Every record is acknowledged, also one that was not applied: the
// answer is what the ledger expects next.
func (u *unit) applyRecord(p *decodedMessage, partition int, offset int64) {
	rec, m := p.rec, p.m
	cp := u.chargingPoint(rec.CPID)
	if u.run.w.bug(BugGapApplied) {
		pretendContiguous(cp, &rec)
	}
	// The decision is the product's.
	out, changes := ledger.Apply(cp, &u.env, ledger.Input{Raw: m.value, Record: rec, ReceivedAt: m.receivedAt})
	key := recordKey{journalKey{rec.CPID, rec.Journal}, rec.Seq}
	u.run.w.stats.outcome(out.Verdict)
	u.run.logReads.RecordRead(rec.CPID, &out, partition, offset)
	if out.AwaitsLog {
		u.run.requestLogRead(rec.CPID)
	}
	switch {
	case out.Verdict == ledger.Applied:
		u.applied = append(u.applied, appliedRecord{key, chainLink{out.Hash, rec.Prev}})
		u.links[key] = chainLink{out.Hash, rec.Prev}
	case out.Verdict == ledger.Duplicate && u.run.w.bug(BugNoDedupe):
		again, more := applyAgain(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
		if again.Verdict == ledger.Applied {
			u.applied = append(u.applied, appliedRecord{key, chainLink{out.Hash, rec.Prev}})
			out, changes = again, more
		}
	}
	if out.Verdict == ledger.Mismatched && u.run.w.bug(BugForgedForks) {
		changes = append(changes, forkAtOnce(cp, u.now))
	}
	u.addChanges(changes)
	u.acks = append(u.acks, key.journalKey)
	u.step(orders.RecordReceived{Now: u.moment(), CPID: rec.CPID, Record: rec, Outcome: out, Changes: changes})
}

// applyPresence applies the presence of an agent: a new boot, a gap that its
// journal cannot fill any more, or a will.
func (u *unit) applyPresence(id charge.CPID, p wire.Presence) {
	// Presence names what the journal still has, which may prove that a gap can never be
	// filled.
	cp := u.chargingPoint(id)
	first := cp.First
	out, changes := ledger.ApplyPresence(cp, &u.env, p)
	if cp.First != first { // it deleted records since the presence before
		u.run.logReads.PresenceApplied(id)
	}
	u.addChanges(changes)
	u.run.live.presence(id, p.Online, u.now)
	if p.Next != nil {
		u.acks = append(u.acks, journalKey{id, p.Next.Journal})
	}
	// The planted bug raises the epoch of all for the claim of one.
	if claim := charge.Highest(p.Central, p.Ordered); u.run.w.bug(BugClaimRaises) && u.run.epoch.Less(claim) && u.run.active() {
		u.run.scheduleRaise(claim, raiseDelay)
	}
	u.step(orders.PresenceReceived{Now: u.moment(), CPID: id, NewBoot: out.NewBoot, Changes: changes})
}

// applyRequest applies a driver's request. after bounds from below when it came
// into Kafka; with LoggedAt it makes Central independent of the driver's clock.
func (u *unit) applyRequest(p *decodedMessage, after charge.Time) {
	req := p.req
	e := orders.DriverRequestReceived{Now: u.moment(), Request: *req, InvalidReason: p.invalid, LoggedAt: p.m.receivedAt, LoggedAfter: after}
	if u.run.w.bug(BugDriversClock) {
		e.LoggedAfter = 0
	}
	if !u.run.w.bug(BugRepeatReserves) {
		if q, ok := u.request(orders.RequestKey{Username: req.Username, MessageID: req.MessageID}); ok && q.Finished() {
			e.Previous = &q
		}
	}
	n := len(u.events)
	u.step(e)
	if e.Previous == nil { // otherwise the old answer is repeated
		u.checkClock(p, u.events[n:])
	}
}

// applyAnswer applies an event that a Central published, perhaps one whose database
// is lost: a request that has its answer is not decided again, and a session that has
// its ticket is not billed again.
func (u *unit) applyAnswer(e *wire.CentralEvent) {
	if t, ok := orders.PublishedTicket(e); ok && !u.run.w.bug(BugTicketsUnread) {
		u.addChanges(ledger.ReadPublished(&u.env, t))
	}
	if e.MessageID == "" {
		return
	}
	q, ok := u.request(orders.RequestKey{Username: e.Username, MessageID: e.MessageID})
	u.step(orders.AnswerReceived{Now: u.moment(), Answer: *e, Known: ok && q.Finished()})
}

// tickInput: a deadline of orders has come.
type tickInput struct{}

func (in tickInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.Tick{Now: u.moment()})
}

// commandSentInput: Kafka has a command.
type commandSentInput struct {
	cp charge.CPID
	id charge.CommandID
}

func (in commandSentInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// backOnlineInput: a charging point was received again after silence.
type backOnlineInput struct{ cp charge.CPID }

func (in backOnlineInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.addChanges(ledger.ClearSilence(u.chargingPoint(in.cp)))
	u.step(orders.PresenceReceived{Now: u.moment(), CPID: in.cp})
}

// silentInput: a charging point has been silent during a session for too long.
type silentInput struct {
	cp    charge.CPID
	since charge.Time
}

func (in silentInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.addChanges(ledger.RaiseSilence(u.chargingPoint(in.cp), &u.env, in.since))
}

// otherCentralInput: a later Central published.
type otherCentralInput struct{ central charge.Epoch }

func (in otherCentralInput) apply(u *unit) {
	u.fenceChecked = true
	u.inputs = append(u.inputs, in)
	if !u.run.plausible(in.central) {
		return
	}
	u.step(orders.OtherCentralSeen{Now: u.moment(), Central: in.central})
}

// outboxInput: Kafka has these rows of the outbox, which can be deleted.
type outboxInput struct{ ids []int64 }

func (in outboxInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.publishedRows = append(u.publishedRows, in.ids...)
}

// operatorInput is a request of an operator over the operator API. It is for
// orders, unless settle or release is set, which concern the ledger.
type operatorInput struct {
	ask     orders.OperatorRequest
	settle  charge.SessionID // settle this session of cp
	release bool             // end the quarantine of cp
	cp      charge.CPID
	// Called after the commit, or with a refusal.
	answer func(orders.Reply)
}

func (a *operatorInput) apply(u *unit) {
	u.inputs = append(u.inputs, a)
	var reply orders.Reply
	switch {
	case a.release:
		u.addChanges(ledger.Release(u.chargingPoint(a.cp)))
		u.step(orders.PresenceReceived{Now: u.moment(), CPID: a.cp})
	case a.settle != "":
		u.settle(a.cp, a.settle)
	default:
		u.reply = &reply
		u.step(orders.OperatorRequestReceived{Now: u.moment(), Request: a.ask})
		u.reply = nil
	}
	u.replies = append(u.replies, func() { a.answer(reply) })
}

// settle ends a session in place of its charging point. The ledger refuses it while
// the charging point is reachable.
func (u *unit) settle(id charge.CPID, session charge.SessionID) {
	cp := u.chargingPoint(id)
	link, _ := u.run.live.of(id, u.now)
	s, _ := u.Session(session)
	if !u.run.caughtUp {
		return
	}
	changes, err := ledger.Settle(cp, &u.env, session, link == ledger.Offline || cp.Forked())
	if err != nil {
		return
	}
	if s.State == ledger.SessionOpen {
		u.run.w.stats.SilentSettled++
	} else {
		u.run.w.stats.OrphansSettled++
	}
	u.addChanges(changes)
	u.step(orders.PresenceReceived{Now: u.moment(), CPID: id, Changes: changes})
	// Desired states that concern the session end with it.
	u.step(orders.OperatorRequestReceived{Now: u.moment(), Request: orders.OperatorSettled{Target: orders.Target{CPID: id, Connector: s.Connector}, SessionID: session}})
}
