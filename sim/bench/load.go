package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// window is the number of unacknowledged records of a publisher: the same as an
// agent's.
const window = 64

// load is a number of publishers that send records as agents do: QoS 1, each
// over its own connection.
type load struct {
	// clients and streams have the same indices: client n publishes as the
	// charging point of stream n, so that records spread over the partitions.
	clients []mqtt.Client
	streams []recordStream // by client
}

// recordStream is an endless stream of records of one charging point: the
// records of a journal in a loop, each with a sequence number of its own. The
// bridge forwards a record once that is repeated while the first one is in
// flight, so equal records would not count.
type recordStream struct {
	cp      charge.CPID
	records []recordTemplate
}

// recordTemplate is an encoded record without its sequence number: the bytes
// before and after it.
type recordTemplate struct{ before, after []byte }

func newRecordStream(s *journalWriter) recordStream {
	out := recordStream{cp: s.cp}
	for _, raw := range s.records {
		// The sequence number is encoded once, and followed by digits only.
		before, rest, _ := bytes.Cut(raw, []byte(`"seq":`))
		out.records = append(out.records, recordTemplate{append(before[:len(before):len(before)], `"seq":`...), bytes.TrimLeft(rest, "0123456789")})
	}
	return out
}

// record returns record number n, from 0.
func (s *recordStream) record(n int64) []byte {
	f := &s.records[n%int64(len(s.records))]
	raw := make([]byte, 0, len(f.before)+len(f.after)+20)
	return append(strconv.AppendInt(append(raw, f.before...), 1+n, 10), f.after...)
}

// dialTimeout limits each step of connecting, and each wait for an
// acknowledgement.
const dialTimeout = 10 * time.Second

func newLoad(url string, publishers int) (*load, error) {
	// A connection per charging point, as in production.
	all, err := journals(publishers, centralSessions)
	if err != nil {
		return nil, err
	}
	l := &load{}
	for n := range publishers {
		l.streams = append(l.streams, newRecordStream(all[n]))
		c, err := connect(url, fmt.Sprintf("bench-publisher-%d", n))
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, c)
	}
	return l, nil
}

func connect(url, id string) (mqtt.Client, error) {
	// No reconnection: a lost connection is an error of the measurement.
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(id).SetCleanSession(true).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(dialTimeout).SetWriteTimeout(dialTimeout))
	if t := c.Connect(); !t.WaitTimeout(dialTimeout) {
		return nil, fmt.Errorf("MQTT client %s: no answer from %s", id, url)
	} else if err := t.Error(); err != nil {
		return nil, fmt.Errorf("MQTT client %s: %w", id, err)
	}
	return c, nil
}

// publish sends records for d under a topic prefix, as fast as the broker
// acknowledges them, and returns their number.
func (l *load) publish(ctx context.Context, prefix string, d time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var sent atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, len(l.clients)) // one error of each client
	for i, c := range l.clients {
		all.Go(func() {
			// The topic of an agent's records.
			topic := wire.Topics{Prefix: prefix}.Of(l.streams[i].cp, wire.KindEvent)
			n, err := publishOn(ctx, c, topic, &l.streams[i])
			sent.Add(n)
			if err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return sent.Load(), err
	default:
		return sent.Load(), nil
	}
}

// publishOn publishes on one connection until ctx ends, and waits for all
// acknowledgements.
func publishOn(ctx context.Context, c mqtt.Client, topic string, s *recordStream) (n int64, err error) {
	// A ring of the tokens in flight: before a slot is used again, its publish
	// must be acknowledged.
	var inFlight [window]mqtt.Token
	wait := func(t mqtt.Token) error {
		if t == nil {
			return nil
		}
		if !t.WaitTimeout(dialTimeout) {
			return errors.New("the broker does not acknowledge")
		}
		return t.Error()
	}
	for ; ctx.Err() == nil; n++ {
		slot := &inFlight[n%window]
		if err := wait(*slot); err != nil {
			return n, fmt.Errorf("publish on %s: %w", topic, err)
		}
		*slot = c.Publish(topic, 1, false, s.record(n))
	}
	for _, t := range inFlight {
		if err := wait(t); err != nil {
			return n, fmt.Errorf("publish on %s: %w", topic, err)
		}
	}
	return n, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		c.Disconnect(0)
	}
}

// counter is the yardstick of the bridge: a subscriber that only counts.
type counter struct {
	client mqtt.Client
	got    atomic.Int64 // messages received since the subscription
}

func newCounter(url, prefix string) (*counter, error) {
	c := &counter{}
	var err error
	if c.client, err = connect(url, "bench-counter"); err != nil {
		return nil, err
	}
	t := c.client.Subscribe(prefix+"/+/up/#", 1, func(mqtt.Client, mqtt.Message) { c.got.Add(1) })
	if !t.WaitTimeout(dialTimeout) || t.Error() != nil {
		c.client.Disconnect(0)
		return nil, fmt.Errorf("count-only subscriber: not subscribed: %w", t.Error())
	}
	return c, nil
}
