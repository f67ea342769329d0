package driver_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

const kafkaAddr = "127.0.0.1:9092"

// kafkaWorld is an embedded Kafka on a network in memory, and a test's Central
// that answers over it.
type kafkaWorld struct {
	tb     testing.TB
	net    *kfake.VirtualNetwork
	broker *engines.Kafka
	next   map[int]int64 // offsets of Central's reader

	mu    sync.Mutex
	asked []wire.DriverRequest // mu guards it
}

func newKafkaWorld(tb testing.TB) *kafkaWorld {
	tb.Helper()
	w := &kafkaWorld{tb: tb, net: &kfake.VirtualNetwork{}, next: map[int]int64{}}
	w.broker = engines.NewKafka(kafkaAddr, tb.TempDir(), w.net.Listen)
	return w
}

func (w *kafkaWorld) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return w.net.DialContext(ctx, network, address)
}

func (w *kafkaWorld) start() {
	w.tb.Helper()
	if err := w.broker.Start(); err != nil {
		w.tb.Error(err)
	}
}

func (w *kafkaWorld) newClient() *driver.Client {
	w.tb.Helper()
	l, err := driver.NewClient(driver.ClientConfig{Brokers: []string{kafkaAddr}, ClientID: "test", Partitions: 3, Dial: w.dial})
	if err != nil {
		w.tb.Fatal(err)
	}
	return l
}

// central answers requests over plain Kafka until ctx ends.
func (w *kafkaWorld) central(ctx context.Context, answer func(m wire.DriverRequest, publish func(wire.CentralEvent))) {
	for ctx.Err() == nil {
		w.withClient(func(client *kafka.Client) {
			for p := range 3 {
				w.readDriver(ctx, client, p, answer)
			}
		})
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// withClient calls do with a Kafka client that has connections of its own.
func (w *kafkaWorld) withClient(do func(*kafka.Client)) {
	transport := &kafka.Transport{Dial: w.dial, MetadataTopics: []string{wire.TopicDriverEvents, wire.TopicCentralEvents}}
	defer transport.CloseIdleConnections()
	do(&kafka.Client{Addr: kafka.TCP(kafkaAddr), Timeout: 5 * time.Second, Transport: transport})
}

func (w *kafkaWorld) readDriver(ctx context.Context, client *kafka.Client, p int, answer func(wire.DriverRequest, func(wire.CentralEvent))) {
	r, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: wire.TopicDriverEvents, Partition: p, Offset: w.next[p], MaxBytes: 1 << 20, MaxWait: 10 * time.Millisecond})
	if err != nil || r.Error != nil {
		return
	}
	for {
		rec, err := r.Records.ReadRecord()
		if err != nil {
			return
		}
		w.next[p] = rec.Offset + 1
		raw, _ := io.ReadAll(rec.Value)
		m, err := wire.DecodeDriverRequest(raw)
		if err != nil {
			w.tb.Errorf("unreadable request %s: %v", raw, err)
			continue
		}
		w.mu.Lock()
		w.asked = append(w.asked, m)
		w.mu.Unlock()
		answer(m, w.publish)
	}
}

func (w *kafkaWorld) publish(e wire.CentralEvent) {
	e.Timestamp = wire.Seconds(charge.At(time.Now()))
	raw, err := e.Encode()
	if err != nil {
		w.tb.Error(err)
		return
	}
	w.withClient(func(client *kafka.Client) {
		r, err := client.Produce(context.Background(), &kafka.ProduceRequest{
			Topic: wire.TopicCentralEvents, Partition: len(e.EventID) % 3, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(raw)}),
		})
		if err != nil || r.Error != nil {
			w.tb.Errorf("central could not answer: %v", err)
		}
	})
}

func (w *kafkaWorld) requests() []wire.DriverRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]wire.DriverRequest(nil), w.asked...)
}

// answerAtOnce authorizes every request at CP_001, and answers the start with a
// whole session.
func answerAtOnce(m wire.DriverRequest, publish func(wire.CentralEvent)) {
	about := wire.CentralEvent{Username: m.Username, CPID: "CP_001", Connector: 1}
	switch m.EventType {
	case wire.DriverAuthorization:
		yes := true
		about.EventID, about.EventType, about.MessageID, about.Authorized = "a."+m.MessageID, wire.CentralAuthorization, m.MessageID, &yes
		about.ReservationID = "r-1"
		publish(about)
	case wire.DriverStarted:
		about.SessionID = "s-1"
		about.EventID, about.EventType = "c.s-1", wire.CentralChargingStarted
		publish(about)
		about.EventID, about.EventType = "t.s-1", wire.CentralTicket
		publish(about)
	default:
	}
}

// run calls do while the client and Central run.
func (w *kafkaWorld) run(l *driver.Client, answer func(wire.DriverRequest, func(wire.CentralEvent)), do func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = l.Run(ctx) })
	all.Go(func() { w.central(ctx, answer) })
	defer func() {
		cancel()
		all.Wait()
		w.broker.Stop()
	}()
	do(ctx)
}

// TestClientWaitsForKafka uses the real client library, with a broker that
// starts 90 s late and has no topics: the service ends on one ticket.
func TestClientWaitsForKafka(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKafkaWorld(t)
		l := w.newClient()
		w.run(l, answerAtOnce, func(ctx context.Context) {
			time.AfterFunc(90*time.Second, w.start)
			start := time.Now()
			var steps []driver.Step
			o, err := driver.Run(ctx, driver.DefaultConfig(), l, func(s driver.Step) { steps = append(steps, s) })
			if err != nil || o.Result != driver.Ticket {
				t.Fatalf("got %v, %v, want a ticket; steps %+v", o, err, steps)
			}
			if took := time.Since(start); took > 95*time.Second {
				t.Errorf("took %v, want about 90s", took)
			}
			if len(steps) == 0 || steps[0].Kind != driver.StepKafkaAway {
				t.Errorf("reported %+v, want first that Kafka is away", steps)
			}
			for _, m := range w.requests() {
				if age := m.Timestamp.Time().Std().Sub(start); age < 90*time.Second {
					t.Errorf("a request of %v after the start was sent: it waited in a queue", age)
				}
			}
		})
	})
}

// TestClientReadsFromTheEnd: messages from before the driver's request are
// ignored, whatever their ids, and none is missed over an outage.
func TestClientReadsFromTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKafkaWorld(t)
		w.start()
		earlier := w.newClient()
		w.run(earlier, answerAtOnce, func(ctx context.Context) {
			if _, err := driver.Run(ctx, driver.DefaultConfig(), earlier, func(driver.Step) {}); err != nil {
				t.Fatal(err)
			}
		})
		w.start()
		l := w.newClient()
		slow := func(m wire.DriverRequest, publish func(wire.CentralEvent)) {
			if m.EventType == wire.DriverStarted { // an outage of Kafka before the session's messages
				w.broker.Stop()
				time.Sleep(20 * time.Second)
				w.start()
				time.Sleep(2 * time.Second)
			}
			answerAtOnce(m, publish)
		}
		w.run(l, slow, func(ctx context.Context) {
			var kinds []driver.StepKind
			o, err := driver.Run(ctx, driver.DefaultConfig(), l, func(s driver.Step) { kinds = append(kinds, s.Kind) })
			if err != nil || o.Result != driver.Ticket {
				t.Fatalf("got %v, %v; reported %v", o, err, kinds)
			}
			authorized, away := 0, 0
			for _, k := range kinds {
				if k == driver.StepAuthorized {
					authorized++
				}
				if k == driver.StepKafkaAway {
					away++
				}
			}
			if authorized != 1 || away != 1 {
				t.Errorf("reported %v, want one authorisation and one outage", kinds)
			}
		})
	})
}

// TestNewClientNamesWhatIsWrong: before anything is dialled.
func TestNewClientNamesWhatIsWrong(t *testing.T) {
	for _, c := range []driver.ClientConfig{
		{}, {Brokers: []string{"nowhere"}}, {Brokers: []string{"a:1"}, Partitions: -1},
	} {
		if _, err := driver.NewClient(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
