package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/sim/chaos"
)

// bridgeFault is a fault while events flow through a bridge.
type bridgeFault struct {
	name string
	do   func(s *faultSite)
	// endsKafka is set if the fault ends Kafka: these rows run one after the other, on
	// a Kafka of their own.
	endsKafka bool
	// loses names what a broker has confirmed and loses. Charging points repeat it,
	// so it comes behind later events; Central refuses those until then.
	loses    string
	settings []string // of the bridge
}

// faultSite is a site with one bridge, and the way from it to Kafka.
type faultSite struct {
	*site
	Bridge *chaos.Process
	link   *chaos.Link // nil: none
}

// away is how long something cannot be reached.
const away = 15 * time.Second

func bridgeFaults() []bridgeFault {
	return []bridgeFault{
		{name: "Kafka is killed", endsKafka: true, do: func(s *faultSite) {
			s.kill(s.broker.Process)
			s.must(s.broker.Start(s.Context()))
		}},
		{name: "Kafka cannot be reached", do: func(s *faultSite) { s.unreachable() }},
		{name: "Kafka is wiped", endsKafka: true, loses: "Kafka's log", do: func(s *faultSite) {
			s.kill(s.broker.Process)
			s.must(s.broker.Wipe(s.Context()))
			s.must(s.broker.Start(s.Context()))
		}},
		{name: "Mosquitto is killed", do: func(s *faultSite) { s.restart(s.MQTT) }},
		{name: "Mosquitto is frozen", do: func(s *faultSite) { s.freeze(s.MQTT) }},
		{name: "Mosquitto is wiped", loses: "the session of the bridge, with its queue", do: func(s *faultSite) {
			s.kill(s.MQTT)
			s.forgetSessions()
			s.start(s.MQTT)
		}},
		{name: "bridge is killed", do: func(s *faultSite) { s.restart(s.Bridge) }},
		{name: "bridge is frozen", do: func(s *faultSite) { s.freeze(s.Bridge) }},
		{name: "connection is abandoned", settings: []string{"BUFFER__MESSAGES", "100"}, do: func(s *faultSite) {
			s.unreachable()
			s.logged("link is paused")
		}},
		{name: "topic is deleted", loses: "Kafka's log", do: func(s *faultSite) { s.deleteTopic() }},
		{name: "partitions are added", do: func(s *faultSite) { s.addPartitions() }},
		{name: "both are restarted", endsKafka: true, do: func(s *faultSite) {
			s.kill(s.MQTT)
			s.kill(s.broker.Process)
			s.start(s.MQTT)
			s.must(s.broker.Start(s.Context()))
		}},
	}
}

// TestBridgeFaults: whatever fails between charging points and Central, every
// event is in Kafka, with its bytes and its key, and the first arrivals of a
// charging point never go back. Where a broker loses what it has confirmed, the
// order is not claimed, only that everything comes again and is read behind what
// was before it. Rows run at once, with a Mosquitto and a bridge each.
func TestBridgeFaults(t *testing.T) {
	programs(t)
	e := apache(t)
	var lasting, ending []bridgeFault
	for _, row := range bridgeFaults() {
		if row.endsKafka {
			ending = append(ending, row)
		} else {
			lasting = append(lasting, row)
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	// Not t.Parallel: rows wait most of the time, and would be run two at a time.
	mortal, kafka := newBroker(t, e, 0), newBroker(t, e, len(lasting))
	running.Go(func() {
		for i, row := range ending {
			row.run(t, fmt.Sprintf("e%d", i), mortal, nil)
		}
	})
	for i, row := range lasting {
		running.Go(func() { row.run(t, fmt.Sprintf("l%d", i), kafka, kafka.Links[i]) })
	}
}

// run runs a row as a subtest, on a new site of that name.
func (row *bridgeFault) run(t *testing.T, site string, broker *chaos.Broker, link *chaos.Link) {
	t.Helper()
	t.Run(row.name, func(t *testing.T) {
		s := &faultSite{site: newSite(t, site, broker, 8), link: link}
		s.inMidFlow(row)
	})
}

// inMidFlow lets events flow, injects the fault in the middle, and compares.
func (s *faultSite) inMidFlow(row *bridgeFault) {
	s.Helper()
	began := time.Now()
	address := s.broker.Addr
	if s.link != nil {
		address = s.link.Addr
	}
	s.Bridge = s.bridge("bridge", address, row.settings...)
	s.start(s.Bridge)
	s.logged("connected to MQTT")
	// A Mosquitto that ends cleanly writes down the session of the bridge: what it
	// would do by itself after half a minute.
	s.must(s.MQTT.Stop(limit))
	s.start(s.MQTT)
	stop := s.flow()
	s.more(10)
	row.do(s)
	s.more(10)
	stop()
	s.drained()

	last, a := s.last(), s.log()
	events := 0
	for _, n := range last {
		events += n
	}
	found := a.faults(last)
	if row.loses != "" {
		found = a.wrong
	}
	for _, f := range found[:min(len(found), 10)] {
		s.Error(f)
	}
	s.Logf("%d events, %d records in the log, %d repeats, %d behind a later one, %d faults, %v", events, a.records, a.repeats, len(a.backward),
		len(found), time.Since(began).Round(100*time.Millisecond))
}

// restart kills a process and starts it again.
func (s *faultSite) restart(p *chaos.Process) {
	s.Helper()
	s.kill(p)
	s.start(p)
}

// freeze suspends a process for a while: its connections stay, and nothing is
// answered.
func (s *faultSite) freeze(p *chaos.Process) {
	s.Helper()
	_, err := p.Freeze()
	s.must(err)
	s.pass(away)
	s.must(p.Thaw())
}

// unreachable drops for a while what the bridge sends to Kafka.
func (s *faultSite) unreachable() {
	s.Helper()
	s.must(s.link.Silence())
	s.pass(away)
	s.must(s.link.Restore(s.Context()))
}

// pass lets the duration of a fault pass.
func (s *faultSite) pass(d time.Duration) {
	s.Helper()
	select {
	case <-time.After(d):
	case <-s.Context().Done():
		s.Fatal(s.Context().Err())
	}
}

// logged waits until the bridge has logged a text.
func (s *faultSite) logged(text string) {
	s.Helper()
	await(s.T, "the bridge logs "+text, func(context.Context) error {
		raw, err := os.ReadFile(s.Bridge.Log)
		if err == nil && !bytes.Contains(raw, []byte(text)) {
			err = errors.New("it does not")
		}
		return err
	})
}

// admin calls f with a client of Kafka's administration.
func (s *faultSite) admin(f func(c *kafka.Client) error) {
	s.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	s.must(f(&kafka.Client{Addr: kafka.TCP(s.broker.Addr), Transport: transport, Timeout: 30 * time.Second}))
}

// deleteTopic deletes the topic with all events. The bridge creates it again.
func (s *faultSite) deleteTopic() {
	s.Helper()
	s.admin(func(c *kafka.Client) error {
		res, err := c.DeleteTopics(s.Context(), &kafka.DeleteTopicsRequest{Topics: []string{s.events()}})
		if err != nil {
			return err
		}
		return res.Errors[s.events()]
	})
}

// addPartitions doubles the partitions of the topic.
func (s *faultSite) addPartitions() {
	s.Helper()
	s.admin(func(c *kafka.Client) error {
		res, err := c.CreatePartitions(s.Context(), &kafka.CreatePartitionsRequest{
			Topics: []kafka.TopicPartitionsConfig{{Name: s.events(), Count: 2 * sitePartitions}},
		})
		if err != nil {
			return err
		}
		return res.Errors[s.events()]
	})
}
