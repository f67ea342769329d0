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

// window is how many records a publisher has under way: as many as an agent.
const window = 64

// load is publishers that say records as agents do, QoS 1, each with a
// connection of its own.
type load struct {
	clients []mqtt.Client
	streams []recordStream // of each client
}

// recordStream are the records of one charging point, over and over, each time with
// another number: of what is said again while it waits the bridge carries one.
type recordStream struct {
	cp      charge.CPID
	records []recordTemplate
}

// recordTemplate is a record without its number.
type recordTemplate struct{ before, after []byte }

func newRecordStream(s *journalWriter) recordStream {
	out := recordStream{cp: s.cp}
	for _, raw := range s.records {
		before, rest, _ := bytes.Cut(raw, []byte(`"seq":`))
		out.records = append(out.records, recordTemplate{append(before[:len(before):len(before)], `"seq":`...), bytes.TrimLeft(rest, "0123456789")})
	}
	return out
}

// record is what is said as number n, from 0.
func (s *recordStream) record(n int64) []byte {
	f := &s.records[n%int64(len(s.records))]
	raw := make([]byte, 0, len(f.before)+len(f.after)+20)
	return append(strconv.AppendInt(append(raw, f.before...), 1+n, 10), f.after...)
}

// dialTimeout bounds what a client waits for in the beginning.
const dialTimeout = 10 * time.Second

func newLoad(url string, publishers int) (*load, error) {
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
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(id).SetCleanSession(true).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(dialTimeout).SetWriteTimeout(dialTimeout))
	if t := c.Connect(); !t.WaitTimeout(dialTimeout) {
		return nil, fmt.Errorf("MQTT client %s: no answer from %s", id, url)
	} else if err := t.Error(); err != nil {
		return nil, fmt.Errorf("MQTT client %s: %w", id, err)
	}
	return c, nil
}

// publish says records for so long under a topic prefix, as fast as the broker
// confirms, and returns how many.
func (l *load) publish(ctx context.Context, prefix string, d time.Duration) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var sent atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, len(l.clients)) // one each
	for i, c := range l.clients {
		all.Go(func() {
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

func publishOn(ctx context.Context, c mqtt.Client, topic string, s *recordStream) (n int64, err error) {
	var inFlight [window]mqtt.Token
	wait := func(t mqtt.Token) error {
		if t == nil {
			return nil
		}
		if !t.WaitTimeout(dialTimeout) {
			return errors.New("the broker confirms nothing")
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

// counter is a subscriber that does nothing but count.
type counter struct {
	client mqtt.Client
	got    atomic.Int64
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
