package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Config says what a Network is made of.
type Config struct {
	Bin     string // folder of the four programs
	Dir     string // keeps everything; not too long, for sockets are in it
	Engines Engines

	Points     int
	Connectors int // of each
	Seed       uint64
	Power      charge.Watts // of a connector
	Resume     bool         // what agents do with a session after a restart
	Partitions int          // of every topic
	KeepAlive  time.Duration
	// Proxied puts a proxy between each part and each engine it talks to.
	Proxied bool
}

// Network is a whole network of processes. New makes it and starts nothing.
type Network struct {
	cfg     Config
	MQTT    *Process
	Kafka   *Process
	Bridge  *Process
	Central *Process
	Points  []*Point
	API     *API

	addr addresses
}

type addresses struct {
	mqtt, kafka, http string
	// The ways of each part to its engines; the engines' own addresses where
	// nothing is between.
	agentMQTT, bridgeMQTT, bridgeKafka, centralKafka string
}

// NewNetwork prepares a network in cfg.Dir. It starts nothing that stays.
func NewNetwork(ctx context.Context, cfg Config) (*Network, error) {
	ports, err := FreePorts(ctx, 4)
	if err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg, addr: addresses{mqtt: ports[0], kafka: ports[1], http: ports[3]}}
	n.addr.agentMQTT, n.addr.bridgeMQTT = n.addr.mqtt, n.addr.mqtt
	n.addr.bridgeKafka, n.addr.centralKafka = n.addr.kafka, n.addr.kafka
	if n.MQTT, err = newMosquitto(cfg.Engines, filepath.Join(cfg.Dir, "mosquitto"), n.addr.mqtt); err != nil {
		return nil, err
	}
	kafka := kafkaPorts{plain: n.addr.kafka, controller: ports[2]}
	if n.Kafka, err = newKafka(ctx, cfg.Engines, cfg.Bin, filepath.Join(cfg.Dir, "kafka"), kafka); err != nil {
		return nil, err
	}
	n.Bridge, n.Central = n.newBridge(), n.newCentral()
	for i := range cfg.Points {
		n.Points = append(n.Points, n.newPoint(i+1))
	}
	n.API = NewAPI(n.addr.http)
	return n, nil
}

// KafkaAddr is where drivers reach Kafka.
func (n *Network) KafkaAddr() string { return n.addr.kafka }

// program is one of the four, configured by its environment.
func (n *Network) program(name, file, prefix string, settings map[string]string, args ...string) *Process {
	p := &Process{
		Name: name, Path: filepath.Join(n.cfg.Bin, file), Args: args, Log: filepath.Join(n.cfg.Dir, "logs", name+".log"),
	}
	for key, value := range settings {
		p.Env = append(p.Env, prefix+key+"="+value)
	}
	return p
}

func (n *Network) newBridge() *Process {
	set := map[string]string{
		"MQTT__URL": "tcp://" + n.addr.bridgeMQTT, "MQTT__KEEP_ALIVE": n.cfg.KeepAlive.String(), "KAFKA__BROKERS": n.addr.bridgeKafka,
	}
	n.partitions(set, "EVENTS", "TELEMETRY", "MONITOR", "COMMANDS", "DEAD_LETTERS")
	return n.program("bridge", "bridge", "CARGA_BRIDGE_", set)
}

func (n *Network) newCentral() *Process {
	set := map[string]string{
		"HTTP__LISTEN": n.addr.http, "DATABASE__PATH": n.Database(), "KAFKA__BROKERS": n.addr.centralKafka,
		"NETWORK__ADMIT_AUTOMATICALLY": "true",
	}
	n.partitions(set, "EVENTS", "TELEMETRY", "MONITOR", "COMMANDS", "DRIVER_EVENTS", "CENTRAL_EVENTS", "DEAD_LETTERS")
	return n.program("central", "central", "CARGA_CENTRAL_", set)
}

func (n *Network) partitions(set map[string]string, topics ...string) {
	for _, t := range topics {
		set["KAFKA__TOPICS__"+t+"__PARTITIONS"] = strconv.Itoa(n.cfg.Partitions)
	}
}

// Database is the path of Central's.
func (n *Network) Database() string { return filepath.Join(n.cfg.Dir, "central.db") }

// Start starts everything. The boards answer before their agents come; nothing
// else waits for anything.
func (n *Network) Start(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.Dir, 0o750); err != nil {
		return err
	}
	for _, p := range n.Points {
		if err := p.Board.Start(ctx); err != nil {
			return err
		}
	}
	for _, p := range n.Points {
		if err := p.look(ctx); err != nil {
			return p.Board.ended(err)
		}
	}
	for _, p := range n.all() {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// all are the processes that may be killed.
func (n *Network) all() []*Process {
	all := []*Process{n.MQTT, n.Kafka, n.Bridge, n.Central}
	for _, p := range n.Points {
		all = append(all, p.Agent)
	}
	return all
}

// Close ends everything at once, boards too. It may be called again.
func (n *Network) Close() error {
	n.API.Close()
	var errs []error
	all := n.all()
	for _, p := range n.Points {
		all = append(all, p.Board)
	}
	for _, p := range all {
		if _, err := p.Kill(); err != nil && !errors.Is(err, ErrNotRunning) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// pollEvery is the pause between two looks at something that is awaited.
const pollEvery = 50 * time.Millisecond

// Await looks until there is nothing wrong any more. After limit, or when ctx
// ends, the error is what was wrong last.
func Await(ctx context.Context, limit time.Duration, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, last)
		case <-time.After(pollEvery):
		}
	}
}
