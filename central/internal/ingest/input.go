package ingest

import (
	"fmt"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/names"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/crashpoint"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// input is one input of the writer. apply changes the state in memory and adds
// the rows of the change to u. It is called again, with another unit, if the
// commit of u failed.
type input interface{ apply(u *unit) }

// recordIn is a journal record.
type recordIn struct {
	d  KafkaRecord
	in ledger.Input
}

// presenceIn is the presence of a charging point: its birth or its last will.
type presenceIn struct {
	d  KafkaRecord
	cp charge.CPID
	p  wire.Presence
}

// driverIn is a message of a driver.
type driverIn struct {
	d       KafkaRecord
	req     wire.DriverRequest
	invalid string // why the message cannot be decoded; "" if it can
	badName string // why the username is refused; "" if it is not
}

// answerIn is an answer to a driver that was read back from central-events. It
// may be an answer of another Central, or of this one before its database was
// restored from a backup.
type answerIn struct {
	d KafkaRecord
	e wire.CentralEvent
}

// ticketIn is a ticket that was read back from central-events, as answerIn is an
// answer.
type ticketIn struct {
	d KafkaRecord
	t ledger.Ticket
}

// deadLetterIn is a Kafka record that cannot be used.
type deadLetterIn struct {
	d   KafkaRecord
	why reason.Reason
}

// offsetIn is a Kafka record that changes nothing but the offset.
type offsetIn struct{ d KafkaRecord }

// unknownKindIn is a Kafka record of a kind that this build does not know. A
// later version may write one per second, so it is counted and does not become
// a dead letter.
type unknownKindIn struct{ d KafkaRecord }

// decode decodes a Kafka record. It runs on the reader's goroutine and changes
// nothing but the live view. A record that cannot be decoded becomes a
// deadLetterIn.
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
	return deadLetterIn{d, reason.Reason{Code: reason.TopicUnread, Value: fmt.Sprintf("%.80q", d.Topic)}}
}

// decodeRecord decodes a journal record. The key of the Kafka record must be
// the charging point of the journal record: the key decides the partition, and
// so the order.
func (w *Writer) decodeRecord(d KafkaRecord) input {
	crashpoint.At(crashpoint.Fetched)
	if len(d.Value) == 0 {
		return deadLetterIn{d, reason.Reason{Code: reason.MessageEmpty, Message: "record"}}
	}
	r, err := wire.DecodeRecord(d.Value)
	switch {
	case err != nil:
		return deadLetterIn{d, wire.Why(err)}
	case d.Key != string(r.CPID):
		return deadLetterIn{d, reason.Reason{Code: reason.KeyNames, Value: fmt.Sprintf("%.80q", d.Key), Allowed: fmt.Sprintf("%q", r.CPID)}}
	}
	w.live.pointSeen(r.CPID, &d)
	return recordIn{d, ledger.Input{Raw: d.Value, Record: r, ReceivedAt: d.ReceivedAt}}
}

// decodeDriverRequest decodes a driver's message. An invalid message is
// answered with the reason if it names a username or a message_id that a client
// can wait for; otherwise it becomes a dead letter.
func decodeDriverRequest(d KafkaRecord) input {
	in := driverIn{d: d}
	var err error
	if in.req, err = wire.DecodeDriverRequest(d.Value); err != nil {
		if in.req.Username == "" && in.req.MessageID == "" {
			return deadLetterIn{d, wire.Why(err)}
		}
		in.invalid = err.Error()
	}
	if in.req.Username != "" {
		if err := names.Check(string(in.req.Username)); err != nil {
			in.badName = "field username: " + err.Error()
		}
	}
	if in.req.MessageID == "" { // an old client: the place in the log replaces the id
		in.req.MessageID = fmt.Sprintf("%.60s/%d/%d/%08x", d.Topic, d.Partition, d.Offset, d.CRC)
	}
	return in
}

// decodeAnswer decodes a record of central-events. Central wrote it, so one
// that this version cannot decode is a later version's, and no dead letter.
func decodeAnswer(d KafkaRecord) input {
	e, err := wire.DecodeCentralEvent(d.Value)
	switch {
	case err != nil:
		return unknownKindIn{d}
	case e.MessageID != "":
		return answerIn{d, e}
	}
	if t, ok := orders.PublishedTicket(&e); ok {
		return ticketIn{d, t}
	}
	return offsetIn{d}
}

// decodeMonitor decodes a presence or a heartbeat.
func (w *Writer) decodeMonitor(d KafkaRecord) input {
	switch d.Kind {
	case wire.KindValuePresence:
		cp := charge.CPID(d.Key)
		if !cp.Valid() {
			return deadLetterIn{d, wire.NotCPID("key", d.Key)}
		}
		p, err := wire.DecodePresence(d.Value)
		if err != nil {
			return deadLetterIn{d, wire.Why(err)}
		}
		if p.Online {
			w.live.pointSeen(cp, &d)
		}
		return presenceIn{d, cp, p}
	case wire.KindValueBridgeAlive:
		b, err := wire.DecodeBridgeAlive(d.Value)
		if err != nil {
			return deadLetterIn{d, wire.Why(err)}
		}
		w.live.bridgeHeartbeat(&b, &d)
		return bridgeIn{d, b}
	case wire.KindValueCentralAlive:
		a, err := wire.DecodeCentralAlive(d.Value)
		if err != nil {
			return deadLetterIn{d, wire.Why(err)}
		}
		// Epochs of Centrals that are alive now come through ObserveRecord,
		// which does not wait for the disk.
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
func (in deadLetterIn) apply(u *unit) { u.addDeadLetter(in.d, in.why) }
func (in offsetIn) apply(u *unit)     { u.markRead(in.d) }

func (in unknownKindIn) apply(u *unit) {
	u.markRead(in.d)
	u.counts[countUnknownKinds]++
}

// fromKafka is implemented by inputs that came from Kafka and can become a dead
// letter.
type fromKafka interface{ kafkaRecord() KafkaRecord }

func (in recordIn) kafkaRecord() KafkaRecord   { return in.d }
func (in presenceIn) kafkaRecord() KafkaRecord { return in.d }
func (in driverIn) kafkaRecord() KafkaRecord   { return in.d }

// tickIn lets time pass: deadlines of orders may be due.
type tickIn struct{}

func (tickIn) apply(u *unit) { u.stepOrders(orders.Tick{Now: u.moment()}) }

// caughtUpIn is CaughtUp.
type caughtUpIn struct{}

func (caughtUpIn) apply(u *unit) { u.w.caughtUp = true }

// commandSentIn reports that Kafka has a command.
type commandSentIn struct {
	cp charge.CPID
	id charge.CommandID
}

func (in commandSentIn) apply(u *unit) {
	u.stepOrders(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// onlineIn reports that a charging point is online again.
type onlineIn struct{ cp charge.CPID }

func (in onlineIn) apply(u *unit) {
	if cp := u.w.cps[in.cp]; cp != nil {
		u.cp = in.cp
		u.changed[in.cp] = struct{}{}
		u.addChanges(ledger.ClearSilence(cp))
	}
	u.stepOrders(orders.PresenceReceived{Now: u.moment(), CPID: in.cp})
}

// silentIn reports that a charging point with open sessions has been silent
// since a time that is more than Config.SilentAfter ago.
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
	u.changed[in.cp] = struct{}{}
	u.addChanges(ledger.RaiseSilence(cp, &u.env, in.since))
}

// otherCentralIn reports that another Central wrote to Kafka.
type otherCentralIn struct{ central charge.Epoch }

func (in answerIn) apply(u *unit) {
	u.markRead(in.d)
	q, ok := u.request(orders.RequestKey{Username: in.e.Username, MessageID: in.e.MessageID})
	u.stepOrders(orders.AnswerReceived{Now: u.moment(), Answer: in.e, Known: ok && q.Finished()})
}

func (in ticketIn) apply(u *unit) {
	u.markRead(in.d)
	u.addChanges(ledger.ReadPublished(&u.env, in.t))
}

func (in otherCentralIn) apply(u *unit) {
	u.fenceEvaluated = true
	if !u.w.plausible(in.central) {
		return
	}
	u.stepOrders(orders.OtherCentralSeen{Now: u.moment(), Central: in.central})
}

// earlierCentralIn is the heartbeat of a Central that was in the log before
// this run began.
type earlierCentralIn struct {
	d       KafkaRecord
	central charge.Epoch
}

func (in earlierCentralIn) apply(u *unit) {
	u.markRead(in.d)
	u.w.noteEarlierEpoch(in.central)
}

// outboxSentIn reports that Kafka has these rows of the outbox.
type outboxSentIn struct{ ids []int64 }

func (in outboxSentIn) apply(u *unit) { u.outboxSent = append(u.outboxSent, in.ids...) }

// readFailedIn is an error of reading the database outside the writer. It fails
// the unit, so that commit handles it like an error of its own.
type readFailedIn struct{ err error }

func (in readFailedIn) apply(u *unit) { u.err = in.err }

// alarmIn is an alarm raised by Central itself.
type alarmIn struct{ alarm ledger.Alarm }

func (in alarmIn) apply(u *unit) {
	in.alarm.At = u.now
	u.addChanges([]ledger.Change{ledger.AlarmRaised{Alarm: in.alarm}})
}

// cleanupIn deletes answers and replies whose time to be kept is over, and
// prunes raw records, ended commands and dead letters.
type cleanupIn struct{}

func (cleanupIn) apply(u *unit) {
	u.retentionNow = u.w.advanceRetention(u.now)
	u.answersBefore = u.retentionNow.Add(-u.w.cfg.KeepAnswers)
	if u.w.cfg.Keep > 0 {
		u.pruneBefore = u.retentionNow.Add(-u.w.cfg.Keep)
	}
}
