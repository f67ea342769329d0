package world

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// byzantineCP is a charging point whose records have a good form and make no sense:
// sessions at two connectors, two at once, ends without a beginning, registers
// that fall, ids that belong to others. Its envelopes are those of an honest
// agent, but for a few, and it sends until it is acknowledged. Its books are not
// checked for truth; that Central bears it is.
type byzantineCP struct {
	w    *World
	id   charge.CPID
	rng  random
	line *line
	conn *conn

	conns        uint64
	journal      charge.JournalID
	held         []nonsenseRecord               // what it has not forgotten
	acked        int                            // the first of held that is not acknowledged
	written      map[recordKey][]nonsenseRecord // all it ever wrote; several if it used a name twice
	commands     []wire.Command                 // by its own Central
	until        time.Duration                  // it makes up records until then
	claimedEpoch charge.Epoch                   // of its position
	running      bool                           // its loop
	moved        int                            // acknowledgements since its last turn that moved its position
	stuck        bool                           // there was none: it sends one record
	lastSeq      map[charge.JournalID]int       // records of each journal
}

// nonsenseRecord is one of its records.
type nonsenseRecord struct {
	rec  wire.Record
	raw  []byte
	hash string
}

// liars are at most so many, with two connectors each.
const (
	maxByzantine = 2
	maxNonsense  = 15 * time.Minute
)

// startNonsense has a liar make up records for a while.
func (w *World) startNonsense(s Step) {
	n := s.N % maxByzantine
	for len(w.byzantine) <= n {
		id := charge.CPID(fmt.Sprint("LIAR_", len(w.byzantine)+1))
		w.byzantine = append(w.byzantine, &byzantineCP{
			w: w, id: id, rng: newRandom(w.plan.Seed, string(id)), line: w.newLine("mqtt " + string(id)),
			written: map[recordKey][]nonsenseRecord{}, lastSeq: map[charge.JournalID]int{},
		})
	}
	b := w.byzantine[n]
	b.until = w.now + min(s.For+time.Minute, maxNonsense)
	if !b.running {
		b.running = true
		b.step()
	}
}

// byzantineOf is the liar of a name; nil: it is an honest one.
func (w *World) byzantineOf(id charge.CPID) *byzantineCP {
	for _, b := range w.byzantine {
		if b.id == id {
			return b
		}
	}
	return nil
}

// active reports whether it makes up records now.
func (b *byzantineCP) active() bool { return b.w.now < b.until && !b.w.healed }

// step connects or says something, and goes on.
func (b *byzantineCP) step() {
	pause := span{time.Second, 20 * time.Second}
	if b.stuck = b.moved == 0; !b.active() && (b.stuck || b.acked == len(b.held)) { // it looks now and then, as an agent does
		pause = span{2 * time.Minute, 5 * time.Minute}
	}
	b.moved = 0
	if b.conn == nil {
		b.dial()
	} else {
		b.send()
	}
	b.w.after(b.rng.between(pause), "liar", b.step)
}

// send makes something up, if it lies now, and sends what is not acknowledged.
func (b *byzantineCP) send() {
	if b.active() {
		b.writeRecord()
		if b.rng.IntN(8) == 0 {
			b.operate()
		}
		if b.rng.IntN(50) == 0 { // Central must speak to it above that, and to nobody else
			b.claimedEpoch = charge.Epoch{Number: uint64(1_000_000_000 + b.rng.IntN(1_000_000_000)), Run: "ffffffffffffffff"}
		}
	}
	if b.rng.IntN(2) == 0 {
		b.held, b.acked = b.held[b.acked:], 0
	}
	b.publishPresence()
	window := 10
	if b.stuck {
		window = 1
	}
	for _, v := range b.held[b.acked:min(b.acked+window, len(b.held))] {
		b.conn.publish(mqttMessage{topic: b.w.mqtt.topics.Of(b.id, wire.KindEvent), raw: v.raw, qos: 1}, nil)
	}
}

func (b *byzantineCP) dial() {
	b.conns++
	b.w.mqtt.connect(b.line, string(b.id), mqttMessage{}, b.receive, func() {
		if b.conn != nil && !b.conn.alive {
			b.conn = nil
		}
	}, func(c *conn) { b.conn = c })
}

// receive takes commands to repeat them, and acknowledgements.
func (b *byzantineCP) receive(d inbound) {
	_, kind, err := b.w.mqtt.topics.Parse(d.topic)
	switch {
	case err != nil:
	case kind == wire.KindCommand:
		if c, err := wire.DecodeCommand(d.raw); err == nil && len(b.commands) < 20 {
			b.commands = append(b.commands, c)
		}
	case kind == wire.KindAck:
		if a, err := wire.DecodeAck(d.raw); err == nil {
			b.acknowledged(&a)
		}
	}
}

// acknowledged moves its position as an agent does: forward only, or anywhere by
// the word of a higher epoch.
func (b *byzantineCP) acknowledged(a *wire.Ack) {
	if a.Central.Less(b.claimedEpoch) {
		return
	}
	to := 0
	for i := range b.held {
		if r := &b.held[i].rec; a.Journal != nil && r.Journal == *a.Journal && r.Seq <= a.Seq {
			to = i + 1
		}
	}
	if !b.claimedEpoch.Less(a.Central) {
		to = max(to, b.acked)
	}
	if to != b.acked {
		b.moved++
	}
	b.acked, b.claimedEpoch = to, a.Central
}

func (b *byzantineCP) publishPresence() {
	p := wire.Presence{V: wire.Version, Online: true, Journal: b.journal, Conn: b.conns, At: b.w.wall(), Central: b.claimedEpoch}
	if p.Journal == "" || len(b.held) == 0 {
		return
	}
	place := func(i int) *wire.Position {
		r := &b.held[min(i, len(b.held)-1)].rec
		return &wire.Position{Journal: r.Journal, Seq: r.Seq + charge.Seq(i-min(i, len(b.held)-1))}
	}
	p.First, p.Next, p.Last = place(0), place(b.acked), place(len(b.held)-1)
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "presence of a liar cannot be written: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.w.mqtt.topics.Of(b.id, wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
}

// writeRecord makes the next record up, with an envelope that fits.
func (b *byzantineCP) writeRecord() {
	var p wire.Payload
	boot := b.journal == "" || b.rng.IntN(12) == 0
	var last *nonsenseRecord
	if n := len(b.held); n > 0 {
		last = &b.held[n-1]
	}
	if boot {
		reg := b.registered()
		if last != nil {
			reg.After = &wire.Position{Journal: last.rec.Journal, Seq: last.rec.Seq}
			if b.rng.IntN(10) == 0 { // one that never was
				reg.After = &wire.Position{Journal: "never", Seq: 7}
			}
		}
		b.journal, p = charge.JournalID(b.rng.newID(b.w.wall())), reg
		if b.rng.IntN(40) == 0 { // a name that is used again and again
			b.journal = "again"
		}
		b.lastSeq[b.journal] = 0
	} else {
		p = b.payload()
	}
	rec, err := wire.NewRecord(p)
	if err != nil {
		b.w.violated("shell", "lie cannot be written: %v", err)
		return
	}
	b.lastSeq[b.journal]++
	rec.CPID, rec.Journal, rec.Seq = b.id, b.journal, charge.Seq(b.lastSeq[b.journal])
	if last != nil {
		rec.Prev = last.hash
	}
	rec.Connector, rec.SessionID = b.connector(), b.session()
	rec.At, rec.Clock, rec.UptimeMS = b.w.wall(), charge.ClockSynced, int64(b.rng.IntN(1<<20))
	switch b.rng.IntN(60) {
	case 0:
		rec.Prev = wire.Hash([]byte("nothing"))
	case 1:
		rec.Type = "firmware_dreamt"
	case 2:
		rec.Data = []byte(`{"register_wh":"12,5"}`)
	}
	raw, err := rec.Encode()
	if err != nil {
		b.w.violated("shell", "lie cannot be written: %v", err)
		return
	}
	v := nonsenseRecord{rec, raw, wire.Hash(raw)}
	k := recordKey{journalKey{b.id, rec.Journal}, rec.Seq}
	b.held, b.written[k] = append(b.held, v), append(b.written[k], v)
	b.w.stats.NonsenseRecords++
}

func pick[T any](rng random, from ...T) T { return from[rng.IntN(len(from))] }

func (b *byzantineCP) connector() charge.ConnectorID {
	return pick[charge.ConnectorID](b.rng, 1, 1, 2, 2, 3, 0)
}

// session is one of its own few, or one that Central knows of somebody else.
func (b *byzantineCP) session() charge.SessionID {
	id := charge.SessionID(fmt.Sprint(b.id, "-S", b.rng.IntN(6)))
	if x := b.w.activeCentral(); x != nil && b.rng.IntN(6) == 0 && len(x.db.sessions) > 0 {
		id = pick(b.rng, sortedKeys(x.db.sessions)...)
	}
	return pick(b.rng, id, id, id, id, "")
}

func (b *byzantineCP) reservation() charge.ReservationID {
	if x := b.w.activeCentral(); x != nil && b.rng.IntN(2) == 0 && len(x.db.reservations) > 0 {
		return pick(b.rng, sortedKeys(x.db.reservations)...)
	}
	return charge.ReservationID(fmt.Sprint(b.id, "-R", b.rng.IntN(3)))
}

func (b *byzantineCP) user() charge.Username {
	return pick[charge.Username](b.rng, "driver0", "guest", "nobody")
}

func (b *byzantineCP) register() charge.WattHours {
	return pick[charge.WattHours](b.rng, 0, 1000, 1200, 1500, 2000, 2500, charge.MaxRegister)
}

func (b *byzantineCP) someTime() charge.Time {
	return b.w.wall().Add(time.Duration(pick(b.rng, -3600, -5, 0, 600)) * time.Second)
}

func (b *byzantineCP) registered() *wire.Registered {
	reg := &wire.Registered{Agent: "liar", Simulated: true}
	for range 1 + b.rng.IntN(3) {
		s := wire.ConnectorState{
			Connector: max(b.connector(), 1), Status: pick(b.rng, charge.Statuses()...), SessionID: b.session(),
			Plugged: b.rng.IntN(2) == 0, Available: b.rng.IntN(2) == 0,
		}
		if b.rng.IntN(2) == 0 {
			r := b.register()
			s.Register = &r
		}
		reg.Connectors = append(reg.Connectors, s)
	}
	for range b.rng.IntN(3) {
		reg.Reservations = append(reg.Reservations, wire.ReservationState{
			ReservationID: b.reservation(), Connector: max(b.connector(), 1), Username: b.user(), Until: b.someTime(),
		})
	}
	if b.rng.IntN(4) == 0 {
		reg.Damaged = append(reg.Damaged, wire.Damaged{Journal: cmp.Or(pick(b.rng, b.journal, "never"), "never"), First: charge.Seq(b.rng.IntN(6)), Last: charge.Seq(6 + b.rng.IntN(3))})
	}
	return reg
}

// command is one that it was given, one of somebody else, or one made up.
func (b *byzantineCP) command() json.RawMessage {
	now := b.w.wall()
	made := wire.Command{
		V: wire.Version, ID: charge.CommandID(fmt.Sprint(b.id, "-C", b.rng.IntN(3))), N: 1 + uint64(b.rng.IntN(3)), Central: charge.Epoch{Number: 1, Run: "0000000000000001"},
		Journal: b.journal, CPID: b.id, Connector: b.connector(), IssuedAt: now, SentAt: now, ExpiresAt: now.Add(time.Minute),
	}
	order := pick[wire.Order](b.rng,
		&wire.Reserve{ReservationID: b.reservation(), Username: b.user(), Until: b.someTime()},
		&wire.Start{SessionID: charge.SessionID(fmt.Sprint(b.id, "-S", b.rng.IntN(6))), Username: b.user(), ReservationID: b.reservation()},
		&wire.SetAvailability{Available: b.rng.IntN(2) == 0})
	data, err := wire.EncodeOrder(order)
	if err != nil {
		b.w.violated("shell", "order of a liar cannot be written: %v", err)
	}
	made.Type, made.Data = order.CommandType(), data
	if n := len(b.commands); n > 0 && b.rng.IntN(2) == 0 {
		made = b.commands[b.rng.IntN(n)]
	}
	raw, err := made.Encode()
	if err != nil {
		b.w.violated("shell", "command of a liar cannot be written: %v", err)
	}
	return raw
}

func (b *byzantineCP) commandID() charge.CommandID {
	if x := b.w.activeCentral(); x != nil && len(x.db.commands) > 0 && b.rng.IntN(2) == 0 {
		return pick(b.rng, sortedKeys(x.db.commands)...)
	}
	return charge.CommandID(fmt.Sprint(b.id, "-C", b.rng.IntN(3)))
}

func (b *byzantineCP) payload() wire.Payload {
	reg := b.register()
	switch b.rng.IntN(16) {
	case 0, 1, 2:
		return &wire.Authorized{
			By: pick(b.rng, wire.GrantReservation, wire.GrantOrder), Username: b.user(), Register: reg,
			Tariff: pick[charge.TariffVersion](b.rng, "standard-1", "", "unheard-of"), ReservationID: pick(b.rng, b.reservation(), ""),
		}
	case 3:
		return &wire.ChargingStarted{Register: reg}
	case 4, 5:
		return &wire.MeterRead{Register: reg}
	case 6:
		return &wire.Suspended{By: "ev", Register: reg}
	case 7:
		return &wire.Resumed{Register: reg}
	case 8, 9, 10:
		return &wire.ChargingStopped{Reason: charge.StopRemote, Start: min(b.register(), reg), Register: reg, OtherMeter: b.rng.IntN(2) == 0}
	case 11:
		return &wire.CommandAccepted{Command: b.command()}
	case 12:
		return &wire.CommandFinished{CommandID: b.commandID(), Result: pick(b.rng, wire.ResultDone, wire.ResultRejected, wire.ResultExpired)}
	case 13:
		return &wire.ReservationEnded{ReservationID: b.reservation(), Reason: charge.ReservationExpired}
	case 14:
		return pick[wire.Payload](b.rng, &wire.FaultRaised{Fault: charge.FaultOther}, &wire.FaultCleared{Fault: charge.FaultOther})
	default:
		return pick[wire.Payload](b.rng, &wire.PluggedIn{}, &wire.Unplugged{}, &wire.StatusChanged{Status: pick(b.rng, charge.Statuses()...)})
	}
}

// operate is what an operator tries with such a charging point.
func (b *byzantineCP) operate() {
	t := orders.Target{CPID: b.id, Connector: max(b.connector(), 1)}
	b.w.operator(pick[orders.OperatorRequest](b.rng,
		orders.OperatorReserve{Target: t, Username: b.user()}, orders.OperatorStart{Target: t, Username: b.user()}, orders.OperatorStop{SessionID: b.session()},
		orders.OperatorCancel{ReservationID: charge.ReservationID(fmt.Sprint(b.id, "-R", b.rng.IntN(3)))}), nil)
}
