package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/mqttlink"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
)

// site is a Mosquitto and bridges, with charging points that publish numbered
// events, and a reader in Central's place. Its Kafka may be shared with other
// sites, for it has topics of its own.
//
// The charging points do what agents do: they keep an event until it was read from
// Kafka behind the one before it, publish up to window beyond that, begin there
// again on each new connection, and probe when nothing goes on.
type site struct {
	*testing.T
	dir, bin, name string
	broker         *chaos.Broker
	engines        chaos.Engines
	mqttAddr       string
	MQTT           *chaos.Process
	points         []*numberedPoint
}

const (
	siteKeepAlive  = 5 * time.Second
	sitePartitions = 3
	window         = 64
	probeAfter     = 2 * time.Second
	pace           = 100 * time.Millisecond // between two events of a charging point
)

// newSite starts a Mosquitto and the charging points, changed by change, which
// publish nothing yet.
func newSite(t *testing.T, name string, broker *chaos.Broker, points int, change ...func(i int, p *numberedPoint)) *site {
	t.Helper()
	s := &site{T: t, dir: folder(t), bin: programs(t), name: name, broker: broker, engines: mosquitto(t)}
	addrs, err := chaos.FreePorts(t.Context(), 1)
	s.must(err)
	s.mqttAddr = addrs[0]
	s.MQTT, err = chaos.NewMosquitto(s.engines, filepath.Join(s.dir, "mosquitto"), s.mqttAddr)
	s.must(err)
	s.start(s.MQTT)
	s.listens(s.mqttAddr)
	for i := range points {
		s.points = append(s.points, &numberedPoint{id: charge.CPID("CP_" + strconv.Itoa(i+1)), prefix: wire.DefaultPrefix, window: window, probe: probeAfter})
	}
	for i, p := range s.points {
		for _, f := range change {
			f(i, p)
		}
	}
	s.connectPoints()
	s.readAsCentral()
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// start starts a process that ends with the test.
func (s *site) start(p *chaos.Process) {
	s.Helper()
	s.must(p.Start(s.Context()))
	s.Cleanup(func() {
		if _, err := p.Kill(); err != nil && !errors.Is(err, chaos.ErrNotRunning) {
			s.Error(err)
		}
	})
}

func (s *site) kill(p *chaos.Process) {
	s.Helper()
	_, err := p.Kill()
	s.must(err)
}

// listens waits until something accepts connections at an address.
func (s *site) listens(addr string) {
	s.Helper()
	await(s.T, addr+" accepts connections", func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// events is the topic of this site.
func (s *site) events() string { return wire.TopicEvents + "-" + s.name }

// bridge prepares a bridge with further settings.
func (s *site) bridge(name, kafkaAddr string, settings ...string) *chaos.Process {
	p := &chaos.Process{Name: name, Path: filepath.Join(s.bin, "bridge"), Log: filepath.Join(s.dir, name+".log")}
	set := func(key, value string) { p.Env = append(p.Env, "CARGA_BRIDGE_"+key+"="+value) }
	set("NAME", name)
	set("MQTT__URL", "tcp://"+s.mqttAddr)
	set("MQTT__KEEP_ALIVE", siteKeepAlive.String())
	set("KAFKA__BROKERS", kafkaAddr)
	set("OBSERVE__LISTEN", "127.0.0.1:0")
	for key, topic := range map[string]string{
		"EVENTS": wire.TopicEvents, "TELEMETRY": wire.TopicTelemetry, "MONITOR": wire.TopicMonitor, "COMMANDS": wire.TopicCommands,
		"DEAD_LETTERS": wire.TopicDeadLetters,
	} {
		partitions := 1
		if key == "EVENTS" {
			partitions = sitePartitions
		}
		set("KAFKA__TOPICS__"+key+"__NAME", topic+"-"+s.name)
		set("KAFKA__TOPICS__"+key+"__PARTITIONS", strconv.Itoa(partitions))
	}
	for i := 0; i < len(settings); i += 2 {
		set(settings[i], settings[i+1])
	}
	return p
}

// numberedPoint is a charging point that publishes numbered events.
type numberedPoint struct {
	id     charge.CPID
	prefix string // of its topics
	window int    // of events that are published and not read yet
	probe  time.Duration

	mu sync.Mutex
	// mu guards what follows.
	written int // the last event that there is
	read    int // the last one that was read from Kafka behind all before it
}

func (p *numberedPoint) state() (written, read int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written, p.read
}

// write makes the next event.
func (p *numberedPoint) write() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written++
}

// arrived notes an event that was read from Kafka. Only the next one counts.
func (p *numberedPoint) arrived(seq int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq == p.read+1 {
		p.read = seq
	}
}

// publish publishes on one connection until it ends.
func (p *numberedPoint) publish(ctx context.Context, conn *mqttlink.Conn) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	_, base := p.state()
	next, size, moved := base+1, p.window, time.Now()
	for {
		written, read := p.state()
		switch {
		case read > base:
			base, size, moved = read, p.window, time.Now()
		case read == written:
			moved = time.Now()
		case time.Since(moved) > p.probe:
			next, size, moved = base+1, 1, time.Now()
		}
		for next = max(next, base+1); next <= written && next <= base+size; next++ {
			topic := p.prefix + "/" + string(p.id) + "/" + string(wire.KindEvent)
			if _, err := conn.PublishAsync(ctx, topic, 1, false, numbered(p.id, next)); err != nil {
				return // the next connection begins again behind base
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// background runs f until the test ends.
func (s *site) background(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(s.Context())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	s.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func (s *site) connectPoints() {
	for _, p := range s.points {
		link, err := mqttlink.New(mqttlink.Config{
			Brokers: []string{"tcp://" + s.mqttAddr}, ClientID: string(p.id), CleanSession: true, KeepAlive: siteKeepAlive, OnUp: p.publish,
		})
		s.must(err)
		s.background(func(ctx context.Context) { _ = link.Run(ctx) }) // returns nil when ctx has ended
	}
}

// readAsCentral reads the events and notes their arrival.
func (s *site) readAsCentral() {
	client, err := kafkalink.NewClient(kafkalink.ClientConfig{Brokers: []string{s.broker.Addr}, ClientID: "reader", Topics: []string{s.events()}})
	s.must(err)
	watcher, err := kafkalink.NewTopicWatcher(client, kafkalink.WatcherConfig{Watch: []string{s.events()}})
	s.must(err)
	points := map[string]*numberedPoint{}
	for _, p := range s.points {
		points[string(p.id)] = p
	}
	reader := kafkalink.NewTopicReader(client, watcher, s.events(), func(int) kafkalink.ReaderConfig {
		return kafkalink.ReaderConfig{Start: kafkalink.FromFirst(), Handle: func(_ context.Context, b kafkalink.Batch) error {
			for _, m := range b.Messages {
				if rec, err := wire.DecodeRecord(m.Value); err == nil && points[string(rec.CPID)] != nil {
					points[string(rec.CPID)].arrived(int(rec.Seq))
				}
			}
			return nil
		}}
	})
	s.background(func(ctx context.Context) {
		defer client.Close()
		var running sync.WaitGroup
		running.Go(func() { _ = watcher.Run(ctx) })
		_ = reader.Run(ctx)
		running.Wait()
	})
}

// flow lets every charging point write an event at each pace until the function
// that it returns is called.
func (s *site) flow() (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				for _, p := range s.points {
					p.write()
				}
			case <-ctx.Done():
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	s.Cleanup(stop)
	return stop
}

// more waits until n more events of each charging point were read.
func (s *site) more(n int) {
	s.Helper()
	var want []int
	for _, p := range s.points {
		_, read := p.state()
		want = append(want, read+n)
	}
	await(s.T, fmt.Sprintf("%d more events of each charging point", n), func(context.Context) error {
		for i, p := range s.points {
			if _, read := p.state(); read < want[i] {
				return fmt.Errorf("%s: %d of %d", p.id, read, want[i])
			}
		}
		return nil
	})
}

// drained waits until all events were read.
func (s *site) drained() {
	s.Helper()
	await(s.T, "all events are read", s.allRead)
}

// allRead returns an error while events are written that were not read.
func (s *site) allRead(context.Context) error {
	for _, p := range s.points {
		if written, read := p.state(); read < written {
			return fmt.Errorf("%s: %d of %d", p.id, read, written)
		}
	}
	return nil
}

// last returns how many events each charging point has written.
func (s *site) last() map[charge.CPID]int {
	all := map[charge.CPID]int{}
	for _, p := range s.points {
		all[p.id], _ = p.state()
	}
	return all
}

// log reads Kafka's log by a client of its own, partition by partition. When the
// number of partitions is doubled, a key stays or moves to a later one, so this
// order is that of each charging point.
func (s *site) log() (a arrivals) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", s.broker.Addr)
	s.must(err)
	partitions, err := conn.ReadPartitions(s.events())
	s.must(errors.Join(err, conn.Close()))
	for i := range partitions {
		leader, err := kafka.DialLeader(ctx, "tcp", s.broker.Addr, s.events(), i)
		s.must(err)
		first, end, err := leader.ReadOffsets()
		s.must(err)
		_, err = leader.Seek(first, kafka.SeekAbsolute)
		s.must(err)
		s.must(leader.SetReadDeadline(time.Now().Add(limit)))
		for next := first; next < end; {
			batch := leader.ReadBatch(1, 1<<20)
			for next < end {
				m, err := batch.ReadMessage()
				if errors.Is(err, io.EOF) {
					break
				}
				s.must(err)
				a.add(m.Key, m.Value)
				next = m.Offset + 1
			}
			s.must(batch.Close())
			if _, err := leader.Seek(next, kafka.SeekAbsolute); next < end {
				s.must(err)
			}
		}
		s.must(leader.Close())
	}
	return a
}

// newBroker starts an Apache Kafka with so many links.
func newBroker(t *testing.T, e chaos.Engines, links int) *chaos.Broker {
	t.Helper()
	b, err := chaos.NewBroker(t.Context(), e, filepath.Join(folder(t), "kafka"), links)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := b.Kill()
		for _, l := range b.Links {
			l.Close()
		}
		if err != nil && !errors.Is(err, chaos.ErrNotRunning) {
			t.Error(err)
		}
	})
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// forgetSessions deletes what a Mosquitto that does not run has kept.
func (s *site) forgetSessions() {
	s.Helper()
	if err := os.Remove(filepath.Join(s.dir, "mosquitto", "mosquitto.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
}
