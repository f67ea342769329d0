package ingest

import (
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/wire"
)

// input is one thing the writer takes in. apply adds to the unit what becomes
// of it; it may be called again with another unit when a transaction failed.
type input interface{ apply(u *unit) }

// recordIn is a journal record.
type recordIn struct {
	d  KafkaRecord
	in ledger.Input
}

// presenceIn is a presence of a charging point.
type presenceIn struct {
	d  KafkaRecord
	cp charge.CPID
	p  wire.Presence
}

// driverIn is a message of a driver.
type driverIn struct {
	d       KafkaRecord
	req     wire.DriverRequest
	invalid string
	badName string
}

// answerIn is what a driver was answered, by this life or by another one.
type answerIn struct {
	d KafkaRecord
	e wire.CentralEvent
}

// deadLetterIn is a Kafka record that cannot be used.
type deadLetterIn struct {
	d      KafkaRecord
	reason string
}

// offsetIn is a Kafka record that only moves the offset.
type offsetIn struct{ d KafkaRecord }

// unknownKindIn is a Kafka record of a kind that this build does not know: a later
// one may say it each second, so it is counted and no dead letter.
type unknownKindIn struct{ d KafkaRecord }

// decode decodes a Kafka record. It is pure, so each reader does it for
// itself, and the writer only applies. Nil means that nothing is to be done,
// not even moving an offset.
func (w *Writer) decode(d KafkaRecord) input {
	switch d.Topic {
	case w.cfg.Topics.Events:
		return w.decodeRecord(d)
	case w.cfg.Topics.Drivers:
		return decodeDriverRequest(d)
	case w.cfg.Topics.Monitor:
		return w.decodeMonitor(d)
	case w.cfg.Topics.Central:
		return decodeAnswer(d)
	}
	return deadLetterIn{d, fmt.Sprintf("nobody reads topic %.80q", d.Topic)}
}

func (w *Writer) decodeRecord(d KafkaRecord) input {
	crashpoint.At(crashpoint.Fetched)
	if len(d.Value) == 0 {
		return deadLetterIn{d, "is empty"}
	}
	r, err := wire.DecodeRecord(d.Value)
	switch {
	case err != nil:
		return deadLetterIn{d, err.Error()}
	case d.Key != string(r.CPID):
		return deadLetterIn{d, fmt.Sprintf("the key names %.80q, the record %q", d.Key, r.CPID)}
	}
	w.live.pointSeen(r.CPID, &d)
	return recordIn{d, ledger.Input{Raw: d.Value, Record: r}}
}

// decodeDriverRequest reads a driver's message. One that cannot be used is answered
// with the reason, as long as it tells whom: by a username, or by a message_id
// that somebody waits for.
func decodeDriverRequest(d KafkaRecord) input {
	in := driverIn{d: d}
	var err error
	if in.req, err = wire.DecodeDriverRequest(d.Value); err != nil {
		if in.req.Username == "" && in.req.MessageID == "" {
			return deadLetterIn{d, err.Error()}
		}
		in.invalid = err.Error()
	}
	if in.req.Username != "" {
		if err := names.Check(string(in.req.Username)); err != nil {
			in.badName = "field username: " + err.Error()
		}
	}
	if in.req.MessageID == "" { // an old client: the place in the log stands in for it
		in.req.MessageID = fmt.Sprintf("%.60s/%d/%d/%08x", d.Topic, d.Partition, d.Offset, d.CRC)
	}
	return in
}

// decodeAnswer reads what Central said. What is none of its words is not for
// it to judge: drivers read it.
func decodeAnswer(d KafkaRecord) input {
	e, err := wire.DecodeCentralEvent(d.Value)
	switch {
	case err != nil:
		return unknownKindIn{d}
	case e.MessageID == "":
		return offsetIn{d}
	}
	return answerIn{d, e}
}

func (w *Writer) decodeMonitor(d KafkaRecord) input {
	switch d.Kind {
	case wire.KindValuePresence:
		cp, err := charge.ParseCPID(d.Key)
		if err != nil {
			return deadLetterIn{d, err.Error()}
		}
		p, err := wire.DecodePresence(d.Value)
		if err != nil {
			return deadLetterIn{d, err.Error()}
		}
		if p.Online {
			w.live.pointSeen(cp, &d)
		}
		return presenceIn{d, cp, p}
	case wire.KindValueBridgeAlive:
		b, err := wire.DecodeBridgeAlive(d.Value)
		if err != nil {
			return deadLetterIn{d, err.Error()}
		}
		w.live.bridgeHeartbeat(&b, &d)
		return bridgeIn{d, b}
	case wire.KindValueCentralAlive:
		a, err := wire.DecodeCentralAlive(d.Value)
		if err != nil {
			return deadLetterIn{d, err.Error()}
		}
		// Who speaks now is heard beside the writer, which may wait for its disk:
		// Hear.
		if d.BeforeStart {
			return earlierCentralIn{d, a.Central}
		}
	default:
		return unknownKindIn{d}
	}
	return offsetIn{d}
}

func (in recordIn) apply(u *unit)     { u.applyRecord(in) }
func (in presenceIn) apply(u *unit)   { u.applyPresence(in) }
func (in driverIn) apply(u *unit)     { u.applyDriver(in) }
func (in deadLetterIn) apply(u *unit) { u.addDeadLetter(in.d, in.reason) }
func (in offsetIn) apply(u *unit)     { u.markRead(in.d) }

func (in unknownKindIn) apply(u *unit) {
	u.markRead(in.d)
	u.counts[countUnknownKinds]++
}

// fromKafka is implemented by what came from Kafka.
type fromKafka interface{ kafkaRecord() KafkaRecord }

func (in recordIn) kafkaRecord() KafkaRecord   { return in.d }
func (in presenceIn) kafkaRecord() KafkaRecord { return in.d }
func (in driverIn) kafkaRecord() KafkaRecord   { return in.d }

// tickIn says that time went on.
type tickIn struct{}

func (tickIn) apply(u *unit) { u.stepOrders(orders.Tick{Now: u.moment()}) }

// commandSentIn says that Kafka has a command.
type commandSentIn struct {
	cp charge.CPID
	id charge.CommandID
}

func (in commandSentIn) apply(u *unit) {
	u.stepOrders(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// onlineIn says that a charging point is heard again after silence.
type onlineIn struct{ cp charge.CPID }

func (in onlineIn) apply(u *unit) {
	if cp := u.w.cps[in.cp]; cp != nil {
		u.cp = in.cp
		u.touched[in.cp] = struct{}{}
		u.addChanges(ledger.ClearSilence(cp))
	}
	u.stepOrders(orders.PresenceReceived{Now: u.moment(), CPID: in.cp})
}

// silentIn says that a charging point with open sessions was not heard for too
// long.
type silentIn struct {
	cp    charge.CPID
	since charge.Time
}

func (in silentIn) apply(u *unit) {
	cp := u.w.cps[in.cp]
	if cp == nil {
		return
	}
	u.cp = in.cp
	u.touched[in.cp] = struct{}{}
	u.addChanges(ledger.RaiseSilence(cp, &u.env, in.since))
}

// otherCentralIn says that another Central spoke.
type otherCentralIn struct{ central charge.Epoch }

func (in answerIn) apply(u *unit) {
	u.markRead(in.d)
	q, ok := u.request(orders.RequestKey{Username: in.e.Username, MessageID: in.e.MessageID})
	u.stepOrders(orders.AnswerReceived{Now: u.moment(), Answer: in.e, Known: ok && q.Finished()})
}

func (in otherCentralIn) apply(u *unit) {
	u.fenceEvaluated = true
	if !u.w.plausible(in.central) {
		return
	}
	u.stepOrders(orders.OtherCentralSeen{Now: u.moment(), Central: in.central})
}

// earlierCentralIn is a sign of life of a Central that was in the log before this run.
type earlierCentralIn struct {
	d       KafkaRecord
	central charge.Epoch
}

func (in earlierCentralIn) apply(u *unit) {
	u.markRead(in.d)
	u.w.noteEarlierEpoch(in.central)
}

// outboxSentIn says that Kafka has rows of the outbox.
type outboxSentIn struct{ ids []int64 }

func (in outboxSentIn) apply(u *unit) { u.outboxSent = append(u.outboxSent, in.ids...) }

// readFailedIn is an error that was met in reading the database beside the writer.
type readFailedIn struct{ err error }

func (in readFailedIn) apply(u *unit) { u.err = in.err }

// alarmIn is an alarm of Central itself.
type alarmIn struct{ alarm ledger.Alarm }

func (in alarmIn) apply(u *unit) {
	in.alarm.At = u.now
	u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: in.alarm}})
}

// cleanupIn deletes answers that are older than their topic or their key, and
// what is older than it must be kept.
type cleanupIn struct{}

func (cleanupIn) apply(u *unit) {
	u.retentionNow = u.w.advanceRetention(u.now)
	u.repliesBefore = u.retentionNow.Add(-u.w.cfg.KeepAnswers)
	if u.w.cfg.Keep > 0 {
		u.pruneBefore = u.retentionNow.Add(-u.w.cfg.Keep)
	}
}
