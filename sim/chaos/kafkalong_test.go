package chaos_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
)

// kafkaOutage is a network whose Apache Kafka is killed for minutes while
// vehicles charge.
type kafkaOutage struct {
	lossyNetwork
	bridge string // HOST:PORT of the bridge's metrics
}

const (
	outageDuration = 2 * time.Minute
	outagePoints   = 10
	outageInterval = 250 * time.Millisecond // between two meter readings, each a record
	// outagePoll is the pause between two polls of what is timed.
	outagePoll = 20 * time.Millisecond
)

// TestKafkaIsAwayForLong kills Apache Kafka for minutes while records are
// written at a steady rate. The bridge's memory stays flat, and Central applies
// every record once. The time to the first record after Kafka's return, and the
// rate, are logged.
func TestKafkaIsAwayForLong(t *testing.T) {
	long(t)
	g := startOutageNetwork(t)
	for i, p := range g.Points {
		g.startSession(p, charge.Username(fmt.Sprintf("driver-%d", i+1)))
	}
	before := g.applied()
	g.wait(10 * time.Second)
	t.Logf("%.0f records a second", float64(g.applied()-before)/10)
	calm := g.memory()
	_, err := g.Kafka.Kill()
	g.must(err)
	g.wait(outageDuration / 4)
	early := g.memory()
	g.wait(outageDuration * 3 / 4)
	late := g.memory()
	t.Logf("resident memory of the bridge: %d KiB before, %d KiB after %v, %d KiB after %v, holding %.0f records", calm>>10,
		early>>10, outageDuration/4, late>>10, outageDuration, g.metric(g.bridge, "carga_bridge_buffer_records"))
	if late > early+8<<20 {
		t.Error("the bridge's memory grows while Kafka is away")
	}
	g.restartKafka()
	if err := g.Settle(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	a, err := g.Reconcile(t.Context())
	g.must(err)
	t.Logf("%d records journalled, %d applied, %d came again; %d sessions, %d tickets", a.Journalled, a.Applied, a.Duplicates, a.Sessions, a.Tickets)
	for _, v := range a.Violations {
		t.Error(v)
	}
	if a.Lost() != 0 || a.Sessions != outagePoints || a.Tickets != outagePoints {
		t.Errorf("%+v: want nothing lost, and a ticket for each of %d sessions", a, outagePoints)
	}
}

func startOutageNetwork(t *testing.T) *kafkaOutage {
	t.Helper()
	g, engines := &kafkaOutage{lossyNetwork: lossyNetwork{T: t, bin: programs(t)}}, apache(t)
	var err error
	g.Network, err = chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: g.bin, Dir: folder(t), Engines: engines, Points: outagePoints, Connectors: 1, Seed: 1, Power: 50_000,
		Partitions: 3, KeepAlive: 5 * time.Second,
	})
	g.must(err)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	ports, err := chaos.FreePorts(t.Context(), 1)
	g.must(err)
	g.bridge = ports[0]
	g.Bridge.Env = append(g.Bridge.Env, "CARGA_BRIDGE_OBSERVE__LISTEN="+g.bridge)
	for _, p := range g.Points {
		p.Agent.Env = append(p.Agent.Env, "CARGA_AGENT_INTERVALS__METER="+outageInterval.String(), "CARGA_AGENT_INTERVALS__METER_READ_WH=1")
	}
	g.must(g.Start(t.Context()))
	await(t, "the network starts", g.AtRest())
	return g
}

// wait lets time pass: the length of the outage is what is tested.
func (g *kafkaOutage) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-g.Context().Done():
	}
}

// restartKafka starts Kafka and measures two times from the moment when another
// client can write to it: until Central has the first record, and until no more
// records are unacknowledged than are always in flight.
func (g *kafkaOutage) restartKafka() {
	g.Helper()
	waiting, before := g.unacked(), g.applied()
	serves := make(chan time.Time, 1)
	go func() { serves <- g.awaitWritable() }()
	started := time.Now()
	g.must(g.Kafka.Start(g.Context()))
	for end := time.Now().Add(limit); g.applied() == before; g.wait(outagePoll) {
		if time.Now().After(end) {
			g.Fatalf("no record is applied within %v", limit)
		}
	}
	first, served := time.Now(), <-serves
	if served.IsZero() {
		g.Fatal("Kafka accepts no record")
	}
	g.Logf("Kafka accepts records %v after its start; Central has the first one %v after that",
		served.Sub(started).Round(time.Millisecond), first.Sub(served).Round(time.Millisecond))
	for end := time.Now().Add(limit); g.unacked() > outagePoints*int64(time.Second/outageInterval); g.wait(outagePoll) {
		if time.Now().After(end) {
			g.Fatalf("%d records wait after %v", g.unacked(), limit)
		}
	}
	took, through := time.Since(served), g.applied()-before
	g.Logf("%d records waited; after %v there is no backlog, and %d are applied: %.0f a second", waiting,
		took.Round(time.Millisecond), through, float64(through)/took.Seconds())
}

// awaitWritable writes probe records until Kafka acknowledges one, and returns
// when; zero if it never does. An attempt does not wait for the one before,
// which may hang in a Kafka that has only begun to listen.
func (g *kafkaOutage) awaitWritable() time.Time {
	ctx, cancel := context.WithTimeout(g.Context(), limit)
	var attempts sync.WaitGroup
	defer attempts.Wait()
	defer cancel()
	taken := make(chan time.Time, 1) // the first
	tick := time.NewTicker(outagePoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			attempts.Go(func() {
				if g.probe(ctx) == nil {
					select {
					case taken <- time.Now():
					default:
					}
				}
			})
		case at := <-taken:
			return at
		case <-ctx.Done():
			return time.Time{}
		}
	}
}

func (g *kafkaOutage) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// No part of the network reads the dead letters' topic.
	conn, err := kafka.DialLeader(ctx, "tcp", g.KafkaAddr(), wire.TopicDeadLetters, 0)
	if err != nil {
		return err
	}
	err = conn.SetDeadline(time.Now().Add(time.Second))
	if err == nil {
		_, err = conn.WriteMessages(kafka.Message{Value: []byte("probe")})
	}
	return errors.Join(err, conn.Close())
}

// applied is the number of records that Central has.
func (g *kafkaOutage) applied() int64 {
	v, err := g.API.Network(g.Context())
	g.must(err)
	return v.Books.Applied
}

// unacked is the number of records that the agents hold and Central has not
// acknowledged.
func (g *kafkaOutage) unacked() (n int64) {
	for _, p := range g.Points {
		n += int64(g.metric(p.Health, "carga_agent_journal_unacked_records"))
	}
	return n
}

// memory is the resident memory of the bridge's process, in bytes.
func (g *kafkaOutage) memory() int64 {
	return int64(g.metric(g.bridge, "process_resident_memory_bytes"))
}

// metric reads a metric without labels from a program.
func (g *kafkaOutage) metric(addr, name string) float64 {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	g.must(err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	g.must(err)
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, some := strings.CutPrefix(lines.Text(), name+" "); some {
			value, err := strconv.ParseFloat(text, 64)
			g.must(err)
			return value
		}
	}
	g.Fatalf("%s has no metric %s", addr, name)
	return 0
}
