package chaos_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/chaos"
	"github.com/carga-ev/carga/sim/demo"
)

// realNetwork prepares a network on Mosquitto and Apache Kafka; nothing runs
// yet.
func realNetwork(t *testing.T, points int) *chaos.Network {
	t.Helper()
	n, err := chaos.NewNetwork(t.Context(), chaos.Config{
		Bin: programs(t), Dir: folder(t), Engines: apache(t), Points: points, Connectors: 1, Seed: 1, Power: 50_000,
		Partitions: 3, KeepAlive: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestDemoOnRealEngines runs the demo with external brokers.
func TestDemoOnRealEngines(t *testing.T) {
	n := realNetwork(t, 0)
	t.Parallel()
	for _, p := range []*chaos.Process{n.MQTT, n.Kafka} {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, filepath.Join(programs(t), "sim"), "demo", "--external-mqtt", "tcp://"+n.MQTTAddr(),
		"--external-kafka", n.KafkaAddr(), "--for", "40s", "--json", "--cps", "6", "--http", "127.0.0.1:0", "--data", folder(t))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	var s demo.Summary
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%+v", s)
	if !s.Healthy() || s.Sessions == 0 || s.Energy.Metered == 0 {
		t.Errorf("%s: want sessions, and nothing lost, double or left over", out)
	}
}

// python returns a Python that has kafka-python.
func python(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), p, "-c", "import kafka").Run() == nil {
			return p
		}
	}
	need.That(t, false, "Python with kafka-python", "apt-get install python3-kafka")
	return ""
}

// TestDriverOfAnotherMake: a driver in another language, with a common client,
// starts before Kafka, reserves any charging point, receives each step, and
// gets the ticket that Central has.
func TestDriverOfAnotherMake(t *testing.T) {
	interpreter, n := python(t), realNetwork(t, 2)
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, interpreter, "testdata/driver.py", n.KafkaAddr(), "python")
	cmd.Stderr = &stderr
	steps, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	received := map[string]driverStep{}
	for lines := bufio.NewScanner(steps); lines.Scan(); {
		t.Log(lines.Text())
		var s driverStep
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if _, again := received[s.Step]; again {
			continue
		}
		received[s.Step] = s
		switch s.Step {
		case "waiting_for_kafka": // the driver has noticed: only now anything is started
			if err := n.Start(ctx); err != nil {
				t.Fatal(err)
			}
		case "authorized":
			plug(t, n, s)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, step := range []string{"waiting_for_kafka", "authorized", "charging_started", "charging_progress", "ticket"} {
		if _, ok := received[step]; !ok {
			t.Errorf("did not receive %s", step)
		}
	}
	if err := n.Settle(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	a, err := n.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range a.Violations {
		t.Error(v)
	}
	if ticket := received["ticket"]; a.Sessions != 1 || charge.WattHours(ticket.Energy) != a.Billed || ticket.CPID != received["authorized"].CPID {
		t.Errorf("the ticket is %+v; Central has %+v", ticket, a)
	}
}

// driverStep is a line of the driver's output.
type driverStep struct {
	Step      string             `json:"step"`
	CPID      charge.CPID        `json:"cp_id"`
	Connector charge.ConnectorID `json:"connector"`
	Energy    wire.KWh           `json:"energy_kwh"`
}

func plug(t *testing.T, n *chaos.Network, s driverStep) {
	t.Helper()
	err := errors.New("no such charging point")
	for _, p := range n.Points {
		if p.ID == s.CPID {
			err = p.Controls().Plug(s.Connector)
		}
	}
	if err != nil {
		t.Fatalf("%s connector %d: %v", s.CPID, s.Connector, err)
	}
}
