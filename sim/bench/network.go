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
	"github.com/carga-ev/carga/internal/engines"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
)

// partitions is the number of partitions of every topic: that of the demo.
const partitions = 3

// part is a part of the network that runs until it is stopped.
type part struct {
	cancel context.CancelFunc
	ended  chan error // capacity 1: the error of run
}

// start starts a part. The end of ctx does not stop it: stop does, in order.
func start(ctx context.Context, run func(context.Context) error) *part {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- run(ctx) }()
	return p
}

// stop stops the part and waits for its end.
func (p *part) stop() error {
	p.cancel()
	return <-p.ended
}

// startBridge starts a bridge and waits until it is connected to MQTT and
// Kafka.
func (r *run) startBridge(ctx context.Context, mqtt, kafka string) (*part, error) {
	cfg := bridgeapp.DefaultConfig()
	cfg.MQTT.URL, cfg.Kafka.Brokers = mqtt, []string{kafka}
	cfg.Kafka.SetPartitions(partitions)
	cfg.StopWithin = time.Second
	cfg.Observe.Listen = ""
	// The bridge reports its state regularly; the first report with both
	// connections up is enough.
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
	// A bridge never gives up by itself, so the wait is limited here.
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

// network is a network: engines, bridge and Central, in this process or as processes,
// and charging points in this process.
type network struct {
	real *chaos.Network // nil in this process
	// url and brokers are where MQTT and Kafka are.
	url, brokers string
	// Set once by startNetwork, in the order of the fields; what is nil has not
	// been started, and stop skips it.
	mqtt    *engines.MQTT
	kafka   *engines.Kafka
	parts   []*part // Central and bridge, in the order of their start
	central *centralapp.Central
	points  []*point
}

// startNetwork starts a network and waits until Central has acknowledged all
// records of the charging points' starts. kafkaDir "" keeps Kafka's log in
// memory: a real Kafka acknowledges from the page cache, not from the disk.
func (r *run) startNetwork(ctx context.Context, points int, kafkaDir string) (n *network, err error) {
	n = &network{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.stop())
		}
	}()
	// Central and bridge start before the charging points, whose first records
	// are then applied at once.
	begin := n.embed
	if r.real {
		begin = n.launch
	}
	if err := begin(ctx, r, kafkaDir); err != nil {
		return n, err
	}
	for i := range points {
		p, err := newPoint(i+1, r.journalDir, n.url, points, r.log)
		if err != nil {
			return n, err
		}
		n.points = append(n.points, p)
		p.running = start(ctx, p.agent.Run)
	}
	return n, n.awaitAll(ctx)
}

// embed starts everything but the charging points in this process.
func (n *network) embed(ctx context.Context, r *run, kafkaDir string) error {
	n.mqtt, n.kafka = engines.NewMQTT("127.0.0.1:0", nil, r.log), engines.NewKafka("127.0.0.1:0", kafkaDir, nil)
	if err := errors.Join(n.mqtt.Start(), n.kafka.Start()); err != nil {
		return err
	}
	n.url, n.brokers = n.mqtt.URL(), n.kafka.Addr()
	if err := n.startCentral(ctx, filepath.Join(r.dir, "central.db"), r.log); err != nil {
		return err
	}
	bridge, err := r.startBridge(ctx, n.url, n.brokers)
	if err != nil {
		return err
	}
	n.parts = append(n.parts, bridge)
	return nil
}

// startCentral starts Central and waits until it serves its page.
func (n *network) startCentral(ctx context.Context, path string, log *slog.Logger) error {
	cfg := centralapp.DefaultConfig()
	cfg.Database.Path, cfg.Kafka.Brokers = path, []string{n.kafka.Addr()}
	cfg.Kafka.SetPartitions(partitions)
	cfg.Web.Access = centralapp.AccessOpen
	// Without an operator every charging point is admitted. The database is
	// new, so that no other Central can have used it.
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

// awaitAll waits until every charging point is connected and all its records
// are acknowledged.
func (n *network) awaitAll(ctx context.Context) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		behind := 0
		for _, p := range n.points {
			// A charging point without an unacknowledged record has registered:
			// its journal begins with that record.
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
			return fmt.Errorf("%d of %d charging points have unacknowledged records: %w", behind, len(n.points), ctx.Err())
		}
	}
}

// stop stops everything, charging points first, and waits for it.
func (n *network) stop() error {
	var errs []error
	// All agents are cancelled before the first is awaited: each waits up to
	// stopWithin for acknowledgements.
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
	if n.real != nil {
		errs = append(errs, n.real.Close())
	}
	if n.kafka != nil {
		n.kafka.Stop()
		n.mqtt.Stop()
	}
	return errors.Join(errs...)
}
