package world

import (
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// bridgeMost is how many messages a bridge takes that Kafka has not: so few that
// it is full now and then, though what is said again is held once.
const bridgeMost = 6

// bridge carries between MQTT and Kafka. It keeps nothing on disk.
type bridge struct {
	w     *World
	c     chance
	mqtt  *line
	kafka *line
	run   *crossing // nil: no process
	start int
	skew  time.Duration // of its clock
}

func (b *bridge) wall() charge.Time { return b.w.wall().Add(b.skew) }

// crossing is one life of the process.
type crossing struct {
	b       *bridge
	w       *World
	born    time.Duration
	conn    *conn
	router  route.Router
	lanes   map[part]*lane
	latest  map[string]*load // presence and telemetry that wait, by topic and key
	readers []*reader
	books   books
	owed    route.Owed
	waiting []received // the buffer is full: taken when it is not
}

// books are of what is owed.
type books struct{ accepted, forwarded, dead, repeated, held, acked int }

// load is a record on its way to Kafka.
type load struct {
	topic string
	m     message
	done  func() // Kafka has it
	there bool   // it really has
}

// lane is the queue of one partition, one record under way.
type lane struct {
	queue []*load
	busy  bool
}

func newBridge(w *World) *bridge {
	return &bridge{w: w, c: newChance(w.plan.Seed, "bridge"), mqtt: w.newLine("bridge mqtt"), kafka: w.newLine("bridge kafka")}
}

func (b *bridge) launch(in time.Duration) {
	b.start++
	n := b.start
	b.w.after(in, "bridge starts", func() {
		if b.start == n && b.run == nil {
			b.boot()
		}
	})
}

func (b *bridge) boot() {
	x := &crossing{
		b: b, w: b.w, born: b.w.now, router: route.Router{Kafka: route.DefaultTopics()}, lanes: map[part]*lane{}, latest: map[string]*load{},
	}
	b.run = x
	b.w.stats.Boots++
	x.dial()
	x.alive()
	b.w.kafka.each(func() bool { return b.run == x }, func(n int, _ bool) { x.follow(part{wire.TopicCommands, n}) })
}

// die is a kill of the process: what it held was not acknowledged to MQTT.
func (b *bridge) die() {
	x := b.run
	if x == nil {
		return
	}
	b.run = nil
	b.w.stats.Kills++
	if x.conn != nil {
		x.conn.vanish(false)
	}
	for _, r := range x.readers {
		r.stop()
	}
	b.launch(b.w.plan.restartOf(b.c))
}

func (x *crossing) after(d time.Duration, tag string, do func()) {
	x.w.after(d, tag, func() {
		if x.b.run == x {
			do()
		}
	})
}

func (x *crossing) dial() {
	x.w.mqtt.connect(x.b.mqtt, bridgeClient, note{}, x.hear, x.lost, func(c *conn) {
		switch {
		case x.b.run != x:
			if c != nil {
				c.vanish(false)
			}
		case c == nil:
			x.after(x.b.c.in(span{time.Second, 5 * time.Second}), "bridge dials", x.dial)
		default:
			x.conn = c
		}
	})
}

func (x *crossing) lost() {
	if x.b.run != x || x.conn == nil || x.conn.alive {
		return
	}
	x.conn, x.waiting = nil, nil
	x.after(x.b.c.in(span{50 * time.Millisecond, 3 * time.Second}), "bridge dials", x.dial)
}

// hear decides about one message and hands it on.
func (x *crossing) hear(d received) {
	if x.b.run != x || x.conn == nil {
		return
	}
	c := x.conn
	m := x.router.Up(route.Message{Topic: d.topic, Payload: d.raw, Retained: d.retained, At: x.b.wall()})
	ack := func() {
		if x.conn == c {
			c.acknowledge(d.id)
		}
	}
	owed := m.Kind != route.Telemetry && m.Kind != route.Presence
	if owed {
		quietly := ack
		ack = func() {
			x.books.acked++
			x.checkBooks()
			quietly()
		}
	}
	if m.Kind == route.Telemetry || m.Kind == route.Presence {
		x.takeLatest(m, ack)
		return
	}
	if x.books.held >= bridgeMost {
		if x.w.bug(BugDropWhenFull) {
			ack()
			return
		}
		x.waiting = append(x.waiting, d) // not read from the line
		return
	}
	if x.w.bug(BugAckBeforeKafka) {
		ack()
		ack = func() {}
	}
	if m.Kind == route.DeadLetter {
		x.w.stats.DeadLetters++
		if x.w.bug(BugDeadLetterStays) {
			return // never acknowledged, and held for ever
		}
	}
	if m.Kind != route.Event {
		x.take(m, ack)
		return
	}
	debt, earlier := x.owed.Take(&m, ack)
	if debt == nil { // it waits already
		x.books.repeated++
		earlier()
		return
	}
	x.take(m, func() { x.owed.End(debt)() })
}

// take carries what is owed until Kafka has it.
func (x *crossing) take(m route.Decision, ack func()) {
	x.books.accepted++
	x.books.held++
	x.enqueue(&load{topic: m.Record.Topic, m: x.message(m.Record), done: func() {
		x.books.held--
		if m.Kind == route.DeadLetter {
			x.books.dead++
		} else {
			x.books.forwarded++
		}
		ack()
		if len(x.waiting) > 0 && x.conn != nil {
			d := x.waiting[0]
			x.waiting = x.waiting[1:]
			x.hear(d)
		}
	}})
}

// takeLatest carries a value that a newer one may replace while it waits.
func (x *crossing) takeLatest(m route.Decision, ack func()) {
	k := m.Record.Topic + "/" + m.Record.Key
	if old := x.latest[k]; old != nil {
		before := old.done
		old.m = x.message(m.Record)
		old.done = func() {
			before()
			ack()
		}
		return
	}
	l := &load{topic: m.Record.Topic, m: x.message(m.Record), done: ack}
	x.latest[k] = l
	x.enqueue(l)
}

func (x *crossing) message(r route.Record) message {
	m := message{key: r.Key, value: r.Value, receivedAt: x.b.wall()}
	for _, h := range r.Headers {
		if h.Key == wire.HeaderKind {
			m.kind = h.Value
		}
	}
	return m
}

func (x *crossing) enqueue(l *load) {
	p := x.w.kafka.partition(l.topic, l.m.key)
	if x.lanes[p] == nil {
		x.lanes[p] = &lane{}
	}
	x.lanes[p].queue = append(x.lanes[p].queue, l)
	x.pump(x.lanes[p])
}

// pump has one record of a lane under way, again and again until Kafka has it.
func (x *crossing) pump(n *lane) {
	if n.busy || len(n.queue) == 0 {
		return
	}
	n.busy = true
	l := n.queue[0]
	if k := l.topic + "/" + l.m.key; x.latest[k] == l {
		delete(x.latest, k) // from now on it is not replaced
	}
	x.b.kafka.call("produce", func() bool {
		if x.w.kafka.refuses(x.b.skew) {
			return false
		}
		l.there = true
		x.w.kafka.append(l.topic, l.m)
		return true
	}, func(ok bool) {
		switch {
		case x.b.run != x:
		case !ok && !x.w.bug(BugSkipFailed):
			x.w.stats.Retries++
			x.w.kafka.retry(x.b.c, func() {
				if x.b.run == x {
					n.busy = false
					x.pump(n)
				}
			})
		default:
			n.queue, n.busy = n.queue[1:], false
			if !l.there {
				x.w.object("S16", "the bridge counts a record of %s as forwarded that Kafka does not have", l.m.key)
			}
			l.done()
			x.pump(n)
		}
	})
}

// checkBooks: S16 what was acknowledged to MQTT is in Kafka.
func (x *crossing) checkBooks() {
	b := &x.books
	if b.accepted != b.forwarded+b.dead+b.held || b.acked > b.forwarded+b.dead+b.repeated {
		x.w.object("S16", "the bridge accepted %d, forwarded %d, gave up %d, holds %d, and acknowledged %d", b.accepted, b.forwarded, b.dead, b.held, b.acked)
	}
}

// alive says every so often that the bridge lives.
func (x *crossing) alive() {
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: "bridge", At: x.b.wall(), StartedAt: epoch.Add(x.born), MQTT: wire.Dependency{Up: x.conn != nil, Since: x.b.wall()},
		Kafka: wire.Dependency{Up: true, Since: x.b.wall()}, Accepted: int64(x.books.accepted),
	}
	raw, err := m.Encode()
	if err != nil {
		x.w.object("shell", "sign of life cannot be written: %v", err)
		return
	}
	x.takeLatest(route.Decision{Record: route.Record{
		Topic: wire.TopicMonitor, Key: wire.BridgeKey("bridge"), Value: raw, Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}}, func() {})
	x.after(aliveEvery, "bridge lives", x.alive)
}

// fromTime is the first record that is not older.
func fromTime(at time.Duration) func(*log) place {
	return func(l *log) place {
		i := slices.IndexFunc(l.messages, func(m *message) bool { return m.at >= at })
		if i < 0 {
			i = len(l.messages)
		}
		return place{next: l.base + int64(i)}
	}
}

// follow reads one partition of cp-commands, from a little in the past.
func (x *crossing) follow(p part) {
	acks := map[charge.CPID]route.Publish{}
	x.readers = append(x.readers, x.w.kafka.read(x.b.kafka, p, fromTime(x.w.now-backlogOf), func(b batch, done func(bool)) {
		if x.b.run != x {
			return
		}
		var queue []*order
		for i := range b.messages {
			backlog := b.first+int64(i) < b.past
			if o := x.decide(b, i, backlog); o != nil && o.p.Retained {
				acks[o.p.CP] = o.p
			} else if o != nil {
				queue = append(queue, o)
			}
		}
		if b.first+int64(len(b.messages)) >= b.past {
			for _, cp := range slices.Sorted(maps.Keys(acks)) {
				queue = append(queue, &order{p: acks[cp]})
			}
			clear(acks)
		}
		x.publish(queue, done)
	}))
}

// order is a message down that waits to be published.
type order struct {
	p       route.Publish
	read    time.Duration
	backlog bool
}

func (x *crossing) decide(b batch, i int, backlog bool) *order {
	m := b.messages[i]
	p, dead := x.router.Down(route.Order{Key: m.key, Value: m.value, Kind: m.kind, Partition: b.n, Offset: b.first + int64(i), At: x.b.wall()})
	if dead != nil {
		x.w.stats.DeadLetters++
		x.take(*dead, func() {})
		return nil
	}
	return &order{p: p, read: x.w.now, backlog: backlog}
}

// publish publishes in order and is done when the broker has confirmed all of
// it; after a loss it begins again with the first that was not confirmed.
func (x *crossing) publish(queue []*order, done func(bool)) {
	for len(queue) > 0 && queue[0].p.Stale(x.b.wall(), x.w.now-queue[0].read, queue[0].backlog) {
		x.w.stats.StaleCommands++
		queue = queue[1:]
	}
	if len(queue) == 0 {
		done(true)
		return
	}
	if x.conn == nil {
		x.after(time.Second, "publish again", func() { x.publish(queue, done) })
		return
	}
	c, o := x.conn, queue[0]
	answered := false
	c.publish(note{topic: o.p.Topic, raw: o.p.Payload, retained: o.p.Retained, qos: 1}, func() {
		if x.b.run == x && x.conn == c && !answered {
			answered = true
			x.publish(queue[1:], done)
		}
	})
	x.after(5*time.Second, "publish unconfirmed", func() {
		if !answered {
			answered = true
			x.publish(queue, done)
		}
	})
}
