// Package engines runs an MQTT broker and a Kafka broker inside this process,
// for the demo and for tests. Neither is meant for production: nothing in
// agent, bridge or central imports this package.
//
// Both can be cut and brought back at the same address, as often as wanted.
// Kafka keeps its log in its data folder; the MQTT broker forgets everything
// when it stops, which is the harder case for whoever talks to it.
//
// Methods are safe for concurrent use. A stopped engine has no goroutines.
package engines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/twmb/franz-go/pkg/kfake"
)

// ListenFunc opens a listener, as net.Listen or an in-memory network does.
type ListenFunc func(network, address string) (net.Listener, error)

// MaxPacket is the largest MQTT packet and Kafka message the engines accept:
// more than the largest legal message with its envelope.
const MaxPacket = 68 << 10

// listenTCP opens a TCP listener; a context is not needed, for it does not
// wait.
func listenTCP(network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(context.Background(), network, address)
}

// MQTT is an embedded MQTT broker.
type MQTT struct {
	listen ListenFunc
	log    *slog.Logger

	mu     sync.Mutex
	addr   string
	server *mqtt.Server
	// dropped counts messages that the broker gave up on, over all lives.
	dropped int64
}

// NewMQTT prepares a broker at addr ("127.0.0.1:1883"; port 0 picks one at the
// first start). listen nil means TCP.
func NewMQTT(addr string, listen ListenFunc, log *slog.Logger) *MQTT {
	if listen == nil {
		listen = listenTCP
	}
	return &MQTT{addr: addr, listen: listen, log: log}
}

// Start brings the broker up, with nothing remembered. Starting a running
// broker does nothing.
func (m *MQTT) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server != nil {
		return nil
	}
	l, err := listenWithRetry(m.listen, m.addr)
	if err != nil {
		return fmt.Errorf("embedded MQTT at %s: %w", m.addr, err)
	}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumPacketSize = MaxPacket
	caps.MaximumMessageExpiryInterval = 0 // an event does not go stale
	caps.MaximumInflight = 1<<16 - 1
	caps.MaximumClientWritesPending = 1 << 16
	caps.ReceiveMaximum = 1024
	server := mqtt.New(&mqtt.Options{Capabilities: caps, Logger: slog.New(slog.DiscardHandler)})
	if err := errors.Join(server.AddHook(&hook{owner: m, server: server}, nil), server.AddListener(newClientListener(l, server))); err != nil {
		return errors.Join(fmt.Errorf("embedded MQTT: %w", err), l.Close())
	}
	if err := server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("embedded MQTT: %w", err), server.Close())
	}
	m.server, m.addr = server, hostPort(l, m.addr)
	return nil
}

// Stop cuts every connection and forgets sessions, retained and queued
// messages.
func (m *MQTT) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		return
	}
	if err := m.server.Close(); err != nil {
		m.log.Warn("embedded MQTT broker did not close cleanly", slog.Any("err", err))
	}
	m.server = nil
}

// Up reports whether the broker runs.
func (m *MQTT) Up() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.server != nil
}

// Addr is host:port; the port is known after the first Start.
func (m *MQTT) Addr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addr
}

// URL is the address as MQTT clients take it.
func (m *MQTT) URL() string { return "tcp://" + m.Addr() }

// Retained are the messages that the broker keeps for topics which fit the
// filter, by topic; nil while it is stopped.
func (m *MQTT) Retained(filter string) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		return nil
	}
	kept := map[string][]byte{}
	for _, p := range m.server.Topics.Messages(filter) {
		kept[p.TopicName] = p.Payload
	}
	return kept
}

// Dropped counts messages the broker gave up on instead of delivering.
func (m *MQTT) Dropped() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// hook lets everybody in, for the broker listens on loopback only, and counts
// what the broker drops.
type hook struct {
	mqtt.HookBase
	owner  *MQTT
	server *mqtt.Server
}

func (*hook) ID() string { return "carga" }

func (*hook) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPublishDropped || b == mqtt.OnSessionEstablish
}

func (*hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*hook) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// OnSessionEstablish sends away whoever is there under the same name, and waits
// until he is gone: on his way out he would strike the newcomer from the
// broker's list, who then hears nothing more and cannot be displaced either.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	const takeoverTimeout = time.Second
	previous, some := h.server.Clients.Get(cl.ID)
	if !some || !previous.Properties.Clean {
		return // one whose session stays is not struck off
	}
	previous.Stop(packets.ErrSessionTakenOver)
	for waited := time.Duration(0); waited < takeoverTimeout; waited += time.Millisecond {
		if now, some := h.server.Clients.Get(cl.ID); !some || now != previous {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (h *hook) OnPublishDropped(*mqtt.Client, packets.Packet) {
	// The server may call this while Stop holds the lock: count without waiting.
	go func() {
		h.owner.mu.Lock()
		h.owner.dropped++
		h.owner.mu.Unlock()
	}()
}

// Kafka is an embedded Kafka broker.
type Kafka struct {
	dir    string
	listen ListenFunc

	mu      sync.Mutex
	addr    string
	name    string // of the cluster
	cluster *kfake.Cluster
}

// NewKafka prepares a broker at addr ("127.0.0.1:9092"; port 0 picks one at the
// first start) which keeps its log in dir, each batch synced to disk. dir empty
// keeps nothing over a Stop. listen nil means TCP.
func NewKafka(addr, dir string, listen ListenFunc) *Kafka {
	if listen == nil {
		listen = listenTCP
	}
	return &Kafka{addr: addr, dir: dir, name: "carga-embedded", listen: listen}
}

// Start brings the broker up with what its data folder holds. Starting a
// running broker does nothing.
func (k *Kafka) Start() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster != nil {
		return nil
	}
	host, portText, err := net.SplitHostPort(k.addr)
	if err != nil {
		return fmt.Errorf("embedded Kafka at %q: %w", k.addr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("embedded Kafka at %q: port: %w", k.addr, err)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.ClusterID(k.name),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return listenWithRetry(k.listen, net.JoinHostPort(host, portText))
		}),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": strconv.Itoa(1 << 20)}),
	}
	if k.dir != "" {
		opts = append(opts, kfake.DataDir(k.dir), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return fmt.Errorf("embedded Kafka at %s: %w", k.addr, err)
	}
	k.cluster = cluster
	if addrs := cluster.ListenAddrs(); len(addrs) > 0 {
		k.addr = addrs[0]
	}
	return nil
}

// Stop cuts every connection; with a data folder the log stays.
func (k *Kafka) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster == nil {
		return
	}
	k.cluster.Close()
	k.cluster = nil
}

// Replace puts another cluster with a log of its own in the place of this one,
// which is stopped: what the next Start brings up is called name and holds what
// is in dir.
func (k *Kafka) Replace(name, dir string) {
	k.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.name, k.dir = name, dir
}

// Up reports whether the broker runs.
func (k *Kafka) Up() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cluster != nil
}

// Addr is host:port; the port is known after the first Start.
func (k *Kafka) Addr() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addr
}

// Cluster gives tests the broker's own controls (faults, deleting records);
// nil while it is stopped.
func (k *Kafka) Cluster() *kfake.Cluster {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cluster
}

// listenWithRetry opens a listener. A port that was ours a moment ago may not be
// free yet, so it tries for a short while.
func listenWithRetry(listen ListenFunc, addr string) (net.Listener, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		l, err := listen("tcp", addr)
		if err == nil || wait > 500*time.Millisecond {
			return l, err
		}
		time.Sleep(wait)
	}
}

func hostPort(l net.Listener, asked string) string {
	host, _, err := net.SplitHostPort(asked)
	if err != nil {
		return l.Addr().String()
	}
	if _, port, err := net.SplitHostPort(l.Addr().String()); err == nil {
		return net.JoinHostPort(host, port)
	}
	return l.Addr().String()
}
