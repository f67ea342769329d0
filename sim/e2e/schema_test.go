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

	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/schema/schematest"
	"github.com/carga-ev/carga/internal/wire"
)

// sharedSchemas is shared by all worlds, because compiling the schemas takes
// long.
var sharedSchemas struct {
	once sync.Once
	set  *schematest.Set
}

func loadSchemas(t *testing.T) *schematest.Set {
	t.Helper()
	sharedSchemas.once.Do(func() { sharedSchemas.set = schematest.Load(t) })
	return sharedSchemas.set
}

// schemaChecker reads every message that any client sends to one of the
// brokers, and validates it against the schema of its topic.
type schemaChecker struct {
	t   *testing.T
	set *schematest.Set

	mu         sync.Mutex
	counts     map[string]int  // mu guards it and what follows; valid messages by broker and kind
	allowed    map[string]bool // messages that a test sends on purpose
	periodic   map[string]int  // periodic messages by topic
	violations []string
}

func newSchemaChecker(t *testing.T) *schemaChecker {
	t.Helper()
	return &schemaChecker{t: t, set: loadSchemas(t), counts: map[string]int{}, allowed: map[string]bool{}, periodic: map[string]int{}}
}

// allow excepts messages that a test sends because no part would.
func (c *schemaChecker) allow(all ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range all {
		c.allowed[string(raw)] = true
	}
}

// isPeriodic reports whether a topic carries similar messages once a second:
// telemetry, and heartbeats. (A presence is checked at the other broker too.)
func isPeriodic(topic string) bool {
	return topic == wire.TopicMonitor || topic == wire.TopicTelemetry || strings.HasSuffix(topic, "/"+string(wire.KindTelemetry))
}

// selected reports whether a message is to be checked: each one, but of
// periodic messages the first hundred of a world and then every tenth. All of
// them would take an eighth of the time of these tests. The caller holds mu.
func (c *schemaChecker) selected(topic string) bool {
	if !isPeriodic(topic) {
		return true
	}
	c.periodic[topic]++
	return c.periodic[topic] <= 100 || c.periodic[topic]%10 == 0
}

// check validates one message.
func (c *schemaChecker) check(broker, topic string, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allowed[string(raw)] {
		c.counts[broker+" on purpose"]++
		return
	}
	if !c.selected(topic) {
		return
	}
	kind, err := c.set.CheckKind(topic, raw)
	if err != nil {
		c.violations = append(c.violations, fmt.Sprintf("%s: %s: %v: %.2000q", broker, topic, err, raw))
		return
	}
	c.counts[broker+" "+kind]++
}

// drainViolations returns and removes the messages that are not valid.
func (c *schemaChecker) drainViolations() (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrong, c.violations = c.violations, nil
	return wrong
}

// report fails the test for the messages that are not valid; it prints the
// first five.
func (c *schemaChecker) report() {
	c.t.Helper()
	wrong := c.drainViolations()
	for _, line := range wrong[:min(len(wrong), 5)] {
		c.t.Error(line)
	}
	if len(wrong) > 5 {
		c.t.Errorf("and %d more", len(wrong)-5)
	}
}

// checkMQTT returns a listener of an MQTT broker whose connections are checked.
func (c *schemaChecker) checkMQTT(listen engines.ListenFunc) engines.ListenFunc {
	return func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if err != nil {
			return nil, err
		}
		return &checkedListener{l, c}, nil
	}
}

// checkedListener is a listener whose connections are checked.
type checkedListener struct {
	net.Listener
	c *schemaChecker
}

func (l *checkedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &checkedConn{Conn: conn, c: l.c}, nil
}

// checkedConn is a connection whose client's messages are checked.
type checkedConn struct {
	net.Conn
	c        *schemaChecker
	version  byte
	buffered []byte // bytes of an incomplete packet
}

// Read is called by the one goroutine of the broker that reads this connection.
func (l *checkedConn) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.buffered = append(l.buffered, b[:n]...)
	for l.nextPacket() {
	}
	return n, err
}

// nextPacket removes a complete packet from the buffer, and checks a message or
// a last will in it.
func (l *checkedConn) nextPacket() bool {
	if len(l.buffered) < 2 {
		return false
	}
	rest := bytes.NewReader(l.buffered[1:])
	size, _, err := packets.DecodeLength(rest)
	if err != nil || rest.Len() < size {
		return false
	}
	body := l.buffered[len(l.buffered)-rest.Len():][:size]
	p := packets.Packet{ProtocolVersion: l.version}
	if err = p.FixedHeader.Decode(l.buffered[0]); err == nil {
		switch p.FixedHeader.Remaining = size; p.FixedHeader.Type {
		case packets.Connect:
			if err = p.ConnectDecode(body); err == nil {
				l.version = p.ProtocolVersion
				if p.Connect.WillFlag {
					l.c.check("mqtt", p.Connect.WillTopic, p.Connect.WillPayload)
				}
			}
		case packets.Publish:
			if err = p.PublishDecode(body); err == nil {
				l.c.check("mqtt", p.TopicName, p.Payload)
			}
		}
	}
	if err != nil {
		l.c.t.Errorf("an MQTT packet cannot be decoded: %v", err)
	}
	l.buffered = l.buffered[len(l.buffered)-rest.Len()+size:]
	return true
}

// checkKafka checks the messages that are written to a cluster that has just
// started.
func (c *schemaChecker) checkKafka(cluster *kfake.Cluster) {
	cluster.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if p, ok := r.(*kmsg.ProduceRequest); ok {
			for i := range p.Topics {
				for _, part := range p.Topics[i].Partitions {
					if err := c.checkBatches(p.Topics[i].Topic, part.Records); err != nil {
						c.t.Errorf("what is written to %s cannot be decoded: %v", p.Topics[i].Topic, err)
					}
				}
			}
		}
		return nil, nil, false // the cluster handles the request
	})
}

// checkBatches checks the records that are written to a partition.
func (c *schemaChecker) checkBatches(topic string, raw []byte) error {
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
			c.check("kafka", topic, rec.Value)
			rest = rest[n+int(size):]
		}
	}
	return nil
}

// TestEveryMessageIsChecked: in an ordinary service every kind of message that
// belongs to it is checked, at each broker where it is sent; and an invalid one
// is detected.
func TestEveryMessageIsChecked(t *testing.T) {
	t.Parallel()
	inWorld(t, plan{}, func(w *world) {
		w.start(allParts()...)
		w.wantTicket(w.drive(w.client(), driverPlan{username: "anna"}), time.Hour)
		w.settle()
		c := w.schemas
		c.mu.Lock()
		passed := maps.Clone(c.counts)
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
		if wrong := c.drainViolations(); len(wrong) != 1 || !strings.Contains(wrong[0], "username") {
			t.Errorf("of a valid and an invalid message %q are reported", wrong)
		}
	})
}
