package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/central/internal/ingest"
	"github.com/carga-ev/carga/central/internal/outbox"
	"github.com/carga-ev/carga/central/internal/store"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// stopGrace is how long a stopping Central goes on writing what is in flight.
const stopGrace = time.Second

// maxQueued bounds the messages that wait for Kafka and may be lost.
const maxQueued = 20_000

// kafkaIO is Central's connection to Kafka. Messages that must not be lost come
// from the outbox, page by page, through a producer of their own. The other
// producer sends what may be lost: acknowledgements, commands, progress and
// heartbeats. So a queue full of one kind cannot delay the other.
type kafkaIO struct {
	cfg    *Config
	store  *store.Store
	live   *ingest.Live
	writer *ingest.Writer
	log    *slog.Logger

	client    *kafkalink.Client
	topics    *kafkalink.TopicWatcher
	durable   *kafkalink.Producer // for the outbox; it retries for ever
	lossy     *kafkalink.Producer // for the rest; while Kafka is down, newer messages replace older ones
	watchLoop *health.Loop

	readingMu sync.Mutex
	// readingMu guards what follows.

	// reading are the readers of an active Central; none before it is active.
	reading []*kafkalink.TopicReader
	// heartbeats is a second reader of monitor-events, which does not wait for
	// the database; nil before this Central is active.
	heartbeats *kafkalink.TopicReader
}

var (
	_ ingest.Sender   = (*kafkaIO)(nil)
	_ outbox.Producer = (*kafkaIO)(nil)
)

// newKafkaIO returns a connection that is not started.
func newKafkaIO(cfg Config, dial func(context.Context, string, string) (net.Conn, error), s *store.Store, live *ingest.Live, w *observe.Server, log *slog.Logger) (*kafkaIO, error) {
	k, t := &cfg.Kafka, &cfg.Kafka.Topics
	var names []string
	var all []kafkalink.TopicSpec
	for _, n := range t.all() {
		names = append(names, n.Topic.Name)
		all = append(all, k.Spec(n.Topic))
	}
	l := &kafkaIO{cfg: &cfg, store: s, live: live, watchLoop: w.Loop("kafka_watch"), log: log}
	var err error
	if l.client, err = kafkalink.NewClient(kafkalink.ClientConfig{Brokers: k.Brokers, ClientID: k.ClientID, Topics: names, Dial: dial}); err != nil {
		return nil, err
	}
	// The program that starts first creates the topics, including those that it
	// only reads.
	if l.topics, err = kafkalink.NewTopicWatcher(l.client, kafkalink.WatcherConfig{Create: all, Tick: w.LoopWithin("kafka_topics", 30*time.Second).Beat, Log: log}); err != nil {
		return nil, err
	}
	l.durable, err = kafkalink.NewProducer(l.client, l.topics, kafkalink.ProducerConfig{
		// To the last three it writes dead letters that an operator replays.
		Topics: []kafkalink.TopicSpec{k.Spec(&t.CentralEvents), k.Spec(&t.DeadLetters), k.Spec(&t.Events), k.Spec(&t.Monitor), k.Spec(&t.DriverEvents)}, Keep: true, Grace: stopGrace, Log: log,
	})
	if err != nil {
		return nil, err
	}
	l.lossy, err = kafkalink.NewProducer(l.client, l.topics, kafkalink.ProducerConfig{
		Topics:     []kafkalink.TopicSpec{k.Spec(&t.CentralEvents), k.Spec(&t.Monitor), k.Spec(&t.Commands)},
		Latest:     []string{t.CentralEvents.Name, t.Monitor.Name},
		MaxRecords: maxQueued, Grace: -1, Log: log,
	})
	return l, err
}

// run works until ctx ends: it joins, and then reads what an active Central
// needs.
func (l *kafkaIO) run(ctx context.Context) error {
	defer l.client.Close()
	var running sync.WaitGroup
	defer running.Wait()
	start := func(fn func(context.Context) error) {
		running.Go(func() {
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				l.log.Error("Kafka link ended", slog.String("err", err.Error()))
			}
		})
	}
	start(l.topics.Run)
	start(l.durable.Run)
	start(l.lossy.Run)
	running.Go(func() { l.watch(ctx) })
	highest, err := l.waitToJoin(ctx)
	if err != nil {
		return nil // ctx has ended
	}
	l.writer.Join(highest)
	t := &l.cfg.Kafka.Topics
	published, err := l.catchUpOf(ctx, t.CentralEvents.Name)
	if err != nil {
		return nil // as above
	}
	readers, events := l.readers(ctx, published)
	requests := l.committedReader(ctx, t.DriverEvents.Name, nil)
	heartbeats := l.liveReader(t.Monitor.Name, l.observe)
	l.readingMu.Lock()
	l.reading, l.heartbeats = append(readers, requests), heartbeats
	l.readingMu.Unlock()
	for _, r := range readers {
		if r != events {
			start(r.Run)
		}
	}
	start(heartbeats.Run)
	start(l.topicReader(t.DeadLetters.Name, func(int) kafkalink.ReaderConfig {
		return kafkalink.ReaderConfig{Start: kafkalink.FromLast(ingest.MaxBridgeDeadLetters), Handle: l.bridgeDeadLetters}
	}).Run)
	// Read what Centrals have published before records and requests: a database
	// restored from a backup lacks the latest tickets and answers, and would bill those
	// sessions and serve those requests again.
	select {
	case <-published.done:
		l.writer.CaughtUp()
		start(events.Run)
		start(requests.Run)
		running.Go(func() { l.readLog(ctx, events) })
	case <-ctx.Done():
	}
	return nil
}

// watch stores in the live view, once per second and at each change, whether
// Kafka responds, and what cannot be written or read although it does.
func (l *kafkaIO) watch(ctx context.Context) {
	for {
		_, wake := l.topics.Topic(l.cfg.Kafka.Topics.Events.Name)
		l.live.SetKafka(l.kafkaView())
		l.watchLoop.Beat()
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-time.After(time.Second):
		}
	}
}

// kafkaView returns the state of Kafka for the live view.
func (l *kafkaIO) kafkaView() ingest.KafkaView {
	k := l.topics.State()
	v := ingest.KafkaView{Up: k.Up, Why: k.Warnings(), HeartbeatsUnread: unread(l.heartbeatReaders())}
	if !k.Up {
		v.Why = []reason.Reason{k.Why()}
	}
	for _, t := range l.troubles(k) {
		v.Troubles = append(v.Troubles, ingest.Trouble{Since: charge.At(t.Since), Why: t.Reason})
	}
	return v
}

// troubles returns what cannot be written or read although Kafka responds.
func (l *kafkaIO) troubles(k kafkalink.WatcherState) []kafkalink.Trouble {
	return kafkalink.Troubles(k, []kafkalink.Stats{l.durable.Stats(), l.lossy.Stats()}, append(l.readerStates(len(l.cfg.Kafka.Topics.all())), l.heartbeatReaders()...))
}

// unread returns why heartbeats of bridges are not read, by the first partition that
// is not; zero if all are.
func unread(readers []kafkalink.ReaderState) reason.Reason {
	for _, r := range readers {
		if !r.Reading {
			return reason.Reason{Code: reason.HeartbeatsUnread, Topic: r.Topic}.Because(cmp.Or(r.Reason, reason.Reason{Code: reason.NotYet}))
		}
	}
	return reason.Reason{}
}

// heartbeatReaders returns the states of the heartbeats' readers; none before
// this Central is active.
func (l *kafkaIO) heartbeatReaders() []kafkalink.ReaderState {
	l.readingMu.Lock()
	r := l.heartbeats
	l.readingMu.Unlock()
	if r == nil {
		return nil
	}
	return r.States()
}

// readers returns the readers of an active Central except that of drivers'
// requests. Those with committed offsets come first, which readerStates relies
// on. events is the one of the records of charging points. published catches up with
// what Centrals have published.
func (l *kafkaIO) readers(ctx context.Context, published *catchUp) (all []*kafkalink.TopicReader, events *kafkalink.TopicReader) {
	t := &l.cfg.Kafka.Topics
	events = l.committedReader(ctx, t.Events.Name, nil)
	return []*kafkalink.TopicReader{
		l.committedReader(ctx, t.Monitor.Name, nil), events, l.committedReader(ctx, t.CentralEvents.Name, published),
		l.liveReader(t.Telemetry.Name, l.telemetry), l.liveReader(t.Commands.Name, l.observe),
	}, events
}

// readLog reads the log of records to its end each time the writer wants that, and
// before it again what the writer dropped.
func (l *kafkaIO) readLog(ctx context.Context, events *kafkalink.TopicReader) {
	for {
		select {
		case <-ctx.Done():
			return
		case want := <-l.writer.LogWanted():
			events.GoBack(want.From)
			if events.ReadToEnd(ctx) == nil {
				l.writer.LogRead(want.N)
			}
		}
	}
}

// liveReader returns a reader of the records written from now on. Their offsets
// are not stored.
func (l *kafkaIO) liveReader(topic string, handle func(context.Context, kafkalink.Batch) error) *kafkalink.TopicReader {
	return l.topicReader(topic, func(int) kafkalink.ReaderConfig {
		return kafkalink.ReaderConfig{Start: kafkalink.FromEnd(), Handle: handle}
	})
}

// topicReader returns a reader of all partitions of a topic, with the
// configuration that config returns for each.
func (l *kafkaIO) topicReader(topic string, config func(partition int) kafkalink.ReaderConfig) *kafkalink.TopicReader {
	return kafkalink.NewTopicReader(l.client, l.topics, topic, func(partition int) kafkalink.ReaderConfig {
		cfg := config(partition)
		cfg.Log = l.log
		return cfg
	})
}

// committedReader returns a reader that starts at the offset in the database
// and submits to the writer, which commits the offset with the effect. at, if
// not nil, catches up with each partition once the writer has accepted its
// records.
func (l *kafkaIO) committedReader(ctx context.Context, topic string, at *catchUp) *kafkalink.TopicReader {
	r := l.topicReader(topic, func(partition int) kafkalink.ReaderConfig {
		t, another := at.partition(topic, partition), false
		return kafkalink.ReaderConfig{
			Start:  l.startAt(ctx, topic, partition),
			Opened: t.opened,
			Replaced: func(r kafkalink.Replaced) {
				if r.Reason != kafkalink.ReasonExpired {
					another = true
					t.logReplaced()
				}
				l.log.Warn("Kafka's log was replaced: it is read again from its beginning", slog.String("topic", r.Topic),
					slog.Int("partition", r.Partition), slog.String("reason", string(r.Reason)), slog.Int64("was", r.Was), slog.Int64("offset", r.Now))
			},
			Handle: func(ctx context.Context, b kafkalink.Batch) error {
				past := t.end
				if another {
					past = 0 // no record of the new log was there before this run
				}
				err := l.writer.Submit(ctx, kafkaRecords(b, past))
				if err == nil {
					t.processed(b.Next)
				}
				return err
			},
		}
	})
	r.OnPartitions(func(n int) { at.partitions(topic, n) })
	return r
}

// startAt returns where to start reading a partition. If the database cannot be
// read now, that is the first record: records known already have no second
// effect.
func (l *kafkaIO) startAt(ctx context.Context, topic string, partition int) kafkalink.Start {
	next, crc, known, err := l.store.Offset(ctx, topic, partition)
	if err != nil {
		l.log.Error("stored offset cannot be read, reading from the first record", slog.String("topic", topic), slog.String("err", err.Error()))
	}
	if err != nil || !known {
		return kafkalink.FromFirst()
	}
	return kafkalink.FromOffset(next, crc)
}

// kafkaRecords converts a batch. Records below the offset end were in the log
// before this run began.
func kafkaRecords(b kafkalink.Batch, end int64) []ingest.KafkaRecord {
	all := make([]ingest.KafkaRecord, 0, len(b.Messages))
	for i := range b.Messages {
		m := &b.Messages[i]
		d := ingest.KafkaRecord{
			Topic: b.Topic, Partition: b.Partition, Offset: m.Offset, CRC: kafkalink.Fingerprint(m.Key, m.Value),
			Key: string(m.Key), Value: m.Value, Kind: string(m.Header(wire.HeaderKind)), ReceivedAt: receivedAt(m), BeforeStart: m.Offset < end,
		}
		if !b.After.IsZero() {
			d.NotBefore = charge.At(b.After)
		}
		all = append(all, d)
	}
	return all
}

// receivedAt returns when the bridge received a message, or else when Kafka
// did.
func receivedAt(m *kafkalink.Message) charge.Time {
	if h := m.Header(wire.HeaderReceivedAt); h != nil {
		if at, err := charge.ParseTime(string(h)); err == nil {
			return at
		}
	}
	return min(max(charge.At(m.Time), 0), charge.MaxTime)
}

// telemetry passes telemetry to the live view. It does not pass the writer:
// nothing of it is stored.
func (l *kafkaIO) telemetry(_ context.Context, b kafkalink.Batch) error {
	for i := range b.Messages {
		l.live.Telemetry(string(b.Messages[i].Key), b.Messages[i].Value)
	}
	return nil
}

// bridgeDeadLetters passes dead letters of bridges to the live view. Central's own are
// in the database.
func (l *kafkaIO) bridgeDeadLetters(_ context.Context, b kafkalink.Batch) error {
	t := &l.cfg.Kafka.Topics
	for i := range b.Messages {
		m := &b.Messages[i]
		topic := string(m.Header(wire.HeaderTopic))
		if slices.Contains([]string{t.Events.Name, t.Monitor.Name, t.DriverEvents.Name, t.CentralEvents.Name}, topic) {
			continue
		}
		words := view.Preview(m.Header(wire.HeaderReason), deadLetterPreview)
		l.live.BridgeDeadLetter(view.BridgeDeadLetter{
			Topic: view.Preview([]byte(topic), deadLetterPreview), Key: view.Preview(m.Key, deadLetterPreview),
			Reason: words, Why: wire.DecodeWhy(m.Header(wire.HeaderWhy), words), ReceivedAt: receivedAt(m), Size: len(m.Value),
			Body: view.Preview(m.Value, deadLetterPreview), Partition: b.Partition, Offset: m.Offset,
		})
	}
	return nil
}

// deadLetterPreview is how much of each text of a dead letter is shown, in bytes.
const deadLetterPreview = 300

// senderEpoch returns the epoch of the Central that wrote a record of
// cp-commands or monitor-events; zero if no Central did.
func senderEpoch(m *kafkalink.Message) charge.Epoch {
	return wire.WriterEpoch(string(m.Header(wire.HeaderKind)), m.Header(wire.HeaderCentral), m.Value)
}

// observe passes heartbeats and epochs to the writer at once; see
// ingest.Writer.ObserveRecord.
func (l *kafkaIO) observe(_ context.Context, b kafkalink.Batch) error {
	for i := range b.Messages {
		m := &b.Messages[i]
		l.writer.ObserveRecord(ingest.KafkaRecord{Topic: b.Topic, Partition: b.Partition, Offset: m.Offset, Key: string(m.Key), Value: m.Value, Kind: string(m.Header(wire.HeaderKind)), ReceivedAt: receivedAt(m)},
			m.Header(wire.HeaderCentral))
	}
	return nil
}

// outboxTable is the outbox of the database. The writer is informed of what cannot be
// read.
type outboxTable struct {
	s *store.Store
	w *ingest.Writer
}

// Topics implements outbox.Table.
func (t outboxTable) Topics(ctx context.Context) ([]string, error) {
	topics, err := t.s.OutboxTopics(ctx)
	if err != nil {
		t.w.ReadFailed(err)
	}
	return topics, err
}

// Rows implements outbox.Table.
func (t outboxTable) Rows(ctx context.Context, topic string, after int64, limit int) ([]outbox.Row, error) {
	page, err := t.s.Outbox(ctx, topic, after, limit)
	if err != nil {
		t.w.ReadFailed(err)
	}
	out := make([]outbox.Row, 0, len(page))
	for i := range page {
		out = append(out, outbox.Row(page[i]))
	}
	return out, err
}

// Produce implements outbox.Producer. The producer of the outbox keeps what
// Kafka refuses and tries again, so done is called for every row that is not
// lost with the process.
func (l *kafkaIO) Produce(_ context.Context, r outbox.Row, done func()) error {
	var headers []kafkalink.Header
	for name, value := range r.Headers {
		headers = append(headers, kafkalink.Header{Key: name, Value: []byte(value)})
	}
	err := l.durable.Enqueue(kafkalink.Record{
		Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Headers: headers,
		Done: func(kafkalink.Outcome) { done() }, // always Produced: the producer keeps what is refused
	})
	if err != nil {
		return fmt.Errorf("outbox row %d: %w", r.ID, err)
	}
	return nil
}

// sendLossy queues a message that may be lost, unless the queue is full. A
// queued message is replaced by a newer one with the same topic, key and first
// header, in the topics in which only the latest counts. done, if not nil, is
// called once Kafka has the message.
func (l *kafkaIO) sendLossy(topic, key string, value []byte, done func(), headers ...kafkalink.Header) {
	r := kafkalink.Record{Topic: topic, Key: []byte(key), Subject: string(headers[0].Value), Value: value, Headers: headers}
	if done != nil {
		r.Done = func(o kafkalink.Outcome) {
			if o.Kind == kafkalink.Produced {
				done()
			}
		}
	}
	if ok, err := l.lossy.TryEnqueue(r); err != nil || !ok {
		l.log.Debug("message dropped: Kafka is down and the queue is full", slog.String("topic", topic))
	}
}

// Ack implements ingest.Sender. Acknowledgements are queued while Kafka is
// down: the latest of them is still true when it is sent.
func (l *kafkaIO) Ack(by charge.Epoch, cp charge.CPID, value []byte) {
	l.sendLossy(l.cfg.Kafka.Topics.Commands.Name, string(cp), value, nil, header(wire.HeaderKind, wire.KindValueAck), header(wire.HeaderCentral, by.String()))
}

// header returns a record header.
func header(name, is string) kafkalink.Header { return kafkalink.Header{Key: name, Value: []byte(is)} }

// Command implements ingest.Sender. While Kafka is down it drops the command:
// orders repeats it, and a queued one would be stale when it is sent.
func (l *kafkaIO) Command(by charge.Epoch, cp charge.CPID, _ charge.CommandID, value []byte, sent func()) {
	if !l.topics.State().Up {
		return
	}
	l.sendLossy(l.cfg.Kafka.Topics.Commands.Name, string(cp), value, sent, header(wire.HeaderKind, wire.KindValueCommand), header(wire.HeaderCentral, by.String()))
}

// Progress implements ingest.Sender. The trace header names the session, so
// that progress of one session replaces only its own.
func (l *kafkaIO) Progress(key string, id charge.SessionID, value []byte) {
	l.sendLossy(l.cfg.Kafka.Topics.CentralEvents.Name, key, value, nil, header(wire.HeaderTrace, string(id)))
}

// Heartbeat implements ingest.Sender.
func (l *kafkaIO) Heartbeat(value []byte) {
	l.sendLossy(l.cfg.Kafka.Topics.Monitor.Name, "central", value, nil, header(wire.HeaderKind, wire.KindValueCentralAlive))
}
