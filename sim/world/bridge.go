package world

import (
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxInFlight bounds the messages of a bridge that Kafka has not acknowledged. It is
// so small that the bridge is full now and then; repeats of a message count once.
const maxInFlight = 6

// bridge forwards messages between MQTT and Kafka. It stores nothing on disk: a
// message is safe because MQTT gets its acknowledgement only after Kafka's.
type bridge struct {
	w     *World
	rng   random
	mqtt  *line
	kafka *line
	run   *bridgeRun // nil: no process
	// Scheduled starts: an older one sees that it is obsolete.
	starts int
	skew   time.Duration
}

// wall is the bridge's clock.
func (b *bridge) wall() charge.Time { return b.w.wall().Add(b.skew) }

// bridgeRun is one run of the bridge's process, after bridge/internal.
type bridgeRun struct {
	bridge    *bridge
	w         *World
	startedAt time.Duration
	conn      *conn // nil: not connected
	router    route.Router
	queues    map[partition]*partitionQueue
	// Presence and telemetry that wait, by topic and key.
	latest  map[string]*pendingRecord
	readers []*reader
	books   books
	// Events that are being forwarded, to recognize repeats.
	inFlight route.Dedup
	// Received while the bridge was full, in order.
	waiting []inbound
}

// books count messages that must not be lost. At any time accepted = forwarded +
// dead + held, and acked ≤ forwarded + dead + repeated: S16.
type books struct{ accepted, forwarded, dead, repeated, held, acked int }

// pendingRecord is a record that waits for Kafka.
type pendingRecord struct {
	topic string
	m     message
	// Called when Kafka's acknowledgement arrives.
	done   func()
	stored bool // Kafka really has it, known or not
}

// partitionQueue holds the records for one partition. One of them is in flight at
// a time, so that a retry cannot overtake a later record.
type partitionQueue struct {
	queue []*pendingRecord
	busy  bool
}

// newBridge creates the bridge without a running process.
func newBridge(w *World) *bridge {
	return &bridge{w: w, rng: newRandom(w.plan.Seed, "bridge"), mqtt: w.newLine("bridge mqtt"), kafka: w.newLine("bridge kafka")}
}

// launch schedules a start of the process, in place of a pending one.
func (b *bridge) launch(in time.Duration) {
	b.starts++
	n := b.starts
	b.w.after(in, "bridge starts", func() {
		if b.starts == n && b.run == nil {
			b.boot()
		}
	})
}

// boot starts the process: both connections, the heartbeat, and a reader for each
// partition of the commands.
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

// die kills the process. What it held was not acknowledged to MQTT, so the broker
// delivers it again.
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
	for _, x := range r.readers {
		x.stop()
	}
	b.launch(b.w.plan.restartOf(b.rng))
}

// after schedules a call for this run; it is dropped if the process dies before.
func (r *bridgeRun) after(d time.Duration, tag string, do func()) {
	r.w.after(d, tag, func() {
		if r.bridge.run == r {
			do()
		}
	})
}

// dial connects to the broker with the persistent session, and retries until it succeeds.
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

// connectionLost reconnects. What waited is dropped: the broker delivers it again.
func (r *bridgeRun) connectionLost() {
	if r.bridge.run != r || r.conn == nil || r.conn.alive {
		return
	}
	r.conn, r.waiting = nil, nil
	r.after(r.bridge.rng.between(span{50 * time.Millisecond, 3 * time.Second}), "bridge dials", r.dial)
}

// receive decides what becomes of one message from MQTT, and forwards it. Only
// presence and telemetry may be replaced by newer values; everything else is
// counted in books and limited by maxInFlight.
func (r *bridgeRun) receive(d inbound) {
	if r.bridge.run != r || r.conn == nil {
		return
	}
	c := r.conn
	// The decision is the product's: the topic and key in Kafka, or a dead letter.
	m := r.router.Up(route.Message{Topic: d.topic, Payload: d.raw, Retained: d.retained, At: r.bridge.wall()})
	ack := func() {
		if r.conn == c {
			c.acknowledge(d.id)
		}
	}
	// Presence is retained by the broker, and telemetry has a successor soon.
	replaceable := m.Kind == route.Telemetry || m.Kind == route.Presence
	if !replaceable {
		plainAck := ack
		ack = func() {
			r.books.acked++
			r.checkBooks()
			plainAck()
		}
	}
	if replaceable {
		r.forwardLatest(m, ack)
		return
	}
	// Full: the broker keeps the message unacknowledged, and so does the agent's
	// journal.
	if r.books.held >= maxInFlight {
		if r.w.bug(BugDropWhenFull) {
			ack()
			return
		}
		r.waiting = append(r.waiting, d) // backpressure: not read from the connection
		return
	}
	if r.w.bug(BugAckBeforeKafka) {
		ack()
		ack = func() {}
	}
	if m.Kind == route.DeadLetter {
		r.w.stats.DeadLetters++
		if r.w.bug(BugDeadLetterStays) {
			return // never acknowledged
		}
	}
	// Only events are repeated by agents; a dead letter has no identity to compare.
	if m.Kind != route.Event {
		r.forward(m, ack)
		return
	}
	entry, again := r.inFlight.Add(&m, ack)
	if entry == nil { // a repeat of one in flight, which acknowledges both
		r.books.repeated++
		again()
		return
	}
	r.forward(m, func() { r.inFlight.Remove(entry)() })
}

// forward queues a message that must not be lost, and acknowledges it when Kafka
// has it. Then there is capacity for one that waits.
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

// forwardLatest queues a value. While it waits a newer value replaces it, and
// both are acknowledged together.
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

// kafkaMessage builds the message for a record, with the bridge's clock.
func (r *bridgeRun) kafkaMessage(rec route.Record) message {
	m := message{key: rec.Key, value: rec.Value, receivedAt: r.bridge.wall()}
	for _, h := range rec.Headers {
		if h.Key == wire.HeaderKind {
			m.kind = h.Value
		}
	}
	return m
}

// enqueue appends a record to the queue of its partition.
func (r *bridgeRun) enqueue(l *pendingRecord) {
	p := r.w.kafka.partitionOf(l.topic, l.m.key)
	if r.queues[p] == nil {
		r.queues[p] = &partitionQueue{}
	}
	r.queues[p].queue = append(r.queues[p].queue, l)
	r.produceNext(r.queues[p])
}

// produceNext sends the first record of a queue, and retries it until Kafka
// acknowledges it, in the order of the queue.
func (r *bridgeRun) produceNext(q *partitionQueue) {
	if q.busy || len(q.queue) == 0 {
		return
	}
	// One in flight per partition keeps the order of a charging point's records.
	q.busy = true
	l := q.queue[0]
	if k := l.topic + "/" + l.m.key; r.latest[k] == l {
		delete(r.latest, k) // it is in flight: no longer replaceable
	}
	r.bridge.kafka.call("produce", func() bool {
		// The bridge's clock is the timestamp of the record.
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

// checkBooks: S16. What was acknowledged to MQTT is in Kafka.
func (r *bridgeRun) checkBooks() {
	b := &r.books
	if b.accepted != b.forwarded+b.dead+b.held || b.acked > b.forwarded+b.dead+b.repeated {
		r.w.violated("S16", "the bridge accepted %d, forwarded %d, gave up %d, holds %d, and acknowledged %d", b.accepted, b.forwarded, b.dead, b.held, b.acked)
	}
}

// heartbeat publishes the bridge's heartbeat, and schedules the next.
func (r *bridgeRun) heartbeat() {
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: "bridge", At: r.bridge.wall(), StartedAt: simulationStart.Add(r.startedAt), MQTT: wire.Dependency{Up: r.conn != nil, Since: r.bridge.wall()},
		Kafka: wire.Dependency{Up: true, Since: r.bridge.wall()}, Accepted: int64(r.books.accepted),
	}
	raw, err := m.Encode()
	if err != nil {
		r.w.violated("shell", "heartbeat cannot be encoded: %v", err)
		return
	}
	r.forwardLatest(route.Decision{Record: route.Record{
		Topic: wire.TopicMonitor, Key: wire.BridgeKey("bridge"), Value: raw, Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}}, func() {})
	r.after(heartbeatInterval, "bridge heartbeat", r.heartbeat)
}

// fromTime starts a reader at the first record that was appended at the time or later.
func fromTime(at time.Duration) func(*partitionLog) cursor {
	return func(l *partitionLog) cursor {
		i := slices.IndexFunc(l.messages, func(m *message) bool { return m.at >= at })
		if i < 0 {
			i = len(l.messages)
		}
		return cursor{next: l.base + int64(i)}
	}
}

// readCommands reads one partition of the commands, beginning a little in the past:
// an order that came while no bridge ran is still delivered if it is not stale. Of
// the acknowledgements in the backlog only the last one per charging point counts.
func (r *bridgeRun) readCommands(p partition) {
	acks := map[charge.CPID]route.Publish{}
	// Offsets are not committed: after a restart the backlog is read again, and the
	// agents deduplicate.
	r.readers = append(r.readers, r.w.kafka.read(r.bridge.kafka, p, fromTime(r.w.now-commandBacklog), func(b batch, done func(bool)) {
		if r.bridge.run != r {
			return
		}
		var queue []*downlink
		for i := range b.messages {
			backlog := b.first+int64(i) < b.initialEnd
			// Acknowledgements are retained: the last one of each charging point
			// replaces all before.
			if o := r.decide(b, i, backlog); o != nil && o.p.Retained {
				acks[o.p.CP] = o.p
			} else if o != nil {
				queue = append(queue, o)
			}
		}
		// Outside the backlog each batch publishes its acknowledgements at once.
		if b.first+int64(len(b.messages)) >= b.initialEnd {
			for _, cp := range slices.Sorted(maps.Keys(acks)) {
				queue = append(queue, &downlink{p: acks[cp]})
			}
			clear(acks)
		}
		r.publish(queue, done)
	}))
}

// downlink is a command or an acknowledgement on its way to an agent.
type downlink struct {
	p    route.Publish
	read time.Duration // when it was read from Kafka
	// It was in the log before this run started.
	backlog bool
}

// decide decodes a record of the commands; what cannot be used becomes a dead letter.
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

// publish publishes a queue in order, one message at a time, and calls done when
// the broker has confirmed all. Without a confirmation it publishes the same
// message again; commands that became stale meanwhile are dropped.
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
	// The next message waits for the confirmation of this one.
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
