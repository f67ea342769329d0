package world

import (
	"slices"
	"time"

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/route"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// maxInFlight bounds the messages of a bridge that Kafka has not acknowledged. It is
// so small that the bridge is full now and then; repeats of a message count once.
const maxInFlight = 6

// maxPause is how long the bridge may leave a connection unread, as the real one
// with its default keep-alive.
const maxPause = 3750 * time.Millisecond

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

// bridgeRun is one run of the bridge's process: the shells around the bridge's core,
// which decides what is accepted, written and acknowledged.
type bridgeRun struct {
	bridge    *bridge
	w         *World
	startedAt time.Duration
	router    route.Router
	core      *forward.State
	conn      *conn  // nil: not connected
	connects  uint64 // numbers the connections
	// window are the broker's ids of the messages that conn delivered and that are
	// not acknowledged, in the order of receipt.
	window []int
	// unread are received and wait until the core reads again; the first one was
	// not accepted yet.
	unread  []inbound
	away    bool // the core has ended the connection, and does not yet allow the next one
	lanes   map[partition]*lane
	readers []*reader
	// acked counts the messages that must not be lost and were acknowledged to MQTT.
	acked   int64
	unacked map[int]bool             // by the broker's id: not acknowledged, must not be lost
	ids     map[*forward.Message]int // the broker's ids of the messages in flight
}

// laneRecord is a message on its way to Kafka.
type laneRecord struct {
	from   *forward.Message
	topic  string
	m      message
	stored bool // Kafka really has it, known or not
}

// lane holds the records for one partition. One of them is in flight at a time, so
// that a retry cannot overtake a later record.
type lane struct {
	queue []*laneRecord
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
		bridge: b, w: b.w, startedAt: b.w.now, router: route.Router{Kafka: route.DefaultTopics()},
		lanes: map[partition]*lane{}, unacked: map[int]bool{}, ids: map[*forward.Message]int{},
	}
	r.core = forward.New(forward.Limits{Messages: maxInFlight, Bytes: 1 << 20}, r.router)
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
			r.connects++
			r.conn, r.window, r.unread = c, nil, nil
			clear(r.unacked)
		}
	})
}

// connectionLost reconnects. What was not acknowledged is delivered again.
func (r *bridgeRun) connectionLost() {
	if r.bridge.run != r || r.conn == nil || r.conn.alive {
		return
	}
	r.disconnected()
	if !r.away {
		r.after(r.bridge.rng.between(span{50 * time.Millisecond, 3 * time.Second}), "bridge dials", r.dial)
	}
}

func (r *bridgeRun) disconnected() {
	r.conn, r.window, r.unread = nil, nil, nil
	r.step(forward.Lost{Conn: r.connects})
}

// receive reads a message from the connection, unless reading is paused.
func (r *bridgeRun) receive(d inbound) {
	if r.bridge.run != r || r.conn == nil {
		return
	}
	if d.id > 0 {
		r.window = append(r.window, d.id)
	}
	if r.unread = append(r.unread, d); len(r.unread) == 1 {
		r.read()
	}
}

// read passes what was received to the core, until that pauses.
func (r *bridgeRun) read() {
	for len(r.unread) > 0 {
		if r.pass(r.unread[0]) {
			return
		}
		if len(r.unread) > 0 { // the connection may have ended
			r.unread = r.unread[1:]
		}
	}
}

// pass passes one message to the core. It reports that the core has paused.
func (r *bridgeRun) pass(d inbound) (paused bool) {
	// The decision is the product's: the topic and key in Kafka, or a dead letter.
	m := &forward.Message{
		Decision: r.router.Up(route.Message{Topic: d.topic, Payload: d.raw, Retained: d.retained, At: r.bridge.wall()}),
		Conn:     r.connects, QoS: byte(d.qos), Size: len(d.topic) + len(d.raw), ReceivedAt: r.bridge.wall().Std(),
	}
	counted := d.id > 0 && !m.Decision.Kind.LatestOnly()
	if counted {
		r.unacked[d.id] = true
	}
	if counted && r.w.bug(BugAckBeforeKafka) {
		r.acknowledge(d.id)
	}
	e := r.step(forward.Received{Message: m})
	if e.Write == m {
		r.ids[m] = d.id
	}
	if e.Reading != forward.Pause {
		if m.Decision.Kind == route.DeadLetter {
			r.w.stats.DeadLetters++
		}
		return false
	}
	if r.w.bug(BugDropWhenFull) {
		r.acknowledge(d.id)
		return false
	}
	conn := r.connects
	r.after(maxPause, "pause expires", func() { r.step(forward.PauseExpired{Conn: conn}) })
	return true
}

// step passes an event to the core, and performs the effects.
func (r *bridgeRun) step(event forward.Event) forward.Effects {
	e := r.core.Step(event)
	if c := r.core.Counts(); c.Accepted != c.Forwarded+c.DeadLetters+c.Buffered {
		r.w.violated("S16", "the bridge counts %+v", c)
	}
	if e.Write != nil && (e.Write.Decision.Kind != route.DeadLetter || !r.w.bug(BugDeadLetterStays)) {
		r.enqueue(e.Write)
	}
	for range e.Acknowledge {
		if e.Conn == r.connects && len(r.window) > 0 && !r.w.bug(BugAckOutOfOrder) {
			r.acknowledge(r.window[0])
		}
	}
	switch e.Reading {
	case forward.Unchanged, forward.Pause:
	case forward.Resume:
		r.after(0, "bridge reads", r.read)
	case forward.Disconnect:
		r.away = true
		if r.conn != nil {
			r.conn.closedByClient(false)
			r.disconnected()
		}
	case forward.Connect:
		r.away = false
		r.after(r.bridge.rng.between(span{50 * time.Millisecond, time.Second}), "bridge dials", r.dial)
	}
	return e
}

// acknowledge acknowledges a message to MQTT. S16: what was acknowledged is in Kafka.
func (r *bridgeRun) acknowledge(id int) {
	if r.window = slices.DeleteFunc(r.window, func(x int) bool { return x == id }); r.conn == nil {
		return
	}
	if r.unacked[id] {
		delete(r.unacked, id)
		r.acked++
	}
	if c := r.core.Counts(); r.acked > c.Forwarded+c.DeadLetters+c.Repeats {
		r.w.violated("S16", "the bridge has acknowledged %d messages, and counts %+v", r.acked, c)
	}
	r.conn.acknowledge(id)
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

// enqueue appends a message to the queue of its partition. A value of which the
// latest is enough takes the place of one that is not in flight.
func (r *bridgeRun) enqueue(m *forward.Message) {
	rec := m.Decision.Record
	p := r.w.kafka.partitionOf(rec.Topic, rec.Key)
	q := r.lanes[p]
	if q == nil {
		q = &lane{}
		r.lanes[p] = q
	}
	l := &laneRecord{from: m, topic: rec.Topic, m: r.kafkaMessage(rec)}
	if m.Decision.Kind.LatestOnly() {
		for i, old := range q.queue {
			if (i > 0 || !q.busy) && old.from.Decision.Kind == m.Decision.Kind && old.m.key == l.m.key && old.m.kind == l.m.kind {
				q.queue[i] = l
				r.ended(forward.Replaced{Message: old.from}, old.from)
				return
			}
		}
	}
	q.queue = append(q.queue, l)
	r.produceNext(q)
}

// ended reports the end of a message to the core.
func (r *bridgeRun) ended(e forward.Event, m *forward.Message) {
	id := r.ids[m]
	delete(r.ids, m)
	if r.w.bug(BugAckOutOfOrder) && slices.Contains(r.window, id) {
		r.acknowledge(id)
	}
	r.step(e)
}

// produceNext sends the first record of a queue, and retries it until Kafka
// acknowledges it, in the order of the queue.
func (r *bridgeRun) produceNext(q *lane) {
	if q.busy || len(q.queue) == 0 {
		return
	}
	// One in flight per partition keeps the order of a charging point's records.
	q.busy = true
	l := q.queue[0]
	r.bridge.kafka.call("produce", func() bool {
		// The bridge's clock is the timestamp of the record.
		if r.w.kafka.refuses(r.bridge.skew) {
			return false
		}
		l.stored = true
		r.w.kafka.append(l.topic, l.m)
		r.checkOrder(l)
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
			r.ended(forward.Written{Message: l.from}, l.from)
			r.produceNext(q)
		}
	})
}

// checkOrder: S21. Events of a charging point reach Kafka for the first time in the
// order in which the broker received them. When a topic gets partitions, a key moves,
// and what is in flight on the old one may be overtaken.
func (r *bridgeRun) checkOrder(l *laneRecord) {
	id := r.ids[l.from]
	if d := &l.from.Decision; d.Kind == route.Event && id > 0 && !r.w.kafka.grown {
		r.w.mqtt.firstArrival(d.EventKey, id)
	}
}

// heartbeat publishes the bridge's heartbeat, and schedules the next.
func (r *bridgeRun) heartbeat() {
	m := wire.BridgeAlive{
		V: wire.Version, Bridge: "bridge", At: r.bridge.wall(), StartedAt: simulationStart.Add(r.startedAt), MQTT: wire.Dependency{Up: r.conn != nil, Since: r.bridge.wall()},
		Kafka: wire.Dependency{Up: true, Since: r.bridge.wall()}, Accepted: r.core.Counts().Accepted,
	}
	raw, err := m.Encode()
	if err != nil {
		r.w.violated("shell", "heartbeat cannot be encoded: %v", err)
		return
	}
	// A value of which the latest is enough, as presence.
	r.enqueue(&forward.Message{Decision: route.Decision{Kind: route.Presence, Record: route.Record{
		Topic: wire.TopicMonitor, Key: wire.BridgeKey("bridge"), Value: raw, Headers: []route.Header{{Key: wire.HeaderKind, Value: wire.KindValueBridgeAlive}},
	}}})
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
// an order that came while no bridge ran is still delivered if it is not stale.
func (r *bridgeRun) readCommands(p partition) {
	var core forward.Downlink
	// Offsets are not committed: after a restart the backlog is read again, and the
	// agents deduplicate.
	r.readers = append(r.readers, r.w.kafka.read(r.bridge.kafka, p, fromTime(r.w.now-commandBacklog), func(b batch, done func(bool)) {
		if r.bridge.run != r {
			return
		}
		core.Opened(b.initialEnd)
		records := make([]route.CommandRecord, len(b.messages))
		for i, m := range b.messages {
			records[i] = route.CommandRecord{Key: m.key, Value: m.value, Kind: m.kind, Partition: b.n, Offset: b.first + int64(i), At: r.bridge.wall()}
		}
		queue, dead := core.Read(r.router, records, b.first+int64(len(b.messages)))
		for _, m := range dead {
			r.w.stats.DeadLetters++
			r.step(forward.Received{Message: m})
		}
		r.publish(queue, r.w.now, done)
	}))
}

// publish publishes a queue in order, one message at a time, and calls done when
// the broker has confirmed all. Without a confirmation it publishes the same
// message again; commands that became stale since they were read are dropped.
func (r *bridgeRun) publish(queue []route.Publish, read time.Duration, done func(bool)) {
	for len(queue) > 0 && queue[0].Stale(r.bridge.wall(), r.w.now-read) {
		r.w.stats.StaleCommands++
		queue = queue[1:]
	}
	if len(queue) == 0 {
		done(true)
		return
	}
	if r.conn == nil {
		r.after(time.Second, "publish again", func() { r.publish(queue, read, done) })
		return
	}
	// The next message waits for the confirmation of this one.
	c, p := r.conn, queue[0]
	answered := false
	c.publish(mqttMessage{topic: p.Topic, raw: p.Payload, retained: p.Retained, qos: 1}, func() {
		if r.bridge.run == r && r.conn == c && !answered {
			answered = true
			r.publish(queue[1:], read, done)
		}
	})
	r.after(5*time.Second, "publish unconfirmed", func() {
		if !answered {
			answered = true
			r.publish(queue, read, done)
		}
	})
}
