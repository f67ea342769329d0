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

// byzantineCP is a Byzantine charging point: its records are well-formed and make
// no sense. They start sessions at two connectors or two at once, end sessions
// that never began, let registers fall, and use ids of other charging points. The
// envelopes (sequence, hash chain) are mostly right, and it sends records until
// they are acknowledged, like an agent.
//
// Its accounts are not compared with any hardware. What is checked: Central
// tolerates it, everything it sent is acknowledged or named by an alarm, other
// charging points are not affected, and the accounts follow from its records.
type byzantineCP struct {
	w    *World
	id   charge.CPID
	rng  random
	line *line
	conn *conn // nil: not connected

	conns   uint64
	journal charge.JournalID // the present one
	// Records that it did not delete, in order.
	held  []nonsenseRecord
	acked int // held[:acked] are acknowledged
	// All records ever; several per key if a journal's id was reused.
	written map[recordKey][]nonsenseRecord
	// That Central sent, to repeat them in records.
	commands []wire.Command
	until    time.Duration // it creates records until then
	// The epoch that it claims to have accepted.
	claimedEpoch charge.Epoch
	running      bool // step is scheduled
	// Acknowledgements since the last step that moved acked.
	moved int
	// There was none: it sends a single record, like a probe.
	stuck   bool
	lastSeq map[charge.JournalID]int // of each journal
}

// nonsenseRecord is one of its records.
type nonsenseRecord struct {
	rec  wire.Record
	raw  []byte
	hash string
}

// Limits of Byzantine charging points: their number, and how long one fault lasts.
const (
	maxByzantine = 2
	maxNonsense  = 15 * time.Minute
)

// startNonsense lets a Byzantine charging point create records for a while. It is
// created at its first fault, and stays in the network to the end of the run.
func (w *World) startNonsense(s Step) {
	n := s.N % maxByzantine
	for len(w.byzantine) <= n {
		// The id seeds its random sources, and the partition of its records follows from
		// it, so it must not change.
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

// byzantineOf returns the Byzantine charging point with the id; nil for any other.
func (w *World) byzantineOf(id charge.CPID) *byzantineCP {
	for _, b := range w.byzantine {
		if b.id == id {
			return b
		}
	}
	return nil
}

// active reports whether it creates records now.
func (b *byzantineCP) active() bool { return b.w.now < b.until && !b.w.healed }

// step connects or sends, and schedules the next step: rarely if it has nothing to
// send or is not acknowledged, as an agent that probes.
func (b *byzantineCP) step() {
	pause := span{time.Second, 20 * time.Second}
	if b.stuck = b.moved == 0; !b.active() && (b.stuck || b.acked == len(b.held)) {
		pause = span{2 * time.Minute, 5 * time.Minute}
	}
	b.moved = 0
	if b.conn == nil {
		b.dial()
	} else {
		b.send()
	}
	b.w.after(b.rng.between(pause), "byzantine step", b.step)
}

// send creates a record while active, and publishes the presence and what is not
// acknowledged.
func (b *byzantineCP) send() {
	if b.active() {
		b.writeRecord()
		if b.rng.IntN(8) == 0 {
			b.operate()
		}
		if b.rng.IntN(50) == 0 { // Central has to raise its epoch for this charging point only
			b.claimedEpoch = charge.Epoch{Number: uint64(1_000_000_000 + b.rng.IntN(1_000_000_000)), Run: "ffffffffffffffff"}
		}
	}
	if b.rng.IntN(2) == 0 {
		// It deletes what is acknowledged, or keeps it and could send it again.
		b.held, b.acked = b.held[b.acked:], 0
	}
	b.publishPresence()
	// Like an agent it sends a window of records; a single one while nothing is
	// acknowledged.
	window := 10
	if b.stuck {
		window = 1
	}
	for _, v := range b.held[b.acked:min(b.acked+window, len(b.held))] {
		b.conn.publish(mqttMessage{topic: b.w.mqtt.topics.Of(b.id, wire.KindEvent), raw: v.raw, qos: 1}, nil)
	}
}

// dial connects to the broker without a last will.
func (b *byzantineCP) dial() {
	b.conns++
	b.w.mqtt.connect(b.line, string(b.id), mqttMessage{}, b.receive, func() {
		if b.conn != nil && !b.conn.alive {
			b.conn = nil
		}
	}, func(c *conn) { b.conn = c })
}

// receive keeps commands for later, and handles acknowledgements.
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

// acknowledged moves its position as an agent does: forward within an epoch, and
// anywhere for a higher one.
func (b *byzantineCP) acknowledged(a *wire.Ack) {
	// An acknowledgement of an older Central is ignored.
	if a.Central.Less(b.claimedEpoch) {
		return
	}
	// A position in a journal that it does not hold means that Central knows none of it.
	to := 0
	for i := range b.held {
		if r := &b.held[i].rec; a.Journal != nil && r.Journal == *a.Journal && r.Seq <= a.Seq {
			to = i + 1
		}
	}
	// Within an epoch acknowledgements may arrive out of order.
	if !b.claimedEpoch.Less(a.Central) {
		to = max(to, b.acked)
	}
	if to != b.acked {
		b.moved++
	}
	b.acked, b.claimedEpoch = to, a.Central
}

// publishPresence publishes which records it has, and which one it sends next.
func (b *byzantineCP) publishPresence() {
	p := wire.Presence{V: wire.Version, Online: true, Journal: b.journal, Conn: b.conns, At: b.w.wall(), Central: b.claimedEpoch}
	if p.Journal == "" || len(b.held) == 0 {
		return
	}
	place := func(i int) *wire.Position {
		r := &b.held[min(i, len(b.held)-1)].rec
		return &wire.Position{Journal: r.Journal, Seq: r.Seq + charge.Seq(i-min(i, len(b.held)-1))}
	}
	// Behind the last record the next one has the following sequence number.
	p.First, p.Next, p.Last = place(0), place(b.acked), place(len(b.held)-1)
	raw, err := p.Encode()
	if err != nil {
		b.w.violated("shell", "Byzantine presence cannot be encoded: %v", err)
		return
	}
	b.conn.publish(mqttMessage{topic: b.w.mqtt.topics.Of(b.id, wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
}

// writeRecord creates the next record: registered at the beginning of a boot, and
// any payload after it. Now and then the chain, the type or the data is invalid.
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
			if b.rng.IntN(10) == 0 { // a position that never existed
				reg.After = &wire.Position{Journal: "never", Seq: 7}
			}
		}
		b.journal, p = charge.JournalID(b.rng.newID(b.w.wall())), reg
		if b.rng.IntN(40) == 0 { // an id that is used several times
			b.journal = "again"
		}
		b.lastSeq[b.journal] = 0
	} else {
		p = b.payload()
	}
	rec, err := wire.NewRecord(p)
	if err != nil {
		b.w.violated("shell", "nonsense cannot be encoded: %v", err)
		return
	}
	b.lastSeq[b.journal]++
	rec.CPID, rec.Journal, rec.Seq = b.id, b.journal, charge.Seq(b.lastSeq[b.journal])
	if last != nil {
		rec.Prev = last.hash
	}
	rec.Connector, rec.SessionID = b.connector(), b.session()
	rec.At, rec.Clock, rec.UptimeMS = b.w.wall(), charge.ClockSynced, int64(b.rng.IntN(1<<20))
	// Rarely, because a record that breaks the chain stops everything behind it.
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
		b.w.violated("shell", "nonsense cannot be encoded: %v", err)
		return
	}
	v := nonsenseRecord{rec, raw, wire.Hash(raw)}
	k := recordKey{journalKey{b.id, rec.Journal}, rec.Seq}
	b.held, b.written[k] = append(b.held, v), append(b.written[k], v)
	b.w.stats.NonsenseRecords++
}

// pick draws one of the values.
func pick[T any](rng random, from ...T) T { return from[rng.IntN(len(from))] }

// connector draws a connector, mostly one of two; 0 is the whole charging point.
func (b *byzantineCP) connector() charge.ConnectorID {
	return pick[charge.ConnectorID](b.rng, 1, 1, 2, 2, 3, 0)
}

// session draws one of its own few session ids, one that Central knows of any
// charging point, or none.
func (b *byzantineCP) session() charge.SessionID {
	id := charge.SessionID(fmt.Sprint(b.id, "-S", b.rng.IntN(6)))
	if x := b.w.activeCentral(); x != nil && b.rng.IntN(6) == 0 && len(x.db.sessions) > 0 {
		id = pick(b.rng, sortedKeys(x.db.sessions)...)
	}
	return pick(b.rng, id, id, id, id, "")
}

// reservation draws a reservation's id in the same way.
func (b *byzantineCP) reservation() charge.ReservationID {
	if x := b.w.activeCentral(); x != nil && b.rng.IntN(2) == 0 && len(x.db.reservations) > 0 {
		return pick(b.rng, sortedKeys(x.db.reservations)...)
	}
	return charge.ReservationID(fmt.Sprint(b.id, "-R", b.rng.IntN(3)))
}

// user draws a username, of real drivers too.
func (b *byzantineCP) user() charge.Username {
	return pick[charge.Username](b.rng, "driver0", "guest", "user9")
}

// register draws a register, up to the greatest that the protocol allows.
func (b *byzantineCP) register() charge.WattHours {
	return pick[charge.WattHours](b.rng, 0, 1000, 1200, 1500, 2000, 2500, charge.MaxRegister)
}

// someTime draws a time in the past or the future.
func (b *byzantineCP) someTime() charge.Time {
	return b.w.wall().Add(time.Duration(pick(b.rng, -3600, -5, 0, 600)) * time.Second)
}

// registered draws the first record of a boot.
func (b *byzantineCP) registered() *wire.Registered {
	reg := &wire.Registered{Agent: "byzantine", Simulated: true}
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

// command draws a command for command_accepted: one that it received or an invented one.
func (b *byzantineCP) command() json.RawMessage {
	now := b.w.wall()
	// An invented command may repeat an id of its own with other contents.
	made := wire.Command{
		V: wire.Version, ID: charge.CommandID(fmt.Sprint(b.id, "-C", b.rng.IntN(3))), N: 1 + uint64(b.rng.IntN(3)), Central: charge.Epoch{Number: 1, Run: "0000000000000001"},
		Journal: b.journal, CPID: b.id, Connector: b.connector(), IssuedAt: now, SentAt: now, ExpiresAt: now.Add(time.Minute),
	}
	// Orders with consequences for the accounts: reservations, sessions, availability, limits.
	order := pick[wire.Order](b.rng,
		&wire.Reserve{ReservationID: b.reservation(), Username: b.user(), Until: b.someTime()},
		&wire.Start{SessionID: charge.SessionID(fmt.Sprint(b.id, "-S", b.rng.IntN(6))), Username: b.user(), ReservationID: b.reservation()},
		&wire.SetAvailability{Available: b.rng.IntN(2) == 0},
		&wire.SetLimit{Limit: 8_000, Until: b.someTime()})
	data, err := wire.EncodeOrder(order)
	if err != nil {
		b.w.violated("shell", "Byzantine order cannot be encoded: %v", err)
	}
	made.Type, made.Data = order.CommandType(), data
	if n := len(b.commands); n > 0 && b.rng.IntN(2) == 0 {
		made = b.commands[b.rng.IntN(n)]
	}
	raw, err := made.Encode()
	if err != nil {
		b.w.violated("shell", "Byzantine command cannot be encoded: %v", err)
	}
	return raw
}

// commandID draws the id of a command that Central knows, or an unknown one.
func (b *byzantineCP) commandID() charge.CommandID {
	if x := b.w.activeCentral(); x != nil && len(x.db.commands) > 0 && b.rng.IntN(2) == 0 {
		return pick(b.rng, sortedKeys(x.db.commands)...)
	}
	return charge.CommandID(fmt.Sprint(b.id, "-C", b.rng.IntN(3)))
}

// payload draws the payload of a record.
func (b *byzantineCP) payload() wire.Payload {
	reg := b.register()
	// Sessions and meters are drawn most often: they change accounts.
	switch b.rng.IntN(16) {
	case 0, 1, 2:
		return &wire.Authorized{
			By: pick(b.rng, wire.GrantReservation, wire.GrantOrder), Username: b.user(), Register: reg,
			Tariff: pick[charge.TariffVersion](b.rng, "standard-1", "", "unknown-1"), ReservationID: pick(b.rng, b.reservation(), ""),
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

// operate lets an operator send a random request about this charging point.
func (b *byzantineCP) operate() {
	t := orders.Target{CPID: b.id, Connector: max(b.connector(), 1)}
	b.w.operator(pick[orders.OperatorRequest](b.rng,
		orders.OperatorReserve{Target: t, Username: b.user()}, orders.OperatorStart{Target: t, Username: b.user()}, orders.OperatorStop{SessionID: b.session()},
		orders.OperatorCancel{ReservationID: charge.ReservationID(fmt.Sprint(b.id, "-R", b.rng.IntN(3)))}), nil)
}
