package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/operator"
)

// Config is the configuration of a Network.
type Config struct {
	Bin     string // folder of the programs agent, bridge, central and sim
	Dir     string // holds all data; short, because paths of sockets are limited to about 100 bytes
	Engines Engines

	Points     int
	Connectors int // of each charging point
	Seed       uint64
	Power      charge.Watts // rated power of a connector
	Resume     bool         // agents continue a session after a restart
	Partitions int          // of every topic
	KeepAlive  time.Duration
	// Reservation is the duration of a reservation; 0: Central's default.
	Reservation time.Duration
	// Proxied puts a TCP proxy, in this process, between each program and each
	// engine that it uses. The embedded Kafka advertises a single address, so
	// connections to it are not proxied.
	Proxied bool
	// Disks gives each journal and Central's database a file system of its own,
	// which can be made full. Where mounting is not allowed there are none, and
	// NoDisks returns the reason.
	Disks bool
}

// Network is a network of processes: engines, bridge, Central, charging points.
// NewNetwork prepares it; Start starts the processes. A caller that kills or
// starts one of them by its methods owns that process meanwhile.
type Network struct {
	// cfg is not changed after NewNetwork; the processes are started and stopped
	// through their own methods.
	cfg     Config
	MQTT    *Process
	Kafka   *Process
	Bridge  *Process
	Central *Process
	Points  []*Point
	API     *operator.API

	addr    addresses
	links   []*link // open until Close; empty unless Config.Proxied
	disks   []*disk
	disk    *disk // of Central's database; nil without disks
	noDisks error
}

// addresses are the HOST:PORTs that stay the same for the life of a network.
type addresses struct {
	mqtt, kafka, controller, http string
	bridgeKafka, centralKafka     string // through their proxies; without proxies the same as kafka
}

// NewNetwork prepares a network in cfg.Dir: addresses, configurations, proxies,
// disks. It starts no program that stays.
func NewNetwork(ctx context.Context, cfg Config) (*Network, error) {
	ports, err := FreePorts(ctx, fixedPorts+maxLinks(cfg)+cfg.Points)
	if err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg, addr: addresses{mqtt: ports[0], kafka: ports[1], controller: ports[2], http: ports[3]}}
	n.API = operator.New(n.addr.http, callTimeout)
	if cfg.Proxied {
		zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy logs to a global logger
	}
	spare := ports[fixedPorts:]
	if err := n.build(ctx, ports[4], ports[5], &spare); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	if err := n.openDisks(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// fixedPorts is the number of addresses that do not depend on the
// configuration: MQTT, Kafka, its controller, Central's page, and Kafka's two
// further listeners.
const fixedPorts = 6

// maxLinks is the largest number of proxies: two of the bridge, one of Central,
// one of each charging point.
func maxLinks(cfg Config) int { return 3 + cfg.Points }

// build prepares the processes and opens the proxies; spare are unused
// addresses.
func (n *Network) build(ctx context.Context, bridgeKafka, centralKafka string, spare *[]string) (err error) {
	// open returns the address to connect to: that of a proxy, or upstream
	// itself. The first error ends all further ones.
	open := func(name, upstream string) (addr string) {
		if !n.cfg.Proxied || err != nil {
			return upstream
		}
		var w *link
		if w, err = openLink(name, (*spare)[0], upstream); err != nil {
			return upstream
		}
		*spare = (*spare)[1:]
		n.links = append(n.links, w)
		return w.listen
	}
	// Apache Kafka gets a listener for the bridge and one for Central, each
	// advertised as its proxy.
	kafka := kafkaPorts{plain: n.addr.kafka, controller: n.addr.controller}
	n.addr.bridgeKafka, n.addr.centralKafka = n.addr.kafka, n.addr.kafka
	if n.cfg.Engines.Java != "" {
		n.addr.bridgeKafka, n.addr.centralKafka = open("bridge to Kafka", bridgeKafka), open("Central to Kafka", centralKafka)
		kafka.byName = map[string]advertised{
			"BRIDGE":  {bridgeKafka, n.addr.bridgeKafka},
			"CENTRAL": {centralKafka, n.addr.centralKafka},
		}
	}
	n.Bridge, n.Central = n.newBridge(open("bridge to MQTT", n.addr.mqtt)), n.newCentral()
	for i := range n.cfg.Points {
		health := (*spare)[0]
		*spare = (*spare)[1:]
		n.Points = append(n.Points, n.newPoint(i+1, open(pointName(i+1)+" to MQTT", n.addr.mqtt), health))
	}
	if err != nil {
		return err
	}
	if n.MQTT, err = newMosquitto(n.cfg.Engines, filepath.Join(n.cfg.Dir, "mosquitto"), n.addr.mqtt); err != nil {
		return err
	}
	n.Kafka, err = newKafka(ctx, n.cfg.Engines, n.cfg.Bin, filepath.Join(n.cfg.Dir, "kafka"), kafka)
	return err
}

// openDisks mounts the disks if Config.Disks is set.
func (n *Network) openDisks() error {
	if !n.cfg.Disks {
		return nil
	}
	open := func(dir string, size int64) (*disk, error) {
		d, err := openDisk(dir, size)
		if err == nil {
			n.disks = append(n.disks, d)
		}
		return d, err
	}
	var err error
	// Without the right to mount there are no disks at all: a run with some of
	// them would not be comparable.
	if n.disk, err = open(filepath.Dir(n.Database()), centralDisk); errors.Is(err, errNoDisk) {
		n.noDisks = err
		return nil
	}
	for _, p := range n.Points {
		if err == nil {
			p.disk, err = open(p.Journal, agentDisk)
		}
	}
	return err
}

// NoDisks returns why there are no disks; nil when there are, or none were
// configured.
func (n *Network) NoDisks() error { return n.noDisks }

// MQTTAddr is the HOST:PORT of Mosquitto, without a proxy.
func (n *Network) MQTTAddr() string { return n.addr.mqtt }

// KafkaAddr is the HOST:PORT at which drivers reach Kafka, without a proxy.
func (n *Network) KafkaAddr() string { return n.addr.kafka }

// program prepares one of the programs, configured by its environment.
func (n *Network) program(name, file, prefix string, settings map[string]string, args ...string) *Process {
	p := &Process{
		Name: name, Path: filepath.Join(n.cfg.Bin, file), Args: args, Log: filepath.Join(n.cfg.Dir, "logs", name+".log"),
		Crash: filepath.Join(n.cfg.Dir, name+".crash"),
	}
	for key, value := range settings {
		p.Env = append(p.Env, prefix+key+"="+value)
	}
	return p
}

func (n *Network) newBridge(mqtt string) *Process {
	set := map[string]string{
		"MQTT__URL": "tcp://" + mqtt, "MQTT__KEEP_ALIVE": n.cfg.KeepAlive.String(), "KAFKA__BROKERS": n.addr.bridgeKafka,
		"OBSERVE__LISTEN": "127.0.0.1:0",
	}
	n.partitions(set, "EVENTS", "TELEMETRY", "MONITOR", "COMMANDS", "DEAD_LETTERS")
	return n.program("bridge", "bridge", "CARGA_BRIDGE_", set)
}

func (n *Network) newCentral() *Process {
	set := map[string]string{
		"HTTP__LISTEN": n.addr.http, "DATABASE__PATH": n.Database(), "KAFKA__BROKERS": n.addr.centralKafka, "WEB__ACCESS": "open",
		"NETWORK__ADMIT_AUTOMATICALLY": "true",
	}
	if n.cfg.Reservation > 0 {
		set["NETWORK__RESERVATION"] = n.cfg.Reservation.String()
	}
	n.partitions(set, "EVENTS", "TELEMETRY", "MONITOR", "COMMANDS", "DRIVER_EVENTS", "CENTRAL_EVENTS", "DEAD_LETTERS")
	return n.program("central", "central", "CARGA_CENTRAL_", set)
}

func (n *Network) partitions(set map[string]string, topics ...string) {
	for _, t := range topics {
		set["KAFKA__TOPICS__"+t+"__PARTITIONS"] = strconv.Itoa(n.cfg.Partitions)
	}
}

// Database is the path of Central's database.
func (n *Network) Database() string { return filepath.Join(n.cfg.Dir, "central", "central.db") }

// HTTPAddr is the HOST:PORT of Central's page and API.
func (n *Network) HTTPAddr() string { return n.addr.http }

// Start starts all processes. The boards are awaited before their agents start,
// so that the initial registers are known; otherwise no process waits for
// another.
func (n *Network) Start(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.Dir, 0o750); err != nil {
		return err
	}
	for _, p := range n.Points {
		// Boards first: the registers before any agent are the origin of the
		// energy balance.
		if err := p.Board.Start(ctx); err != nil {
			return err
		}
	}
	for _, p := range n.Points {
		if err := p.readInitial(ctx); err != nil {
			return p.Board.endedError(err)
		}
	}
	for _, p := range n.processes() {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// processes returns the processes that faults may hit: all but the boards.
func (n *Network) processes() []*Process {
	all := []*Process{n.MQTT, n.Kafka, n.Bridge, n.Central}
	for _, p := range n.Points {
		all = append(all, p.Agent)
	}
	return all
}

// Close kills all processes, boards too, closes the proxies and unmounts the
// disks, whose contents are in their folders then. It may be called again.
func (n *Network) Close() error {
	n.API.Close()
	var errs []error
	all := n.processes()
	for _, p := range n.Points {
		all = append(all, p.Board)
	}
	for _, p := range all {
		if p == nil {
			continue
		}
		// Order does not matter: the result of a run was taken before.
		if _, err := p.Kill(); err != nil && !errors.Is(err, ErrNotRunning) {
			errs = append(errs, err)
		}
	}
	for _, w := range n.links {
		w.close()
	}
	for _, d := range n.disks {
		errs = append(errs, d.close())
	}
	n.links, n.disks = nil, nil
	return errors.Join(errs...)
}

// awaitInterval is the pause between two calls of look in Await.
const awaitInterval = 50 * time.Millisecond

// Await calls look until it returns nil. After limit, or when ctx ends, it
// returns the last error of look that ctx did not cause.
func Await(ctx context.Context, limit time.Duration, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		// An error that only reports the end of ctx would hide the real one.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, last)
		case <-time.After(awaitInterval):
		}
	}
}

// linksOf returns the proxies of one program; none unless Config.Proxied.
func (n *Network) linksOf(part string) (list []*link) {
	for _, w := range n.links {
		if strings.HasPrefix(w.name, part+" to ") {
			list = append(list, w)
		}
	}
	return list
}
