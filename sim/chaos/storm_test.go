package chaos_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/need"
	"github.com/carga-ev/carga/sim/chaos"
)

// apache returns engines with Apache Kafka, which is downloaded if necessary.
func apache(t *testing.T) chaos.Engines {
	t.Helper()
	e := mosquitto(t)
	e.Java = need.Program(t, "java", "apt-get install default-jre-headless")
	need.Program(t, "mvn", "apt-get install maven")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, word := range []string{"fetch", "jars"} {
		cmd := exec.CommandContext(ctx, ".ci/engines", word)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf(".ci/engines %s: %v\n%s", word, err, out)
		}
		e.KafkaJars = filepath.Join(root, strings.TrimSpace(string(out)))
	}
	e.KafkaProperties = filepath.Join(root, "configs/kafka.properties")
	return e
}

// TestStorm injects faults into a network on Mosquitto and Apache Kafka. No
// record, no Wh and no reservation is lost.
func TestStorm(t *testing.T) {
	e := apache(t)
	r, err := chaos.Run(t.Context(), chaos.Plan{
		For: 80 * time.Second, Drivers: 6, Out: t.Output(),
		Network: chaos.Config{
			Bin: programs(t), Dir: folder(t), Engines: e, Points: 4, Connectors: 1, Seed: 3, Power: 50_000,
			Partitions: 3, KeepAlive: 5 * time.Second, Reservation: 20 * time.Second,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Print(t.Output())
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Lost != 0 || r.Kills == 0 || r.Sessions == 0 || r.Metered == 0 {
		t.Errorf("lost %d; %d kills, %d sessions, %d Wh: want nothing lost, and something to lose", r.Lost, r.Kills, r.Sessions, r.Metered)
	}
}
