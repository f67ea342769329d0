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
	d  Delivered
	in ledger.Input
}

// presenceIn is a presence of a charging point.
type presenceIn struct {
	d  Delivered
	cp charge.CPID
	p  wire.Presence
}

// driverIn is a message of a driver.
type driverIn struct {
	d       Delivered
	req     wire.DriverRequest
	invalid string
	badName string
}

// answerIn is what a driver was answered, by this life or by another one.
type answerIn struct {
	d Delivered
	e wire.CentralEvent
}

// deadIn is a Kafka record that cannot be used.
type deadIn struct {
	d      Delivered
	reason string
}

// passIn is a Kafka record that only moves the offset.
type passIn struct{ d Delivered }

// unknownIn is a Kafka record of a kind that this build does not know: a later
// one may say it each second, so it is counted and no dead letter.
type unknownIn struct{ d Delivered }

// prepare decodes a Kafka record. It is pure, so each reader does it for
// itself, and the writer only applies. Nil means that nothing is to be done,
// not even moving an offset.
func (w *Writer) prepare(d Delivered) input {
	switch d.Topic {
	case w.cfg.Topics.Events:
		return w.prepareRecord(d)
	case w.cfg.Topics.Drivers:
		return prepareDriver(d)
	case w.cfg.Topics.Monitor:
		return w.prepareMonitor(d)
	case w.cfg.Topics.Central:
		return prepareAnswer(d)
	}
	return deadIn{d, fmt.Sprintf("nobody reads topic %.80q", d.Topic)}
}

func (w *Writer) prepareRecord(d Delivered) input {
	crashpoint.At(crashpoint.Fetched)
	if len(d.Value) == 0 {
		return deadIn{d, "is empty"}
	}
	r, err := wire.DecodeRecord(d.Value)
	switch {
	case err != nil:
		return deadIn{d, err.Error()}
	case d.Key != string(r.CPID):
		return deadIn{d, fmt.Sprintf("the key names %.80q, the record %q", d.Key, r.CPID)}
	}
	w.live.hearPoint(r.CPID, &d)
	return recordIn{d, ledger.Input{Raw: d.Value, Record: r}}
}

// prepareDriver reads a driver's message. One that cannot be used is answered
// with the reason, as long as it tells whom: by a username, or by a message_id
// that somebody waits for.
func prepareDriver(d Delivered) input {
	in := driverIn{d: d}
	var err error
	if in.req, err = wire.DecodeDriverRequest(d.Value); err != nil {
		if in.req.Username == "" && in.req.MessageID == "" {
			return deadIn{d, err.Error()}
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

// prepareAnswer reads what Central said. What is none of its words is not for
// it to judge: drivers read it.
func prepareAnswer(d Delivered) input {
	e, err := wire.DecodeCentralEvent(d.Value)
	switch {
	case err != nil:
		return unknownIn{d}
	case e.MessageID == "":
		return passIn{d}
	}
	return answerIn{d, e}
}

func (w *Writer) prepareMonitor(d Delivered) input {
	switch d.Kind {
	case wire.KindValuePresence:
		cp, err := charge.ParseCPID(d.Key)
		if err != nil {
			return deadIn{d, err.Error()}
		}
		p, err := wire.DecodePresence(d.Value)
		if err != nil {
			return deadIn{d, err.Error()}
		}
		if p.Online {
			w.live.hearPoint(cp, &d)
		}
		return presenceIn{d, cp, p}
	case wire.KindValueBridgeAlive:
		b, err := wire.DecodeBridgeAlive(d.Value)
		if err != nil {
			return deadIn{d, err.Error()}
		}
		w.live.hearBridge(&b, &d)
		return bridgeIn{d, b}
	case wire.KindValueCentralAlive:
		a, err := wire.DecodeCentralAlive(d.Value)
		if err != nil {
			return deadIn{d, err.Error()}
		}
		// Who speaks now is heard beside the writer, which may wait for its disk:
		// Hear.
		if d.Past {
			return pastIn{d, a.Central}
		}
	default:
		return unknownIn{d}
	}
	return passIn{d}
}

func (in recordIn) apply(u *unit)   { u.record(in) }
func (in presenceIn) apply(u *unit) { u.presence(in) }
func (in driverIn) apply(u *unit)   { u.driver(in) }
func (in deadIn) apply(u *unit)     { u.deadLetter(in.d, in.reason) }
func (in passIn) apply(u *unit)     { u.read(in.d) }

func (in unknownIn) apply(u *unit) {
	u.read(in.d)
	u.counts[countUnknown]++
}

// delivered is implemented by what came from Kafka.
type delivered interface{ from() Delivered }

func (in recordIn) from() Delivered   { return in.d }
func (in presenceIn) from() Delivered { return in.d }
func (in driverIn) from() Delivered   { return in.d }

// tickIn says that time went on.
type tickIn struct{}

func (tickIn) apply(u *unit) { u.step(orders.Tick{Now: u.moment()}) }

// sentIn says that Kafka has a command.
type sentIn struct {
	cp charge.CPID
	id charge.CommandID
}

func (in sentIn) apply(u *unit) {
	u.step(orders.CommandSent{Now: u.moment(), CPID: in.cp, CommandID: in.id})
}

// backIn says that a charging point is heard again after silence.
type backIn struct{ cp charge.CPID }

func (in backIn) apply(u *unit) {
	if cp := u.w.cps[in.cp]; cp != nil {
		u.cp = in.cp
		u.touched[in.cp] = struct{}{}
		u.add(ledger.Noticed(cp))
	}
	u.step(orders.PointHeard{Now: u.moment(), CPID: in.cp})
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
	u.add(ledger.Silence(cp, &u.env, in.since))
}

// otherIn says that another Central spoke.
type otherIn struct{ central charge.Epoch }

func (in answerIn) apply(u *unit) {
	u.read(in.d)
	q, ok := u.request(orders.RequestKey{Username: in.e.Username, MessageID: in.e.MessageID})
	u.step(orders.AnswerHeard{Now: u.moment(), Answer: in.e, Known: ok && q.Finished()})
}

func (in otherIn) apply(u *unit) {
	u.fence = true
	if !u.w.believe(in.central) {
		return
	}
	u.step(orders.CentralHeard{Now: u.moment(), Central: in.central})
}

// pastIn is a sign of life of a Central that was in the log before this run.
type pastIn struct {
	d       Delivered
	central charge.Epoch
}

func (in pastIn) apply(u *unit) {
	u.read(in.d)
	u.w.heardPast(in.central)
}

// toldIn says that Kafka has rows of the outbox.
type toldIn struct{ ids []int64 }

func (in toldIn) apply(u *unit) { u.told = append(u.told, in.ids...) }

// failedIn is an error that was met in reading the database beside the writer.
type failedIn struct{ err error }

func (in failedIn) apply(u *unit) { u.err = in.err }

// alarmIn is an alarm of Central itself.
type alarmIn struct{ alarm ledger.Alarm }

func (in alarmIn) apply(u *unit) {
	in.alarm.At = u.now
	u.add([]ledger.Change{ledger.AlarmRaised{Alarm: in.alarm}})
}

// forgetIn deletes answers that are older than their topic or their key, and
// what is older than it must be kept.
type forgetIn struct{}

func (forgetIn) apply(u *unit) {
	u.aged = u.w.age(u.now)
	u.forgetBefore = u.aged.Add(-u.w.cfg.KeepAnswers)
	if u.w.cfg.Keep > 0 {
		u.pruneBefore = u.aged.Add(-u.w.cfg.Keep)
	}
}
