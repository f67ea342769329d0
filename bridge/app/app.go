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

	"github.com/carga-ev/carga/bridge/forward"
	"github.com/carga-ev/carga/bridge/internal/kafkaside"
	"github.com/carga-ev/carga/bridge/internal/mqttside"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/config"
	"github.com/carga-ev/carga/internal/health"
	"github.com/carga-ev/carga/internal/metrics/prom"
	"github.com/carga-ev/carga/internal/observe"
	"github.com/carga-ev/carga/internal/systemd"
	"github.com/carga-ev/carga/internal/wire"
)

// Deps are the dependencies of a bridge beside its configuration. The zero value
// means the real network and no log.
type Deps struct {
	Log *slog.Logger
	// DialMQTT and DialKafka replace the network, for tests in memory.
	DialMQTT  func(ctx context.Context, broker *url.URL) (net.Conn, error)
	DialKafka func(ctx context.Context, network, address string) (net.Conn, error)
	// Listener, if set, is where health and metrics are served in place of
	// observe.listen. Run closes it.
	Listener net.Listener
	// Observe, if set, is called each second with the heartbeat of the bridge,
	// also while it cannot be published. It must not block.
	Observe func(wire.BridgeAlive)
	// Notify notifies the service manager; the zero value does nothing.
	Notify systemd.Notifier
	// LimitMemory sets the garbage collector of the process for a bridge.
	LimitMemory bool
}

// Run carries messages until ctx ends, whatever is away and for how long. Then
// it receives nothing more, goes on writing to Kafka what it holds for at most
// cfg.StopWithin, and disconnects. What is left was never acknowledged to MQTT
// and is redelivered.
//
// Run fails only if the configuration is wrong; nothing outside can make it
// fail.
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
	b.run(ctx, deps)
	counts := b.core.Counts()
	deps.Log.Info("bridge stopped", slog.Int64("accepted", counts.Accepted), slog.Int64("forwarded", counts.Forwarded),
		slog.Int64("dead_letters", counts.DeadLetters), slog.Int64("left", counts.Buffered))
	return nil
}

// bridge is a bridge with all its parts.
type bridge struct {
	cfg   Config
	core  *core
	kafka *kafkaside.Side
	mqtt  *mqttside.Side
	// server answers /livez, /readyz and /metrics.
	server *observe.Server
	// session is the lease of a shared MQTT session; nil if it is not shared.
	session *session
	log     *slog.Logger
}

// newBridge makes the parts and connects them. It starts nothing.
func newBridge(cfg Config, deps Deps) (*bridge, error) {
	password, err := config.ReadSecret(cfg.MQTT.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("mqtt.password_file: %w", err)
	}
	b := &bridge{cfg: cfg, log: deps.Log}
	b.server = observe.NewServer(metricPrefix, b.evaluate, b.families, b.log)
	b.core = &core{state: forward.New(forward.Limits{Messages: cfg.Buffer.Messages, Bytes: cfg.Buffer.Bytes}, cfg.router())}
	started := charge.At(time.Now())
	var reads kafkaside.Lease // nil interfaces without a lease
	var connects mqttside.Lease
	if cfg.MQTT.Shared {
		b.session = newSession(cfg.Name, cfg.MQTT.ClientID, started, b.log)
		reads, connects = b.session, b.session
	}
	b.kafka, err = kafkaside.New(kafkaside.Config{
		Started: started, Lease: reads, Core: b.core, Name: cfg.Name, Brokers: cfg.Kafka.Brokers, ClientID: cfg.Kafka.ClientID, Dial: deps.DialKafka,
		Router: cfg.router(), Topics: cfg.Kafka.Specs(cfg.Kafka.Topics.all()), Grace: cfg.StopWithin,
		HeartbeatTick: b.server.Loop("heartbeat").Beat, TopicsTick: b.server.LoopWithin("kafka_topics", 30*time.Second).Beat, Log: deps.Log,
	})
	if err != nil {
		return nil, err
	}
	b.mqtt, err = mqttside.New(mqttside.Config{
		Brokers: []string{cfg.MQTT.URL}, ClientID: cfg.MQTT.ClientID, Username: cfg.MQTT.Username, Password: password,
		KeepAlive: cfg.MQTT.KeepAlive, Open: deps.DialMQTT, Router: cfg.router(),
		Lease: connects, Log: deps.Log,
	}, b.core)
	if err != nil {
		return nil, err
	}
	b.core.kafka, b.core.mqtt = b.kafka, b.mqtt
	return b, nil
}

// run runs all parts until ctx ends. The MQTT side ends after the Kafka side, so
// that what is written in the grace period is still acknowledged.
func (b *bridge) run(ctx context.Context, deps Deps) {
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	var linking, watching sync.WaitGroup
	linking.Go(func() { _ = b.mqtt.Run(linked) }) // returns nil when its context has ended
	watching.Go(func() { b.server.Run(ctx) })
	watching.Go(func() {
		b.server.Serve(ctx, b.cfg.Observe, deps.Listener, b.server.Handler(prom.Handler(b.server.Families)))
	})
	watching.Go(func() { b.server.Report(ctx, deps.Notify) })
	if deps.Observe != nil {
		loop := b.server.Loop("observer")
		watching.Go(func() { b.observeHeartbeats(ctx, loop, deps.Observe) })
	}
	if deps.LimitMemory {
		watching.Go(func() { limitMemory(ctx, b.core.Counts) })
	}
	_ = b.kafka.Run(ctx, b.mqtt, b.dependency)
	unlink()
	linking.Wait()
	watching.Wait()
}

// dependency is the state of the connection to MQTT, as in the heartbeat.
func (b *bridge) dependency() wire.Dependency {
	if b.session != nil {
		if why, since := b.session.standby(); !why.IsZero() {
			return wire.DependencyDown(charge.At(since), why.String(), why)
		}
	}
	return b.mqtt.Dependency()
}

// observeHeartbeats passes the heartbeat of the bridge to observe each second.
func (b *bridge) observeHeartbeats(ctx context.Context, loop *health.Loop, observe func(wire.BridgeAlive)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		loop.Beat()
		observe(b.kafka.Heartbeat(b.dependency()))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
