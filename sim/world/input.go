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

// batchIn is a batch of one partition, decoded once.
type batchIn struct {
	b     batch
	taken func() // the writer has it: the reader goes on
	ready []*prepared
}

// prepared is a record of a log as the writer takes it. Nobody changes it.
type prepared struct {
	m        *message
	err      error
	rec      wire.Record
	cp       charge.CPID
	presence *wire.Presence
	bridge   *wire.BridgeAlive
	alive    *wire.CentralAlive
	req      *wire.DriverRequest
	invalid  string // why req cannot be used
	said     *wire.CentralEvent
}

// take hands a batch of one partition to the writer and waits until it takes
// it; while a commit fails it takes nothing.
func (r *reign) take(b batch, done func(bool)) {
	if !r.lives() {
		return
	}
	if !r.active() && b.topic != wire.TopicMonitor {
		r.after(5*time.Second, "not active", func() { r.take(b, done) })
		return
	}
	in := &batchIn{b: b, taken: func() { done(true) }}
	for i, m := range b.messages {
		p := prepare(b.topic, m, b.first+int64(i), b.n)
		in.ready = append(in.ready, p)
		r.notice(p, b.first+int64(i) < b.past)
	}
	r.give(in)
}

// notice takes signs of life, whether or not the database can be written.
func (r *reign) notice(p *prepared, past bool) {
	at := r.c.now()
	if past {
		at = min(at, p.m.receivedAt)
	}
	switch {
	case p.err != nil:
	case p.rec.CPID != "":
		r.live.hearPoint(p.rec.CPID, at)
	case p.presence != nil && p.presence.Online:
		r.live.hearPoint(p.cp, at)
	case p.bridge != nil:
		r.live.hearBridge(p.bridge.MQTT.Up, p.bridge.MQTT.Since, at, r.c.now())
	}
}

// prepare reads a record, once.
func prepare(topic string, m *message, offset int64, n int) *prepared {
	if m.read != nil {
		return m.read
	}
	p := &prepared{m: m}
	m.read = p
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
		p.said = &e
	case wire.TopicMonitor:
		p.prepareMonitor()
	}
	return p
}

func (p *prepared) prepareMonitor() {
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

func (in *batchIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	if in.taken != nil {
		in.taken()
		in.taken = nil
	}
	for i := range in.ready {
		p := in.ready[i]
		switch {
		case p.err != nil:
			u.dead++
			u.r.w.stats.DeadLetters++
		case in.b.topic == wire.TopicEvents:
			u.record(p)
		case p.req != nil:
			u.driver(p, in.b.after)
		case p.said != nil:
			u.answered(p.said)
		case p.presence != nil:
			u.presence(p.cp, *p.presence)
		case p.alive != nil && in.b.first+int64(i) < in.b.past:
			u.r.heardPast(p.alive.Central)
		}
		u.offsets[in.b.part] = place{in.b.first + int64(i) + 1, fingerprint(p.m)}
	}
}

func (u *unit) record(p *prepared) {
	rec, m := p.rec, p.m
	cp := u.point(rec.CPID)
	if u.r.w.bug(BugGapApplied) {
		bridgeGap(cp, &rec)
	}
	out, changes := ledger.Apply(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
	key := recordKey{journalKey{rec.CPID, rec.Journal}, rec.Seq}
	u.r.w.stats.outcome(out.Verdict)
	switch {
	case out.Verdict == ledger.Applied:
		u.applied = append(u.applied, appliedRecord{key, m.value, link{out.Hash, rec.Prev}})
		u.links[key] = link{out.Hash, rec.Prev}
	case out.Verdict == ledger.Duplicate && u.r.w.bug(BugNoDedupe):
		again, more := applyAgain(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
		if again.Verdict == ledger.Applied {
			u.applied = append(u.applied, appliedRecord{key, m.value, link{out.Hash, rec.Prev}})
			out, changes = again, more
		}
	}
	if out.Verdict == ledger.Mismatched && u.r.w.bug(BugStrayForks) {
		changes = append(changes, forkAtOnce(cp, u.now))
	}
	u.add(changes)
	u.acks = append(u.acks, key.journalKey)
	u.step(orders.Observed{Now: u.moment(), CPID: rec.CPID, Record: rec, Outcome: out, Changes: changes})
}

func (u *unit) presence(id charge.CPID, p wire.Presence) {
	out, changes := ledger.Heard(u.point(id), &u.env, p)
	u.add(changes)
	u.r.live.presence(id, p.Online, u.now)
	if p.Next != nil {
		u.acks = append(u.acks, journalKey{id, p.Next.Journal})
	}
	if claim := charge.Highest(p.Central, p.Ordered); u.r.w.bug(BugClaimRaises) && u.r.self.Less(claim) && u.r.active() {
		u.r.riseSoon(claim, listenBefore)
	}
	u.step(orders.PointHeard{Now: u.moment(), CPID: id, NewBoot: out.NewBoot, Changes: changes})
}

func (u *unit) driver(p *prepared, after charge.Time) {
	req := p.req
	e := orders.DriverAsked{Now: u.moment(), Request: *req, Invalid: p.invalid, LoggedAt: p.m.receivedAt, After: after}
	if u.r.w.bug(BugDriversClock) {
		e.After = 0
	}
	if !u.r.w.bug(BugRepeatReserves) {
		if q, ok := u.request(orders.RequestKey{Username: req.Username, MessageID: req.MessageID}); ok && q.Finished() {
			e.Was = &q
		}
	}
	n := len(u.tells)
	u.step(e)
	if e.Was == nil { // otherwise it is answered as before
		u.checkClock(p, u.tells[n:])
	}
}

func (u *unit) answered(e *wire.CentralEvent) {
	if e.MessageID == "" {
		return
	}
	q, ok := u.request(orders.RequestKey{Username: e.Username, MessageID: e.MessageID})
	u.step(orders.AnswerHeard{Now: u.moment(), Answer: *e, Known: ok && q.Finished()})
}

// tickIn says that time went on.
type tickIn struct{}

func (in tickIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.Tick{Now: u.moment()})
}

// sentIn says that Kafka has a command.
type sentIn struct {
	cp charge.CPID
	id charge.CommandID
}

func (in sentIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.step(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// backIn says that a charging point is heard again after silence.
type backIn struct{ cp charge.CPID }

func (in backIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.add(ledger.Noticed(u.point(in.cp)))
	u.step(orders.PointHeard{Now: u.moment(), CPID: in.cp})
}

// silentIn says that a charging point was not heard for too long.
type silentIn struct {
	cp    charge.CPID
	since charge.Time
}

func (in silentIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.add(ledger.Silence(u.point(in.cp), &u.env, in.since))
}

// otherIn says that another Central spoke.
type otherIn struct{ central charge.Epoch }

func (in otherIn) apply(u *unit) {
	u.fence = true
	u.inputs = append(u.inputs, in)
	if !u.r.believe(in.central) {
		return
	}
	u.step(orders.CentralHeard{Now: u.moment(), Central: in.central})
}

// toldIn says that Kafka has rows of the outbox.
type toldIn struct{ ids []int64 }

func (in toldIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	u.told = append(u.told, in.ids...)
}

// asked is an operator's request.
type asked struct {
	ask     orders.Ask
	settle  charge.SessionID // settle a session instead
	release bool             // end the quarantine of cp instead
	cp      charge.CPID
	answer  func(orders.Reply)
}

func (a *asked) apply(u *unit) {
	u.inputs = append(u.inputs, a)
	var reply orders.Reply
	switch {
	case a.release:
		u.add(ledger.Release(u.point(a.cp)))
		u.step(orders.PointHeard{Now: u.moment(), CPID: a.cp})
	case a.settle != "":
		u.settle(a.cp, a.settle)
	default:
		u.reply = &reply
		u.step(orders.OperatorAsked{Now: u.moment(), Ask: a.ask})
		u.reply = nil
	}
	u.replies = append(u.replies, func() { a.answer(reply) })
}

// settle ends a session without its charging point, unless that is heard.
func (u *unit) settle(id charge.CPID, session charge.SessionID) {
	cp := u.point(id)
	link, _ := u.r.live.liveness(id, u.now)
	s, _ := u.Session(session)
	changes, err := ledger.Settle(cp, &u.env, session, link == ledger.Offline || cp.Forked())
	if err != nil {
		return
	}
	if s.State == ledger.SessionOpen {
		u.r.w.stats.Settled++
	} else {
		u.r.w.stats.ByOperator++
	}
	u.add(changes)
	u.step(orders.PointHeard{Now: u.moment(), CPID: id, Changes: changes})
	u.step(orders.OperatorAsked{Now: u.moment(), Ask: orders.AskSettled{Target: orders.Target{CPID: id, Connector: s.Connector}, SessionID: session}})
}
