package e2e_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/carga-ev/carga/internal/schema/schematest"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/engines"
)

// readerOfSchemas is one for all worlds: what was compiled for one is ready for
// the next.
var readerOfSchemas struct {
	once sync.Once
	set  *schematest.Set
}

func schemas(t *testing.T) *schematest.Set {
	t.Helper()
	readerOfSchemas.once.Do(func() { readerOfSchemas.set = schematest.Load(t) })
	return readerOfSchemas.set
}

// censor reads along whatever anybody gives to one of the brokers, and holds it
// against the schema of its topic.
type censor struct {
	t   *testing.T
	set *schematest.Set

	mu      sync.Mutex
	passed  map[string]int  // mu guards it and what follows; by broker and kind of message
	purpose map[string]bool // what a test says on purpose
	heard   map[string]int  // of what is said each second, by topic
	wrong   []string
}

func newCensor(t *testing.T) *censor {
	t.Helper()
	return &censor{t: t, set: schemas(t), passed: map[string]int{}, purpose: map[string]bool{}, heard: map[string]int{}}
}

// except lets messages pass that a test sends because no part would.
func (c *censor) except(all ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range all {
		c.purpose[string(raw)] = true
	}
}

// eachSecond reports whether the same is said on a topic all the time: telemetry,
// and who is alive. (A presence is read at the other broker too.)
func eachSecond(topic string) bool {
	return topic == wire.TopicMonitor || topic == wire.TopicTelemetry || strings.HasSuffix(topic, "/"+string(wire.KindTelemetry))
}

// due reports whether a message is to be checked: each one, but of what is said
// each second the first hundred of a world and then every tenth. All of it would
// take an eighth of the time of these tests.
func (c *censor) due(topic string) bool {
	if !eachSecond(topic) {
		return true
	}
	c.heard[topic]++
	return c.heard[topic] <= 100 || c.heard[topic]%10 == 0
}

// read takes one message.
func (c *censor) read(broker, topic string, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.purpose[string(raw)] {
		c.passed[broker+" on purpose"]++
		return
	}
	if !c.due(topic) {
		return
	}
	kind, err := c.set.CheckKind(topic, raw)
	if err != nil {
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %s: %v: %.2000q", broker, topic, err, raw))
		return
	}
	c.passed[broker+" "+kind]++
}

// refused are the messages that followed no schema, and were not to.
func (c *censor) refused() (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrong, c.wrong = c.wrong, nil
	return wrong
}

// report fails the test for what followed no schema; the first of them will do.
func (c *censor) report() {
	c.t.Helper()
	wrong := c.refused()
	for _, line := range wrong[:min(len(wrong), 5)] {
		c.t.Error(line)
	}
	if len(wrong) > 5 {
		c.t.Errorf("and %d more", len(wrong)-5)
	}
}

// atMQTT lets the censor read along with a broker of MQTT.
func (c *censor) atMQTT(listen engines.ListenFunc) engines.ListenFunc {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if err != nil {
			return nil, err
		}
		return &openedLetters{l, c}, nil
	}
}

type openedLetters struct {
	net.Listener
	c *censor
}

func (l *openedLetters) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &mqttLine{Conn: conn, c: l.c}, nil
}

// mqttLine is a connection of which all that the client says is read too.
type mqttLine struct {
	net.Conn
	c       *censor
	version byte
	said    []byte // of a packet that is not complete
}

// Read is called by the one goroutine of the broker that reads the client.
func (l *mqttLine) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.said = append(l.said, b[:n]...)
	for l.packet() {
	}
	return n, err
}

// packet takes a complete packet off what was said; a message, or the last will
// that a client leaves.
func (l *mqttLine) packet() bool {
	if len(l.said) < 2 {
		return false
	}
	rest := bytes.NewReader(l.said[1:])
	size, _, err := packets.DecodeLength(rest)
	if err != nil || rest.Len() < size {
		return false
	}
	body := l.said[len(l.said)-rest.Len():][:size]
	p := packets.Packet{ProtocolVersion: l.version}
	if err = p.FixedHeader.Decode(l.said[0]); err == nil {
		switch p.FixedHeader.Remaining = size; p.FixedHeader.Type {
		case packets.Connect:
			if err = p.ConnectDecode(body); err == nil {
				l.version = p.ProtocolVersion
				if p.Connect.WillFlag {
					l.c.read("mqtt", p.Connect.WillTopic, p.Connect.WillPayload)
				}
			}
		case packets.Publish:
			if err = p.PublishDecode(body); err == nil {
				l.c.read("mqtt", p.TopicName, p.Payload)
			}
		}
	}
	if err != nil {
		l.c.t.Errorf("a packet of MQTT cannot be read: %v", err)
	}
	l.said = l.said[len(l.said)-rest.Len()+size:]
	return true
}

// atKafka lets the censor read along with a cluster that has just started.
func (c *censor) atKafka(cluster *kfake.Cluster) {
	cluster.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if p, ok := r.(*kmsg.ProduceRequest); ok {
			for i := range p.Topics {
				for _, part := range p.Topics[i].Partitions {
					if err := c.batches(p.Topics[i].Topic, part.Records); err != nil {
						c.t.Errorf("what is written to %s cannot be read: %v", p.Topics[i].Topic, err)
					}
				}
			}
		}
		return nil, nil, false // the cluster does what is asked
	})
}

// batches reads the records that are written to a partition.
func (c *censor) batches(topic string, raw []byte) error {
	const head = 12 // first offset and length, which the length does not count
	for len(raw) >= head {
		var b kmsg.RecordBatch
		if err := b.ReadFrom(raw); err != nil {
			return err
		}
		if codec := b.Attributes & 7; codec != 0 {
			return fmt.Errorf("compressed by codec %d, which no part uses", codec)
		}
		raw = raw[head+int(b.Length):]
		for rest := b.Records; len(rest) > 0; {
			size, n := binary.Varint(rest)
			if n <= 0 || size < 0 || int64(len(rest)-n) < size {
				return fmt.Errorf("a record of %d bytes where %d are left", size, len(rest)-n)
			}
			var rec kmsg.Record
			if err := rec.ReadFrom(rest[:n+int(size)]); err != nil {
				return err
			}
			c.read("kafka", topic, rec.Value)
			rest = rest[n+int(size):]
		}
	}
	return nil
}

// TestEveryMessageIsReadAlong: in an ordinary service every kind of message that
// belongs to it passes the censor, at the broker where it is said; and one that
// follows no schema does not pass.
func TestEveryMessageIsReadAlong(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		w.start(usual()...)
		w.served(w.drive(w.line(), wish{who: "anna"}), time.Hour)
		w.settle()
		c := w.censor
		c.mu.Lock()
		passed := maps.Clone(c.passed)
		c.mu.Unlock()
		for _, kind := range []string{
			"presence", "telemetry", "ack", "command_RESERVE", "command_START", "record_cp_registered", "record_connector_status_changed", "record_command_accepted",
			"record_command_finished", "record_authorized", "record_plugged_in", "record_charging_started", "record_meter_read", "record_charging_stopped", "record_unplugged",
		} {
			if passed["mqtt "+kind] == 0 || passed["kafka "+kind] == 0 {
				t.Errorf("%s: %d by MQTT, %d by Kafka", kind, passed["mqtt "+kind], passed["kafka "+kind])
			}
		}
		for _, kind := range []string{
			"bridge_alive", "central_alive", "driver_AUTHORIZATION_REQUEST", "central_AUTHORIZATION_RESPONSE", "central_charging_started", "central_charging_progress", "central_CHARGING_TICKET",
		} {
			if passed["kafka "+kind] == 0 {
				t.Errorf("%s: none", kind)
			}
		}
		if t.Failed() {
			t.Logf("passed: %v", slices.Sorted(maps.Keys(passed)))
		}
		good := kafka.Message{Key: []byte("anna"), Value: []byte(`{"event_type":"charging_started","username":"anna","cp_id":"CP_001","timestamp":1}`)}
		bad := kafka.Message{Key: []byte("anna"), Value: []byte(`{"event_type":"charging_started","username":7,"cp_id":"CP_001","timestamp":1}`)}
		w.produce(wire.TopicDriverEvents, good, bad)
		if wrong := c.refused(); len(wrong) != 1 || !strings.Contains(wrong[0], "username") {
			t.Errorf("of a good message and a bad one %q is refused", wrong)
		}
	})
}
