package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	bridgeapp "github.com/carga-ev/carga/bridge/app"
	centralapp "github.com/carga-ev/carga/central/app"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/engines"
)

// partitions of every topic: as many as the demo's.
const partitions = 3

// part is a piece of the network that runs until it is stopped.
type part struct {
	cancel context.CancelFunc
	ended  chan error // capacity 1: how it ended
}

func start(ctx context.Context, run func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- run(ctx) }()
	return p
}

// stop ends the part and waits for it.
func (p *part) stop() error {
	p.cancel()
	return <-p.ended
}

// startBridge starts a bridge and waits until it is connected on both sides.
func (r *run) startBridge(ctx context.Context, mqtt, kafka, prefix string) (*part, error) {
	cfg := bridgeapp.DefaultConfig()
	cfg.MQTT.URL, cfg.Kafka.Brokers = mqtt, []string{kafka}
	cfg.Kafka.SetPartitions(partitions)
	cfg.StopWithin = time.Second
	cfg.Observe.Listen = ""
	if prefix != "" {
		cfg.MQTT.TopicPrefix = prefix
	}
	up := make(chan struct{}, 1)
	p := start(ctx, func(ctx context.Context) error {
		return bridgeapp.Run(ctx, cfg, bridgeapp.Deps{Log: r.log, Observe: func(a wire.BridgeAlive) {
			if a.MQTT.Up && a.Kafka.Up {
				select {
				case up <- struct{}{}:
				default:
				}
			}
		}})
	})
	timer := time.NewTimer(dialTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-up:
		return p, nil
	case err = <-p.ended:
		return nil, fmt.Errorf("bridge: %w", err)
	case <-timer.C:
		err = errors.New("bridge: not connected in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, p.stop())
}

// network is brokers, bridge, Central and charging points in this process.
type network struct {
	mqtt    *engines.MQTT
	kafka   *engines.Kafka
	parts   []*part // in the order of starting
	central *centralapp.Central
	points  []*point
}

// startNetwork starts everything and waits until the charging points have told
// Central of themselves. kafkaDir "" keeps Kafka's log in memory: its
// acknowledgements come from the page cache in real life too.
func (r *run) startNetwork(ctx context.Context, points int, kafkaDir string) (n *network, err error) {
	n = &network{mqtt: engines.NewMQTT("127.0.0.1:0", nil, r.log), kafka: engines.NewKafka("127.0.0.1:0", kafkaDir, nil)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.stop())
		}
	}()
	if err := errors.Join(n.mqtt.Start(), n.kafka.Start()); err != nil {
		return n, err
	}
	if err := n.startCentral(ctx, filepath.Join(r.dir, "central.db"), r.log); err != nil {
		return n, err
	}
	bridge, err := r.startBridge(ctx, n.mqtt.URL(), n.kafka.Addr(), "")
	if err != nil {
		return n, err
	}
	n.parts = append(n.parts, bridge)
	for i := range points {
		p, err := newPoint(i+1, r.journals, n.mqtt.URL(), points, r.log)
		if err != nil {
			return n, err
		}
		n.points = append(n.points, p)
		p.running = start(ctx, p.agent.Run)
	}
	return n, n.awaitAll(ctx)
}

func (n *network) startCentral(ctx context.Context, path string, log *slog.Logger) error {
	cfg := centralapp.DefaultConfig()
	cfg.Database.Path, cfg.Kafka.Brokers = path, []string{n.kafka.Addr()}
	cfg.Kafka.SetPartitions(partitions)
	cfg.Network.AdmitAutomatically, cfg.Takeover = true, true
	var lc net.ListenConfig
	page, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan *centralapp.Central, 1)
	p := start(ctx, func(ctx context.Context) error {
		return centralapp.Run(ctx, cfg, centralapp.Deps{Log: log, Listener: page, Started: func(c *centralapp.Central) { served <- c }})
	})
	select {
	case n.central = <-served:
		n.parts = append(n.parts, p)
		return nil
	case err := <-p.ended:
		return fmt.Errorf("central: %w", err)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.stop())
	}
}

// awaitAll waits until every charging point is connected and nothing of it is
// unacknowledged.
func (n *network) awaitAll(ctx context.Context) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		behind := 0
		for _, p := range n.points {
			if s := p.agent.Status(); !s.Link.Up || s.Unacked > 0 {
				behind++
			}
		}
		if behind == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d charging points have not told Central everything: %w", behind, len(n.points), ctx.Err())
		}
	}
}

// stop ends everything and waits for it.
func (n *network) stop() error {
	var errs []error
	for _, p := range n.points {
		if p.running != nil {
			p.running.cancel()
		}
	}
	for _, p := range n.points {
		errs = append(errs, p.stop())
	}
	for _, p := range slices.Backward(n.parts) {
		errs = append(errs, p.stop())
	}
	n.kafka.Stop()
	n.mqtt.Stop()
	return errors.Join(errs...)
}
