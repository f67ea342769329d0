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

// Engines names the MQTT broker and the Kafka to start, and the shipped
// configurations to start them with.
type Engines struct {
	// Mosquitto is the path of the program, MosquittoConf that of the shipped
	// configuration.
	Mosquitto, MosquittoConf string
	// Java is the path of the Java runtime for Apache Kafka; empty: use the
	// embedded Kafka of bin/sim. KafkaJars is the folder of Kafka's jars,
	// KafkaProperties the shipped configuration.
	Java, KafkaJars, KafkaProperties string
}

// setting replaces the first line of a configuration file that begins with key.
type setting struct{ key, line string }

// configure writes a copy of a shipped configuration with other settings. A key
// that the file does not have is an error: the copy would differ in more than
// these settings.
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

// newMosquitto prepares a Mosquitto that listens at HOST:PORT and keeps its
// files in dir.
func newMosquitto(e Engines, dir, addr string) (*Process, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("MQTT broker: %w", err)
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	place := "persistence_location " + dir + "/"
	// Mosquitto drops the rights of root unless its configuration names that user.
	if os.Geteuid() == 0 {
		place += "\nuser root" // root's folder is not writable for the user that it switches to
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

// kafkaPorts are the listeners of a Kafka. Each of its clients can be given a
// listener of its own, which advertises the address of a proxy, so that the
// connections can be impaired one by one.
type kafkaPorts struct {
	plain, controller string
	// byName are further listeners by name.
	byName map[string]advertised
}

// advertised is a listener: where Kafka listens, and the address that it
// returns to clients in its metadata.
type advertised struct{ listen, advertise string }

// clusterID is an arbitrary id of the right form. Kafka's tool could make one,
// which costs a start of Java.
const clusterID = "Q2FyZ2FDYXJnYUNhcmdhQQ"

// newKafka prepares a Kafka that keeps its log in dir. Apache Kafka's storage
// is formatted, which takes about two seconds.
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

// settings returns the settings of kafka.properties that depend on addresses
// and folder.
func (k *kafkaPorts) settings(data string) []setting {
	listeners := []string{"PLAINTEXT://" + k.plain, "CONTROLLER://" + k.controller}
	advertisedListeners := []string{"PLAINTEXT://" + k.plain}
	protocols := []string{"CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT"}
	for name, a := range k.byName {
		listeners = append(listeners, name+"://"+a.listen)
		advertisedListeners = append(advertisedListeners, name+"://"+a.advertise)
		protocols = append(protocols, name+":PLAINTEXT")
	}
	// All keys exist in the shipped file, which configure checks.
	set := func(key, value string) setting { return setting{key + "=", key + "=" + value} }
	return []setting{
		set("listeners", strings.Join(listeners, ",")),
		set("advertised.listeners", strings.Join(advertisedListeners, ",")),
		set("listener.security.protocol.map", strings.Join(protocols, ",")),
		set("controller.quorum.voters", "1@"+k.controller),
		set("log.dirs", data),
	}
}

// javaArgs returns the arguments to run a class of Kafka, with limits that let
// several run on one machine.
func javaArgs(e Engines, class string, args ...string) []string {
	return append([]string{
		"-Xms128m", "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(e.KafkaJars, "*"), class,
	}, args...)
}

// formatTimeout limits the formatting, which takes about two seconds.
const formatTimeout = 60 * time.Second

// formatStorage runs Kafka's tool that creates the data folder.
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
	_, _ = p.Kill() // an error means that it has ended already
	return p.endedError(err)
}

// endedError describes a program that ended, or did not start, against
// expectation, with the end of its log.
func (p *Process) endedError(err error) error {
	return fmt.Errorf("%s: %w; the end of %s:\n%s", p.Name, err, p.Log, p.Tail())
}
