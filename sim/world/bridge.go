package world

import (
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxInFlight is how many messages a bridge takes that Kafka has not: so few that
// it is full now and then, though what is said again is held once.
const maxInFlight = 6

// bridge carries between MQTT and Kafka. It keeps nothing on disk.
type bridge struct {
	w      *World
	rng    random
	mqtt   *line
	kafka  *line
	run    *bridgeRun // nil: no process
	starts int
	skew   time.Duration // of its clock
}

func (b *bridge) wall() charge.Time { return b.w.wall().Add(b.skew) }

// bridgeRun is one life of the process.
type bridgeRun struct {
	bridge    *bridge
	w         *World
	startedAt time.Duration
	conn      *conn
	router    route.Router
	queues    map[partition]*partitionQueue
	latest    map[string]*pendingRecord // presence and telemetry that wait, by topic and key
	readers   []*reader
	books     books
	inFlight  route.Dedup
	waiting   []inbound // the buffer is full: taken when it is not
}

// books are of what is owed.
type books struct{ accepted, forwarded, dead, repeated, held, acked int }

// pendingRecord is a record on its way to Kafka.
type pendingRecord struct {
	topic  string
	m      message
	done   func() // Kafka has it
	stored bool   // it really has
}

// partitionQueue is the queue of one partition, one record under way.
type partitionQueue struct {
	queue []*pendingRecord
	busy  bool
}

func newBridge(w *World) *bridge {
	return &bridge{w: w, rng: newRandom(w.plan.Seed, "bridge"), mqtt: w.newLine("bridge mqtt"), kafka: w.newLine("bridge kafka")}
}

func (b *bridge) launch(in time.Duration) {
	b.starts++
	n := b.starts
	b.w.after(in, "bridge starts", func() {
		if b.starts == n && b.run == nil {
			b.boot()
		}
	})
}

func (b *bridge) boot() {
	r := &bridgeRun{
		bridge: b, w: b.w, startedAt: b.w.now, router: route.Router{Kafka: route.DefaultTopics()}, queues: map[partition]*partitionQueue{}, latest: map[string]*pendingRecord{},
	}
	b.run = r
	b.w.stats.Boots++
	r.dial()
	r.heartbeat()
	b.w.kafka.eachPartition(func() bool { return b.run == r }, func(n int, _ bool) { r.readCommands(partition{wire.TopicCommands, n}) })
}

// die is a kill of the process: what it held was not acknowledged to MQTT.
func (b *bridge) die() {
	r := b.run
	if r == nil {
		return
	}
	b.run = nil
	b.w.stats.Kills++
	if r.conn != nil {
		r.conn.closedByClient(false)
	}
	for _, r := range r.readers {
		r.stop()
	}
	b.launch(b.w.plan.restartOf(b.rng))
}

func (r *bridgeRun) after(d time.Duration, tag string, do func()) {
	r.w.after(d, tag, func() {
		if r.bridge.run == r {
			do()
		}
	})
}

func (r *bridgeRun) dial() {
	r.w.mqtt.connect(r.bridge.mqtt, bridgeClient, mqttMessage{}, r.receive, r.connectionLost, func(c *conn) {
		switch {
		case r.bridge.run != r:
			if c != nil {
				c.closedByClient(false)
			}
		case c == nil:
			r.after(r.bridge.rng.between(span{time.Second, 5 * time.Second}), "bridge dials", r.dial)
		default:
			r.conn = c
		}
	})
}

func (r *bridgeRun) connectionLost() {
	if r.bridge.run != r || r.conn == nil || r.conn.alive {
		return
	}
	r.conn, r.waiting = nil, nil
	r.after(r.bridge.rng.between(span{50 * time.Millisecond, 3 * time.Second}), "bridge dials", r.dial)
}

// receive decides about one message and hands it on.
func (r *bridgeRun) receive(d inbound) {
	if r.bridge.run != r || r.conn == nil {
		return
	}
	c := r.conn
	m := r.router.Up(route.Message{Topic: d.topic, Payload: d.raw, Retained: d.retained, At: r.bridge.wall()})
	ack := func() {
		if r.conn == c {
			c.acknowledge(d.id)
		}
	}
	owed := m.Kind != route.Telemetry && m.Kind != route.Presence
	if owed {
		quietly := ack
		ack = func() {
			r.books.acked++
			r.checkBooks()
			quietly()
		}
	}
	if m.Kind == route.Telemetry || m.Kind == route.Presence {
		r.forwardLatest(m, ack)
		return
	}
	if r.books.held >= maxInFlight {
		if r.w.bug(BugDropWhenFull) {
			ack()
			return
		}
		r.waiting = append(r.waiting, d) // not read from the line
		return
	}
	if r.w.bug(BugAckBeforeKafka) {
		ack()
		ack = func() {}
	}
	if m.Kind == route.DeadLetter {
		r.w.stats.DeadLetters++
		if r.w.bug(BugDeadLetterStays) {
			return // never acknowledged, and held for ever
		}
	}
	if m.Kind != route.Event {
		r.forward(m, ack)
		return
	}
	debt, earlier := r.inFlight.Add(&m, ack)
	if debt == nil { // it waits already
		r.books.repeated++
		earlier()
		return
	}
	r.forward(m, func() { r.inFlight.Remove(debt)() })
}

// forward carries what is owed until Kafka has it.
func (r *bridgeRun) forward(m route.Decision, ack func()) {
	r.books.accepted++
	r.books.held++
	r.enqueue(&pendingRecord{topic: m.Record.Topic, m: r.kafkaMessage(m.Record), done: func() {
		r.books.held--
		if m.Kind == route.DeadLetter {
			r.books.dead++
		} else {
			r.books.forwarded++
		}
		ack()
		if len(r.waiting) > 0 && r.conn != nil {
			d := r.waiting[0]
			r.waiting = r.waiting[1:]
			r.receive(d)
		}
	}})
}

// forwardLatest carries a value that a newer one may replace while it waits.
func (r *bridgeRun) forwardLatest(m route.Decision, ack func()) {
	k := m.Record.Topic + "/" + m.Record.Key
	if old := r.latest[k]; old != nil {
		before := old.done
		old.m = r.kafkaMessage(m.Record)
		old.done = func() {
			before()
			ack()
		}
		return
	}
	l := &pendingRecord{topic: m.Record.Topic, m: r.kafkaMessage(m.Record), done: ack}
	r.latest[k] = l
	r.enqueue(l)
}

func (r *bridgeRun) kafkaMessage(rec route.Record) message {
	m := message{key: rec.Key, value: rec.Value, receivedAt: r.bridge.wall()}
	for _, h := range rec.Headers {
		if h.Key == wire.HeaderKind {
			m.kind = h.Value
		}
	}
	return m
}

func (r *bridgeRun) enqueue(l *pendingRecord) {
	p := r.w.kafka.partitionOf(l.topic, l.m.key)
	if r.queues[p] == nil {
		r.queues[p] = &partitionQueue{}
	}
	r.queues[p].queue = append(r.queues[p].queue, l)
	r.produceNext(r.queues[p])
}

// produceNext has one record of a lane under way, again and again until Kafka has it.
func (r *bridgeRun) produceNext(q *partitionQueue) {
	if q.busy || len(q.queue) == 0 {
		return
	}
	q.busy = true
	l := q.queue[0]
	if k := l.topic + "/" + l.m.key; r.latest[k] == l {
		delete(r.latest, k) // from now on it is not replaced
	}
	r.bridge.kafka.call("produce", func() bool {
		if r.w.kafka.refuses(r.bridge.skew) {
			return false
		}
		l.stored = true
		r.w.kafka.append(l.topic, l.m)
		return true
	}, func(ok bool) {
		switch {
		case r.bridge.run != r:
		case !ok && !r.w.bug(BugSkipFailed):
			r.w.stats.Retries++
			r.w.kafka.retry(r.bridge.rng, func() {
				if r.bridge.run == r {
					q.busy = false
					r.produceNext(q)
				}
			})
		default:
			q.queue, q.busy = q.queue[1:], false
			if !l.stored {
				r.w.violated("S16", "the bridge counts a record of %s as forwarded that Kafka does not have", l.m.key)
			}
			l.done()
			r.produceNext(q)
		}
	})
}

// checkBooks: S16 what was acknowledged to MQTT is in Kafka.
func (r *bridgeRun) checkBooks() {
	b := &r.books
	if b.accepted != b.forwarded+b.dead+b.held || b.acked > b.forwarded+b.dead+b.repeated {
		r.w.violated("S16", "the bridge accepted %d, forwarded %d, gave up %d, holds %d, and acknowledged %d", b.accepted, b.forwarded, b.dead, b.held, b.acked)
	}
}

// heartbeat says every so often that the bridge lives.
func (r *bridgeRun) heartbeat() {
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: "bridge", At: r.bridge.wall(), StartedAt: simulationStart.Add(r.startedAt), MQTT: wire.Dependency{Up: r.conn != nil, Since: r.bridge.wall()},
		Kafka: wire.Dependency{Up: true, Since: r.bridge.wall()}, Accepted: int64(r.books.accepted),
	}
	raw, err := m.Encode()
	if err != nil {
		r.w.violated("shell", "sign of life cannot be written: %v", err)
		return
	}
	r.forwardLatest(route.Decision{Record: route.Record{
		Topic: wire.TopicMonitor, Key: wire.BridgeKey("bridge"), Value: raw, Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}}, func() {})
	r.after(heartbeatInterval, "bridge lives", r.heartbeat)
}

// fromTime is the first record that is not older.
func fromTime(at time.Duration) func(*partitionLog) cursor {
	return func(l *partitionLog) cursor {
		i := slices.IndexFunc(l.messages, func(m *message) bool { return m.at >= at })
		if i < 0 {
			i = len(l.messages)
		}
		return cursor{next: l.base + int64(i)}
	}
}

// readCommands reads one partition of cp-commands, from a little in the past.
func (r *bridgeRun) readCommands(p partition) {
	acks := map[charge.CPID]route.Publish{}
	r.readers = append(r.readers, r.w.kafka.read(r.bridge.kafka, p, fromTime(r.w.now-commandBacklog), func(b batch, done func(bool)) {
		if r.bridge.run != r {
			return
		}
		var queue []*downlink
		for i := range b.messages {
			backlog := b.first+int64(i) < b.initialEnd
			if o := r.decide(b, i, backlog); o != nil && o.p.Retained {
				acks[o.p.CP] = o.p
			} else if o != nil {
				queue = append(queue, o)
			}
		}
		if b.first+int64(len(b.messages)) >= b.initialEnd {
			for _, cp := range slices.Sorted(maps.Keys(acks)) {
				queue = append(queue, &downlink{p: acks[cp]})
			}
			clear(acks)
		}
		r.publish(queue, done)
	}))
}

// downlink is a message down that waits to be published.
type downlink struct {
	p       route.Publish
	read    time.Duration
	backlog bool
}

func (r *bridgeRun) decide(b batch, i int, backlog bool) *downlink {
	m := b.messages[i]
	p, dead := r.router.Down(route.CommandRecord{Key: m.key, Value: m.value, Kind: m.kind, Partition: b.n, Offset: b.first + int64(i), At: r.bridge.wall()})
	if dead != nil {
		r.w.stats.DeadLetters++
		r.forward(*dead, func() {})
		return nil
	}
	return &downlink{p: p, read: r.w.now, backlog: backlog}
}

// publish publishes in order and is done when the broker has confirmed all of
// it; after a loss it begins again with the first that was not confirmed.
func (r *bridgeRun) publish(queue []*downlink, done func(bool)) {
	for len(queue) > 0 && queue[0].p.Stale(r.bridge.wall(), r.w.now-queue[0].read, queue[0].backlog) {
		r.w.stats.StaleCommands++
		queue = queue[1:]
	}
	if len(queue) == 0 {
		done(true)
		return
	}
	if r.conn == nil {
		r.after(time.Second, "publish again", func() { r.publish(queue, done) })
		return
	}
	c, o := r.conn, queue[0]
	answered := false
	c.publish(mqttMessage{topic: o.p.Topic, raw: o.p.Payload, retained: o.p.Retained, qos: 1}, func() {
		if r.bridge.run == r && r.conn == c && !answered {
			answered = true
			r.publish(queue[1:], done)
		}
	})
	r.after(5*time.Second, "publish unconfirmed", func() {
		if !answered {
			answered = true
			r.publish(queue, done)
		}
	})
}
