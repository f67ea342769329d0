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

// batchIn is a batch of one partition.
type batchIn struct {
	r    *reign
	b    batch
	done func(bool)
}

// take hands a batch of one partition to the writer; the reader goes on as soon
// as the writer has it.
func (r *reign) take(b batch, done func(bool)) {
	if !r.lives() {
		return
	}
	if !r.active && b.topic != wire.TopicMonitor {
		r.after(5*time.Second, "not active", func() { r.take(b, done) })
		return
	}
	r.give(&batchIn{r, b, nil})
	done(true)
}

func (in *batchIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	for i := range in.b.messages {
		m := &in.b.messages[i]
		offset := in.b.first + int64(i)
		past := offset < in.b.past
		switch in.b.topic {
		case wire.TopicEvents:
			u.record(m, past)
		case wire.TopicMonitor:
			u.monitor(m, past)
		case wire.TopicDriverEvents:
			u.driver(m, fmt.Sprintf("%s/%d/%d", in.b.topic, in.b.n, offset))
		}
		u.offsets[in.b.part] = place{offset + 1, fingerprint(m)}
	}
}

func (u *unit) record(m *message, past bool) {
	rec, err := wire.DecodeRecord(m.value)
	if err != nil || m.key != string(rec.CPID) {
		u.dead++
		u.r.w.stats.DeadLetters++
		return
	}
	u.r.live.hearPoint(rec.CPID, u.heardAt(m, past))
	cp := u.point(rec.CPID)
	if u.r.w.bug(BugGapApplied) {
		bridgeGap(cp, &rec)
	}
	out, changes := ledger.Apply(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
	key := recordKey{journalKey{rec.CPID, rec.Journal}, rec.Seq}
	u.r.w.stats.outcome(out.Verdict)
	switch {
	case out.Verdict == ledger.Applied:
		u.applied = append(u.applied, appliedRecord{key, m.value, out.Hash})
		u.hashes[key] = out.Hash
	case out.Verdict == ledger.Duplicate && u.r.w.bug(BugNoDedupe):
		again, more := applyAgain(cp, &u.env, ledger.Input{Raw: m.value, Record: rec})
		if again.Verdict == ledger.Applied {
			u.applied = append(u.applied, appliedRecord{key, m.value, out.Hash})
			out, changes = again, more
		}
	}
	u.add(changes)
	u.acks = append(u.acks, key.journalKey)
	u.step(orders.Observed{Now: u.moment(), CPID: rec.CPID, Record: rec, Outcome: out, Changes: changes})
}

// heardAt is when something was heard by Central's clock.
func (u *unit) heardAt(m *message, past bool) charge.Time {
	if past {
		return min(u.now, m.receivedAt)
	}
	return u.now
}

func (u *unit) monitor(m *message, past bool) {
	r := u.r
	switch m.kind {
	case wire.KindValuePresence:
		cp, err1 := charge.ParseCPID(m.key)
		p, err2 := wire.DecodePresence(m.value)
		if err1 != nil || err2 != nil {
			u.dead++
			return
		}
		if p.Online {
			r.live.hearPoint(cp, u.heardAt(m, past))
		}
		u.presence(cp, p)
	case wire.KindValueBridgeAlive:
		if b, err := wire.DecodeBridgeAlive(m.value); err == nil {
			r.live.hearBridge(b.MQTT.Up, b.MQTT.Since, u.heardAt(m, past), u.now)
		}
	case wire.KindValueCentralAlive:
		if c, err := wire.DecodeCentralAlive(m.value); err == nil {
			r.hear(c.Central, past)
		}
	}
}

func (u *unit) presence(id charge.CPID, p wire.Presence) {
	out, changes := ledger.Heard(u.point(id), &u.env, p)
	u.add(changes)
	u.r.live.presence(id, p.Online, u.now)
	if p.Next != nil {
		u.acks = append(u.acks, journalKey{id, p.Next.Journal})
	}
	u.r.heardPosition(p.Central)
	u.step(orders.PointHeard{Now: u.moment(), CPID: id, NewBoot: out.NewBoot, Changes: changes})
}

func (u *unit) driver(m *message, origin string) {
	req, err := wire.DecodeDriverRequest(m.value)
	if err != nil {
		u.dead++
		return
	}
	if req.MessageID == "" {
		req.MessageID = origin
	}
	e := orders.DriverAsked{Now: u.moment(), Request: req}
	if before, ok := u.request(req.MessageID); ok && (before.Answer != nil || before.Silent) && !u.r.w.bug(BugRepeatReserves) {
		e.Known, e.Answer = true, before.Answer
	}
	u.step(e)
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
	u.step(orders.PointHeard{Now: u.moment(), CPID: in.cp})
}

// otherIn says that another Central spoke.
type otherIn struct{ central charge.Incarnation }

func (in otherIn) apply(u *unit) {
	u.inputs = append(u.inputs, in)
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
	ask    orders.Ask
	settle charge.SessionID // settle an orphaned session instead
	cp     charge.CPID
	answer func(orders.Reply)
}

func (a *asked) apply(u *unit) {
	u.inputs = append(u.inputs, a)
	var reply orders.Reply
	if a.settle != "" {
		changes, err := ledger.Settle(u.point(a.cp), &u.env, a.settle)
		if err == nil {
			u.add(changes)
			u.step(orders.PointHeard{Now: u.moment(), CPID: a.cp, Changes: changes})
		}
	} else {
		u.reply = &reply
		u.step(orders.OperatorAsked{Now: u.moment(), Ask: a.ask})
		u.reply = nil
	}
	u.replies = append(u.replies, func() { a.answer(reply) })
}
