// Package engines runs an MQTT broker and a Kafka broker in this process, for
// the demo and for tests. Neither is meant for production: nothing in agent,
// bridge or central imports this package.
//
// Both can be stopped and started again at the same address, any number of
// times. Kafka keeps its log in its data folder. The MQTT broker loses all
// state when it stops: sessions, queued and retained messages. That is the
// harder case for its clients.
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

// MaxPacket is the largest MQTT packet and Kafka message in bytes that the
// engines accept: more than the largest valid message with its envelope.
const MaxPacket = 68 << 10

// listenTCP opens a TCP listener. It takes no context, since it does not wait.
func listenTCP(network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(context.Background(), network, address)
}

// MQTT is an embedded MQTT broker.
type MQTT struct {
	listen ListenFunc
	log    *slog.Logger

	mu     sync.Mutex
	addr   string       // mu guards it and what follows
	server *mqtt.Server // nil while stopped
	// dropped counts messages that the broker discarded, over all starts.
	dropped int64
}

// NewMQTT prepares a broker at addr ("127.0.0.1:1883"; port 0 is chosen at the
// first start and kept). listen nil means TCP.
func NewMQTT(addr string, listen ListenFunc, log *slog.Logger) *MQTT {
	if listen == nil {
		listen = listenTCP
	}
	return &MQTT{addr: addr, listen: listen, log: log}
}

// Start starts the broker without any state. It does nothing if the broker
// runs.
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
	caps.MaximumMessageExpiryInterval = 0 // a message does not expire
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

// Stop closes every connection and discards sessions, retained and queued
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

// Addr is HOST:PORT; the port is known after the first Start.
func (m *MQTT) Addr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.addr
}

// URL is the address in the form that MQTT clients expect.
func (m *MQTT) URL() string { return "tcp://" + m.Addr() }

// Retained returns the retained messages of topics that match the filter, by
// topic; nil while the broker is stopped.
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

// Dropped is the number of messages that the broker discarded instead of
// delivering them.
func (m *MQTT) Dropped() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// hook accepts every client, since the broker listens on loopback only, and
// counts dropped messages.
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

// OnSessionEstablish disconnects a client with the same id and waits until the
// broker has removed it. Otherwise the old client's end removes the new client
// from the broker's list, which then receives nothing and cannot be taken over
// either. The wait is limited to a second.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	const takeoverTimeout = time.Second
	previous, some := h.server.Clients.Get(cl.ID)
	if !some || !previous.Properties.Clean {
		return // a persistent session is not removed
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
	// The broker may call this while Stop holds the lock: count without waiting
	// for it.
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
	addr    string         // mu guards it and what follows
	name    string         // of the cluster
	cluster *kfake.Cluster // nil while stopped
}

// NewKafka prepares a broker at addr ("127.0.0.1:9092"; port 0 is chosen at the
// first start and kept). It keeps its log in dir, each batch synced to disk;
// with dir "" in memory, until Stop. listen nil means TCP.
func NewKafka(addr, dir string, listen ListenFunc) *Kafka {
	if listen == nil {
		listen = listenTCP
	}
	return &Kafka{addr: addr, dir: dir, name: "carga-embedded", listen: listen}
}

// Start starts the broker with the log of its data folder. It does nothing if
// the broker runs.
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

// Stop closes every connection. The log stays in the data folder, if there is
// one.
func (k *Kafka) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster == nil {
		return
	}
	k.cluster.Close()
	k.cluster = nil
}

// Replace stops the cluster and replaces it with another one: the next Start
// starts a cluster with this name and the log in dir.
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

// Addr is HOST:PORT; the port is known after the first Start.
func (k *Kafka) Addr() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addr
}

// Cluster gives tests the broker's controls (faults, deletion of records); nil
// while the broker is stopped.
func (k *Kafka) Cluster() *kfake.Cluster {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cluster
}

// listenWithRetry opens a listener. A port that this process has just closed
// may still be occupied, so it retries for about a second.
func listenWithRetry(listen ListenFunc, addr string) (net.Listener, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		l, err := listen("tcp", addr)
		if err == nil || wait > 500*time.Millisecond {
			return l, err
		}
		time.Sleep(wait)
	}
}

// hostPort returns the address of a listener with the host that was asked for.
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
