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

// liar is a charging point whose records have a good form and make no sense:
// sessions at two connectors, two at once, ends without a beginning, registers
// that fall, ids that belong to others. Its envelopes are those of an honest
// agent, but for a few, and it sends until it is acknowledged. Its books are not
// checked for truth; that Central bears it is.
type liar struct {
	w    *World
	id   charge.CPID
	c    chance
	line *line
	conn *conn

	conns uint64
	at    charge.JournalID
	held  []lie                    // what it has not forgotten
	from  int                      // the first of held that is not acknowledged
	wrote map[recordKey][]lie      // all it ever wrote; several if it used a name twice
	heard []wire.Command           // by its own Central
	until time.Duration            // it makes up records until then
	claim charge.Epoch             // of its position
	runs  bool                     // its loop
	moved int                      // acknowledgements since its last turn that moved its position
	stuck bool                     // there was none: it sends one record
	told  map[charge.JournalID]int // records of each journal
}

// lie is one of its records.
type lie struct {
	rec  wire.Record
	raw  []byte
	hash string
}

// liars are at most so many, with two connectors each.
const (
	liarsMost = 2
	lieFor    = 15 * time.Minute
)

// lie has a liar make up records for a while.
func (w *World) lie(s Step) {
	n := s.N % liarsMost
	for len(w.liars) <= n {
		id := charge.CPID(fmt.Sprint("LIAR_", len(w.liars)+1))
		w.liars = append(w.liars, &liar{
			w: w, id: id, c: newChance(w.plan.Seed, string(id)), line: w.newLine("mqtt " + string(id)),
			wrote: map[recordKey][]lie{}, told: map[charge.JournalID]int{},
		})
	}
	l := w.liars[n]
	l.until = w.now + min(s.For+time.Minute, lieFor)
	if !l.runs {
		l.runs = true
		l.turn()
	}
}

// liarOf is the liar of a name; nil: it is an honest one.
func (w *World) liarOf(id charge.CPID) *liar {
	for _, l := range w.liars {
		if l.id == id {
			return l
		}
	}
	return nil
}

// lies reports whether it makes up records now.
func (l *liar) lies() bool { return l.w.now < l.until && !l.w.healed }

// turn connects or says something, and goes on.
func (l *liar) turn() {
	pause := span{time.Second, 20 * time.Second}
	if l.stuck = l.moved == 0; !l.lies() && (l.stuck || l.from == len(l.held)) { // it looks now and then, as an agent does
		pause = span{2 * time.Minute, 5 * time.Minute}
	}
	l.moved = 0
	if l.conn == nil {
		l.dial()
	} else {
		l.say()
	}
	l.w.after(l.c.in(pause), "liar", l.turn)
}

// say makes something up, if it lies now, and sends what is not acknowledged.
func (l *liar) say() {
	if l.lies() {
		l.write()
		if l.c.IntN(8) == 0 {
			l.operate()
		}
		if l.c.IntN(50) == 0 { // Central must speak to it above that, and to nobody else
			l.claim = charge.Epoch{Number: uint64(1_000_000_000 + l.c.IntN(1_000_000_000)), Run: "ffffffffffffffff"}
		}
	}
	if l.c.IntN(2) == 0 {
		l.held, l.from = l.held[l.from:], 0
	}
	l.sayPresence()
	window := 10
	if l.stuck {
		window = 1
	}
	for _, v := range l.held[l.from:min(l.from+window, len(l.held))] {
		l.conn.publish(note{topic: l.w.mqtt.topics.Of(l.id, wire.KindEvent), raw: v.raw, qos: 1}, nil)
	}
}

func (l *liar) dial() {
	l.conns++
	l.w.mqtt.connect(l.line, string(l.id), note{}, l.hear, func() {
		if l.conn != nil && !l.conn.alive {
			l.conn = nil
		}
	}, func(c *conn) { l.conn = c })
}

// hear takes commands to repeat them, and acknowledgements.
func (l *liar) hear(d received) {
	_, kind, err := l.w.mqtt.topics.Parse(d.topic)
	switch {
	case err != nil:
	case kind == wire.KindCommand:
		if c, err := wire.DecodeCommand(d.raw); err == nil && len(l.heard) < 20 {
			l.heard = append(l.heard, c)
		}
	case kind == wire.KindAck:
		if a, err := wire.DecodeAck(d.raw); err == nil {
			l.acknowledged(&a)
		}
	}
}

// acknowledged moves its position as an agent does: forward only, or anywhere by
// the word of a higher epoch.
func (l *liar) acknowledged(a *wire.Ack) {
	if a.Central.Less(l.claim) {
		return
	}
	to := 0
	for i := range l.held {
		if r := &l.held[i].rec; a.Journal != nil && r.Journal == *a.Journal && r.Seq <= a.Seq {
			to = i + 1
		}
	}
	if !l.claim.Less(a.Central) {
		to = max(to, l.from)
	}
	if to != l.from {
		l.moved++
	}
	l.from, l.claim = to, a.Central
}

func (l *liar) sayPresence() {
	p := wire.Presence{V: wire.Version, Online: true, Journal: l.at, Conn: l.conns, At: l.w.wall(), Central: l.claim}
	if p.Journal == "" || len(l.held) == 0 {
		return
	}
	place := func(i int) *wire.Position {
		r := &l.held[min(i, len(l.held)-1)].rec
		return &wire.Position{Journal: r.Journal, Seq: r.Seq + charge.Seq(i-min(i, len(l.held)-1))}
	}
	p.First, p.Next, p.Last = place(0), place(l.from), place(len(l.held)-1)
	raw, err := p.Encode()
	if err != nil {
		l.w.object("shell", "presence of a liar cannot be written: %v", err)
		return
	}
	l.conn.publish(note{topic: l.w.mqtt.topics.Of(l.id, wire.KindPresence), raw: raw, retained: true, qos: 1}, nil)
}

// write makes the next record up, with an envelope that fits.
func (l *liar) write() {
	var p wire.Payload
	boot := l.at == "" || l.c.IntN(12) == 0
	var last *lie
	if n := len(l.held); n > 0 {
		last = &l.held[n-1]
	}
	if boot {
		reg := l.registered()
		if last != nil {
			reg.After = &wire.Position{Journal: last.rec.Journal, Seq: last.rec.Seq}
			if l.c.IntN(10) == 0 { // one that never was
				reg.After = &wire.Position{Journal: "never", Seq: 7}
			}
		}
		l.at, p = charge.JournalID(l.c.id(l.w.wall())), reg
		if l.c.IntN(40) == 0 { // a name that is used again and again
			l.at = "again"
		}
		l.told[l.at] = 0
	} else {
		p = l.payload()
	}
	rec, err := wire.NewRecord(p)
	if err != nil {
		l.w.object("shell", "lie cannot be written: %v", err)
		return
	}
	l.told[l.at]++
	rec.CPID, rec.Journal, rec.Seq = l.id, l.at, charge.Seq(l.told[l.at])
	if last != nil {
		rec.Prev = last.hash
	}
	rec.Connector, rec.SessionID = l.connector(), l.session()
	rec.At, rec.Clock, rec.UptimeMS = l.w.wall(), charge.ClockSynced, int64(l.c.IntN(1<<20))
	switch l.c.IntN(60) {
	case 0:
		rec.Prev = wire.Hash([]byte("nothing"))
	case 1:
		rec.Type = "firmware_dreamt"
	case 2:
		rec.Data = []byte(`{"register_wh":"12,5"}`)
	}
	raw, err := rec.Encode()
	if err != nil {
		l.w.object("shell", "lie cannot be written: %v", err)
		return
	}
	v := lie{rec, raw, wire.Hash(raw)}
	k := recordKey{journalKey{l.id, rec.Journal}, rec.Seq}
	l.held, l.wrote[k] = append(l.held, v), append(l.wrote[k], v)
	l.w.stats.Lies++
}

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

func (l *liar) connector() charge.ConnectorID { return pick[charge.ConnectorID](l.c, 1, 1, 2, 2, 3, 0) }

// session is one of its own few, or one that Central knows of somebody else.
func (l *liar) session() charge.SessionID {
	id := charge.SessionID(fmt.Sprint(l.id, "-S", l.c.IntN(6)))
	if x := l.w.inCharge(); x != nil && l.c.IntN(6) == 0 && len(x.db.sessions) > 0 {
		id = pick(l.c, sortedKeys(x.db.sessions)...)
	}
	return pick(l.c, id, id, id, id, "")
}

func (l *liar) reservation() charge.ReservationID {
	if x := l.w.inCharge(); x != nil && l.c.IntN(2) == 0 && len(x.db.reservations) > 0 {
		return pick(l.c, sortedKeys(x.db.reservations)...)
	}
	return charge.ReservationID(fmt.Sprint(l.id, "-R", l.c.IntN(3)))
}

func (l *liar) user() charge.Username {
	return pick[charge.Username](l.c, "driver0", "guest", "nobody")
}

func (l *liar) register() charge.WattHours {
	return pick[charge.WattHours](l.c, 0, 1000, 1200, 1500, 2000, 2500, charge.MaxRegister)
}

func (l *liar) someTime() charge.Time {
	return l.w.wall().Add(time.Duration(pick(l.c, -3600, -5, 0, 600)) * time.Second)
}

func (l *liar) registered() *wire.Registered {
	reg := &wire.Registered{Agent: "liar", Simulated: true}
	for range 1 + l.c.IntN(3) {
		s := wire.ConnectorState{
			Connector: max(l.connector(), 1), Status: pick(l.c, charge.Statuses()...), SessionID: l.session(),
			Plugged: l.c.IntN(2) == 0, Available: l.c.IntN(2) == 0,
		}
		if l.c.IntN(2) == 0 {
			r := l.register()
			s.Register = &r
		}
		reg.Connectors = append(reg.Connectors, s)
	}
	for range l.c.IntN(3) {
		reg.Reservations = append(reg.Reservations, wire.HeldReservation{
			ReservationID: l.reservation(), Connector: max(l.connector(), 1), Username: l.user(), Until: l.someTime(),
		})
	}
	if l.c.IntN(4) == 0 {
		reg.Damaged = append(reg.Damaged, wire.Damaged{Journal: cmp.Or(pick(l.c, l.at, "never"), "never"), First: charge.Seq(l.c.IntN(6)), Last: charge.Seq(6 + l.c.IntN(3))})
	}
	return reg
}

// command is one that it was given, one of somebody else, or one made up.
func (l *liar) command() json.RawMessage {
	now := l.w.wall()
	made := wire.Command{
		V: wire.Version, ID: charge.CommandID(fmt.Sprint(l.id, "-C", l.c.IntN(3))), N: 1 + uint64(l.c.IntN(3)), Central: charge.Epoch{Number: 1, Run: "0000000000000001"},
		Journal: l.at, CPID: l.id, Connector: l.connector(), IssuedAt: now, SentAt: now, ExpiresAt: now.Add(time.Minute),
	}
	order := pick[wire.Order](l.c,
		&wire.Reserve{ReservationID: l.reservation(), Username: l.user(), Until: l.someTime()},
		&wire.Start{SessionID: charge.SessionID(fmt.Sprint(l.id, "-S", l.c.IntN(6))), Username: l.user(), ReservationID: l.reservation()},
		&wire.SetAvailability{Available: l.c.IntN(2) == 0})
	data, err := wire.EncodeOrder(order)
	if err != nil {
		l.w.object("shell", "order of a liar cannot be written: %v", err)
	}
	made.Type, made.Data = order.CommandType(), data
	if n := len(l.heard); n > 0 && l.c.IntN(2) == 0 {
		made = l.heard[l.c.IntN(n)]
	}
	raw, err := made.Encode()
	if err != nil {
		l.w.object("shell", "command of a liar cannot be written: %v", err)
	}
	return raw
}

func (l *liar) commandID() charge.CommandID {
	if x := l.w.inCharge(); x != nil && len(x.db.commands) > 0 && l.c.IntN(2) == 0 {
		return pick(l.c, sortedKeys(x.db.commands)...)
	}
	return charge.CommandID(fmt.Sprint(l.id, "-C", l.c.IntN(3)))
}

func (l *liar) payload() wire.Payload {
	reg := l.register()
	switch l.c.IntN(16) {
	case 0, 1, 2:
		return &wire.Authorized{
			By: pick(l.c, wire.GrantReservation, wire.GrantOrder), Username: l.user(), Register: reg,
			Tariff: pick[charge.TariffVersion](l.c, "standard-1", "", "unheard-of"), ReservationID: pick(l.c, l.reservation(), ""),
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
		return &wire.ChargingStopped{Reason: charge.StopRemote, Start: min(l.register(), reg), Register: reg, OtherMeter: l.c.IntN(2) == 0}
	case 11:
		return &wire.CommandAccepted{Command: l.command()}
	case 12:
		return &wire.CommandFinished{CommandID: l.commandID(), Result: pick(l.c, wire.ResultDone, wire.ResultRejected, wire.ResultExpired)}
	case 13:
		return &wire.ReservationEnded{ReservationID: l.reservation(), Reason: charge.ReservationExpired}
	case 14:
		return pick[wire.Payload](l.c, &wire.FaultRaised{Fault: charge.FaultOther}, &wire.FaultCleared{Fault: charge.FaultOther})
	default:
		return pick[wire.Payload](l.c, &wire.PluggedIn{}, &wire.Unplugged{}, &wire.StatusChanged{Status: pick(l.c, charge.Statuses()...)})
	}
}

// operate is what an operator tries with such a charging point.
func (l *liar) operate() {
	t := orders.Target{CPID: l.id, Connector: max(l.connector(), 1)}
	l.w.operator(pick[orders.Ask](l.c,
		orders.AskReserve{Target: t, Username: l.user()}, orders.AskStart{Target: t, Username: l.user()}, orders.AskStop{SessionID: l.session()},
		orders.AskCancel{ReservationID: charge.ReservationID(fmt.Sprint(l.id, "-R", l.c.IntN(3)))}), nil)
}
