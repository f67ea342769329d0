package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/bridge/internal/kafkaside"
	"github.com/carga-ev/carga/bridge/internal/mqttside"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics/prom"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/wire"
)

// Deps are what a bridge may be given beside its configuration. The zero value
// is the real network and no log.
type Deps struct {
	Log *slog.Logger
	// DialMQTT and DialKafka replace the network, for tests in memory.
	DialMQTT  func(ctx context.Context, broker *url.URL) (net.Conn, error)
	DialKafka func(ctx context.Context, network, address string) (net.Conn, error)
	// Listener serves health and metrics in place of observe.listen; Run closes
	// it.
	Listener net.Listener
	// Observe, if set, is called each second with what the bridge says of itself,
	// also while nobody else can hear it. It must not wait.
	Observe func(wire.BridgeAlive)
}

// Run carries messages until ctx ends, whatever is away and for how long. Then
// it takes nothing any more, goes on writing to Kafka what it holds for at most
// cfg.StopWithin, and disconnects. What is left was never acknowledged to MQTT
// and comes again.
//
// Its error is one of the configuration; nothing outside can make it fail.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	b, err := newBridge(cfg, deps)
	if err != nil {
		if l := deps.Listener; l != nil {
			err = errors.Join(err, l.Close())
		}
		return fmt.Errorf("bridge: %w", err)
	}
	deps.Log.Info("bridge runs", slog.String("mqtt", cfg.MQTT.URL), slog.String("kafka", strings.Join(cfg.Kafka.Brokers, " ")))
	b.run(ctx, deps.Listener, deps.Observe)
	books := b.kafka.Counts()
	deps.Log.Info("bridge stopped", slog.Int64("accepted", books.Accepted), slog.Int64("forwarded", books.Forwarded),
		slog.Int64("dead_letters", books.DeadLetters), slog.Int64("left", books.Buffered))
	return nil
}

// bridge is the pieces of a bridge, wired.
type bridge struct {
	cfg    Config
	kafka  *kafkaside.Side
	mqtt   *mqttside.Side
	server *observe.Server
	log    *slog.Logger
}

func newBridge(cfg Config, deps Deps) (*bridge, error) {
	password, err := config.ReadSecret(cfg.MQTT.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("mqtt.password_file: %w", err)
	}
	b := &bridge{cfg: cfg, log: deps.Log}
	b.server = observe.NewServer(metricPrefix, b.evaluate, b.families, b.log)
	b.kafka, err = kafkaside.New(kafkaside.Config{
		Name: cfg.Name, Brokers: cfg.Kafka.Brokers, ClientID: cfg.Kafka.ClientID, Dial: deps.DialKafka,
		Router: cfg.router(), Topics: cfg.Kafka.Specs(cfg.Kafka.Topics.all()), Grace: cfg.StopWithin,
		HeartbeatTick: b.server.Loop("heartbeat").Beat, TopicsTick: b.server.LoopWithin("kafka_topics", 30*time.Second).Beat, Log: deps.Log,
	})
	if err != nil {
		return nil, err
	}
	b.mqtt, err = mqttside.New(mqttside.Config{
		Brokers: []string{cfg.MQTT.URL}, ClientID: cfg.MQTT.ClientID, Username: cfg.MQTT.Username, Password: password,
		KeepAlive: cfg.MQTT.KeepAlive, Open: deps.DialMQTT, Router: cfg.router(),
		MaxMessages: cfg.Buffer.Messages, MaxBytes: cfg.Buffer.Bytes, Log: deps.Log,
	}, b.kafka)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// run lets the MQTT side outlive the Kafka side: what is written in the grace
// is still acknowledged.
func (b *bridge) run(ctx context.Context, listener net.Listener, observe func(wire.BridgeAlive)) {
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	var linking, watching sync.WaitGroup
	linking.Go(func() { _ = b.mqtt.Run(linked) }) // it ends with its context alone
	watching.Go(func() { b.server.Run(ctx) })
	watching.Go(func() { b.server.Serve(ctx, b.cfg.Observe, listener, prom.Handler(b.server.Families)) })
	if observe != nil {
		loop := b.server.Loop("observer")
		watching.Go(func() { b.publishHeartbeats(ctx, loop, observe) })
	}
	_ = b.kafka.Run(ctx, b.mqtt, b.mqtt.Dependency)
	unlink()
	linking.Wait()
	watching.Wait()
}

// publishHeartbeats says each second what the bridge says of itself.
func (b *bridge) publishHeartbeats(ctx context.Context, loop *health.Loop, observe func(wire.BridgeAlive)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		loop.Beat()
		observe(b.kafka.Heartbeat(b.mqtt.Dependency()))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
