package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/carga-ev/carga/bridge/internal/kafkaside"
	"github.com/carga-ev/carga/bridge/internal/mqttside"
	"github.com/carga-ev/carga/internal/kafkalink"
	"github.com/carga-ev/carga/internal/wire"
)

// Deps are what a bridge may be given beside its configuration. The zero value
// is the real network and no log.
type Deps struct {
	Log *slog.Logger
	// DialMQTT and DialKafka replace the network, for tests in memory.
	DialMQTT  func(ctx context.Context, broker *url.URL) (net.Conn, error)
	DialKafka func(ctx context.Context, network, address string) (net.Conn, error)
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
	password, err := readPassword(cfg.MQTT.PasswordFile)
	if err != nil {
		return err
	}
	kafka, err := kafkaside.New(kafkaside.Config{
		Name: cfg.Name, Brokers: cfg.Kafka.Brokers, ClientID: cfg.Kafka.ClientID, Dial: deps.DialKafka,
		Router: cfg.router(), Topics: cfg.specs(), Grace: cfg.StopWithin,
		LimitRecords: cfg.Buffer.Messages, LimitBytes: cfg.Buffer.Bytes, Log: deps.Log,
	})
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	mqtt, err := mqttside.New(mqttside.Config{
		Brokers: []string{cfg.MQTT.URL}, ClientID: cfg.MQTT.ClientID, Username: cfg.MQTT.Username, Password: password,
		KeepAlive: cfg.MQTT.KeepAlive, Open: deps.DialMQTT, Router: cfg.router(),
		MaxMessages: cfg.Buffer.Messages, MaxBytes: cfg.Buffer.Bytes, Log: deps.Log,
	}, kafka)
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	deps.Log.Info("bridge runs", slog.String("mqtt", cfg.MQTT.URL), slog.String("kafka", strings.Join(cfg.Kafka.Brokers, " ")))
	run(ctx, kafka, mqtt, deps.Observe)
	b := kafka.Books()
	deps.Log.Info("bridge stopped", slog.Int64("accepted", b.Accepted), slog.Int64("forwarded", b.Forwarded),
		slog.Int64("dead_letters", b.DeadLetters), slog.Int64("left", b.Buffered))
	return nil
}

// run lets the MQTT side outlive the Kafka side: what is written in the grace
// is still acknowledged.
func run(ctx context.Context, kafka *kafkaside.Side, mqtt *mqttside.Side, observe func(wire.BridgeAlive)) {
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	var linking, watching sync.WaitGroup
	linking.Go(func() { _ = mqtt.Run(linked) }) // it ends with its context alone
	if observe != nil {
		watching.Go(func() { watch(ctx, kafka, mqtt, observe) })
	}
	_ = kafka.Run(ctx, mqtt, mqtt.Dependency)
	unlink()
	linking.Wait()
	watching.Wait()
}

func watch(ctx context.Context, kafka *kafkaside.Side, mqtt *mqttside.Side, observe func(wire.BridgeAlive)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		observe(kafka.Alive(mqtt.Dependency()))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Config) specs() []kafkalink.TopicSpec {
	all := c.Kafka.Topics.all()
	specs := make([]kafkalink.TopicSpec, 0, len(all))
	for _, t := range all {
		specs = append(specs, c.Kafka.Spec(t.Topic))
	}
	return specs
}

func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("mqtt.password_file: %w", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}
