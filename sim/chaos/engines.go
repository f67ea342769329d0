package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Engines say which MQTT broker and which Kafka to start, and with which of the
// shipped configurations.
type Engines struct {
	// Mosquitto is the program; MosquittoConf the shipped configuration.
	Mosquitto, MosquittoConf string
	// Java is the program that runs Apache Kafka; empty: the embedded Kafka of
	// bin/sim. KafkaJars is the folder of its jars, KafkaProperties the shipped
	// configuration.
	Java, KafkaJars, KafkaProperties string
}

// setting replaces the lines of a configuration file that begin with Key.
type setting struct{ key, line string }

// configure writes a copy of a shipped configuration with other settings. A key
// that it does not have is an error: the copy would say something else.
func configure(from, to string, settings []setting) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	lines := strings.Split(string(raw), "\n")
	for _, s := range settings {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, s.key) })
		if i < 0 {
			return fmt.Errorf("%s has no %q", from, s.key)
		}
		lines[i] = s.line
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(strings.Join(lines, "\n")), 0o600)
}

// newMosquitto prepares a Mosquitto at HOST:PORT that keeps its files in dir.
func newMosquitto(e Engines, dir, addr string) (*Process, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("MQTT broker: %w", err)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	place := "persistence_location " + dir + "/"
	if os.Geteuid() == 0 {
		place += "\nuser root" // or else it may not write there
	}
	err = configure(e.MosquittoConf, conf, []setting{
		{"listener ", "listener " + port + " " + host},
		{"persistence_location ", place},
	})
	if err != nil {
		return nil, fmt.Errorf("MQTT broker: %w", err)
	}
	return &Process{Name: "mosquitto", Path: e.Mosquitto, Args: []string{"-c", conf}, Log: filepath.Join(dir, "mosquitto.log")}, nil
}

// kafkaPorts are the addresses of a Kafka. Each user may be told another way
// to it, so that the ways can be cut one by one.
type kafkaPorts struct {
	plain, controller string
	// byName are further listeners: where Kafka listens, and what it advertises.
	byName map[string]advertised
}

type advertised struct{ listen, advertise string }

// clusterID is any id; a fixed one saves a start of Java.
const clusterID = "Q2FyZ2FDYXJnYUNhcmdhQQ"

// newKafka prepares a Kafka that keeps its log in dir.
func newKafka(ctx context.Context, e Engines, bin, dir string, ports kafkaPorts) (*Process, error) {
	if e.Java == "" {
		return &Process{
			Name: "kafka", Path: filepath.Join(bin, "sim"), Log: filepath.Join(dir, "kafka.log"),
			Args: []string{"kafka", "--listen", ports.plain, "--data", filepath.Join(dir, "data")},
		}, nil
	}
	conf := filepath.Join(dir, "kafka.properties")
	if err := configure(e.KafkaProperties, conf, ports.settings(filepath.Join(dir, "data"))); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	p := &Process{Name: "kafka", Path: e.Java, Args: javaArgs(e, "kafka.Kafka", conf), Log: filepath.Join(dir, "kafka.log")}
	return p, formatStorage(ctx, e, conf, filepath.Join(dir, "format.log"))
}

func (k *kafkaPorts) settings(data string) []setting {
	listeners := []string{"PLAINTEXT://" + k.plain, "CONTROLLER://" + k.controller}
	advertisedListeners := []string{"PLAINTEXT://" + k.plain}
	protocols := []string{"CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT"}
	for name, a := range k.byName {
		listeners = append(listeners, name+"://"+a.listen)
		advertisedListeners = append(advertisedListeners, name+"://"+a.advertise)
		protocols = append(protocols, name+":PLAINTEXT")
	}
	set := func(key, value string) setting { return setting{key + "=", key + "=" + value} }
	return []setting{
		set("listeners", strings.Join(listeners, ",")),
		set("advertised.listeners", strings.Join(advertisedListeners, ",")),
		set("listener.security.protocol.map", strings.Join(protocols, ",")),
		set("controller.quorum.voters", "1@"+k.controller),
		set("log.dirs", data),
	}
}

// javaArgs is a command line that runs a class of Kafka in little memory.
func javaArgs(e Engines, class string, args ...string) []string {
	return append([]string{
		"-Xms128m", "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(e.KafkaJars, "*"), class,
	}, args...)
}

// formatTimeout is far more than the two seconds that it takes.
const formatTimeout = 60 * time.Second

// formatStorage makes Kafka's data folder.
func formatStorage(ctx context.Context, e Engines, conf, log string) error {
	p := &Process{
		Name: "kafka's format", Path: e.Java, Log: log,
		Args: javaArgs(e, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", conf, "--ignore-formatted"),
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	l, err := p.current()
	if err != nil {
		return p.endedError(err)
	}
	timer := time.NewTimer(formatTimeout)
	defer timer.Stop()
	select {
	case <-l.ended:
		if l.err != nil {
			return p.endedError(l.err)
		}
		return nil
	case <-timer.C:
		err = errors.New("took too long")
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = p.Kill() // it may have ended by itself
	return p.endedError(err)
}

// endedError is the error of a program that ended when it should not have.
func (p *Process) endedError(err error) error {
	return fmt.Errorf("%s: %w; the end of %s:\n%s", p.Name, err, p.Log, p.Tail())
}
