package world

import (
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// input is one thing that the writer takes in; it may be applied again when a
// commit was refused.
type input interface{ apply(u *unit) }

// batchInput is a batch of one partition, decoded once.
type batchInput struct {
	batch    batch
	accepted func() // the writer has it: the reader goes on
	messages []*decodedMessage
}

// decodedMessage is a record of a log as the writer takes it. Nobody changes it.
type decodedMessage struct {
	m        *message
	err      error
	rec      wire.Record
	cp       charge.CPID
	presence *wire.Presence
	bridge   *wire.BridgeAlive
	alive    *wire.CentralAlive
	req      *wire.DriverRequest
	invalid  string // why req cannot be used
	answer   *wire.CentralEvent
}

// acceptBatch hands a batch of one partition to the writer and waits until it takes
// it; while a commit fails it takes nothing.
func (r *centralRun) acceptBatch(b batch, done func(bool)) {
	if !r.alive() {
		return
	}
	if !r.active() && b.topic != wire.TopicMonitor {
		r.after(5*time.Second, "not active", func() { r.acceptBatch(b, done) })
		return
	}
	in := &batchInput{batch: b, accepted: func() { done(true) }}
	for i, m := range b.messages {
		p := decodeMessage(b.topic, m, b.first+int64(i), b.n)
		in.messages = append(in.messages, p)
		r.noteLiveness(p, b.first+int64(i) < b.initialEnd)
	}
	r.submit(in)
}

// noteLiveness takes signs of life, whether or not the database can be written.
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

// decodeMessage reads a record, once.
func decodeMessage(topic string, m *message, offset int64, n int) *decodedMessage {
	if m.decoded != nil {
		return m.decoded
	}
	p := &decodedMessage{m: m}
	m.decoded = p
	switch topic {
	case wire.TopicEvents:
		p.rec, p.err = wire.DecodeRecord(m.value)
		if p.err == nil && m.key != string(p.rec.CPID) {
			p.err = fmt.Errorf("the key names %s", m.key)
		}
	case wire.TopicDriverEvents:
		req, err := wire.DecodeDriverRequest(m.value)
		switch {
		case err == nil:
		case req.Username == "" && req.MessageID == "":
			p.err = err
		default:
			p.invalid = err.Error()
		}
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

func (in *batchInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	if in.accepted != nil {
		in.accepted()
		in.accepted = nil
	}
	for i := range in.messages {
		p := in.messages[i]
		switch {
		case p.err != nil:
			u.deadLetters++
			u.run.w.stats.DeadLetters++
		case in.batch.topic == wire.TopicEvents:
			u.applyRecord(p)
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

func (u *unit) applyRecord(p *decodedMessage) {
	rec, m := p.rec, p.m
	cp := u.chargingPoint(rec.CPID)
	if u.run.w.bug(BugGapApplied) {
		pretendContiguous(cp, &rec)
	}
	out, changes := ledger.Apply(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
	key := recordKey{journalKey{rec.CPID, rec.Journal}, rec.Seq}
	u.run.w.stats.outcome(out.Verdict)
	switch {
	case out.Verdict == ledger.Applied:
		u.applied = append(u.applied, appliedRecord{key, m.value, chainLink{out.Hash, rec.Prev}})
		u.links[key] = chainLink{out.Hash, rec.Prev}
	case out.Verdict == ledger.Duplicate && u.run.w.bug(BugNoDedupe):
		again, more := applyAgain(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
		if again.Verdict == ledger.Applied {
			u.applied = append(u.applied, appliedRecord{key, m.value, chainLink{out.Hash, rec.Prev}})
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

func (u *unit) applyPresence(id charge.CPID, p wire.Presence) {
	out, changes := ledger.ApplyPresence(u.chargingPoint(id), &u.env, p)
	u.addChanges(changes)
	u.run.live.presence(id, p.Online, u.now)
	if p.Next != nil {
		u.acks = append(u.acks, journalKey{id, p.Next.Journal})
	}
	if claim := charge.Highest(p.Central, p.Ordered); u.run.w.bug(BugClaimRaises) && u.run.epoch.Less(claim) && u.run.active() {
		u.run.scheduleRaise(claim, raiseDelay)
	}
	u.step(orders.PresenceReceived{Now: u.moment(), CPID: id, NewBoot: out.NewBoot, Changes: changes})
}

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
	if e.Previous == nil { // otherwise it is answered as before
		u.checkClock(p, u.events[n:])
	}
}

func (u *unit) applyAnswer(e *wire.CentralEvent) {
	if e.MessageID == "" {
		return
	}
	q, ok := u.request(orders.RequestKey{Username: e.Username, MessageID: e.MessageID})
	u.step(orders.AnswerReceived{Now: u.moment(), Answer: *e, Known: ok && q.Finished()})
}

// tickInput says that time went on.
type tickInput struct{}

func (in tickInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.Tick{Now: u.moment()})
}

// commandSentInput says that Kafka has a command.
type commandSentInput struct {
	cp charge.CPID
	id charge.CommandID
}

func (in commandSentInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// backOnlineInput says that a charging point is heard again after silence.
type backOnlineInput struct{ cp charge.CPID }

func (in backOnlineInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.addChanges(ledger.ClearSilence(u.chargingPoint(in.cp)))
	u.step(orders.PresenceReceived{Now: u.moment(), CPID: in.cp})
}

// silentInput says that a charging point was not heard for too long.
type silentInput struct {
	cp    charge.CPID
	since charge.Time
}

func (in silentInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.addChanges(ledger.RaiseSilence(u.chargingPoint(in.cp), &u.env, in.since))
}

// otherCentralInput says that another Central spoke.
type otherCentralInput struct{ central charge.Epoch }

func (in otherCentralInput) apply(u *unit) {
	u.fenceChecked = true
	u.inputs = append(u.inputs, in)
	if !u.run.plausible(in.central) {
		return
	}
	u.step(orders.OtherCentralSeen{Now: u.moment(), Central: in.central})
}

// outboxInput says that Kafka has rows of the outbox.
type outboxInput struct{ ids []int64 }

func (in outboxInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.publishedRows = append(u.publishedRows, in.ids...)
}

// operatorInput is an operator's request.
type operatorInput struct {
	ask     orders.OperatorRequest
	settle  charge.SessionID // settle a session instead
	release bool             // end the quarantine of cp instead
	cp      charge.CPID
	answer  func(orders.Reply)
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

// settle ends a session without its charging point, unless that is heard.
func (u *unit) settle(id charge.CPID, session charge.SessionID) {
	cp := u.chargingPoint(id)
	link, _ := u.run.live.of(id, u.now)
	s, _ := u.Session(session)
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
	u.step(orders.OperatorRequestReceived{Now: u.moment(), Request: orders.OperatorSettled{Target: orders.Target{CPID: id, Connector: s.Connector}, SessionID: session}})
}
