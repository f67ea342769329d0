package pi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/need"
)

// TestOlderRaspberryPis runs the agents for 32 bits on the processors that they are
// for, with simulated hardware: start, journal, MQTT, and a clean stop. The
// emulator runs one program on the host's kernel, so it proves nothing about pins
// and power cuts.
func TestOlderRaspberryPis(t *testing.T) {
	emulator := need.Program(t, "qemu-arm-static", "apt-get install qemu-user-static")
	n := network(t)
	for _, c := range []struct{ target, processor, of string }{
		{"arm6", "arm1176", "Raspberry Pi 1 and Zero"},
		{"arm7", "cortex-a7", "Raspberry Pi 2"},
	} {
		t.Run(c.target, func(t *testing.T) {
			dir := folder(t)
			id := charge.CPID("PI_" + c.target)
			journal, config := filepath.Join(dir, "journal"), filepath.Join(dir, "agent.yaml")
			text := fmt.Sprintf("cp_id: %s\ndata_dir: %s\nmqtt: {url: \"tcp://%s\"}\n", id, journal, n.MQTTAddr())
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			log, err := os.Create(filepath.Join(dir, "agent.log"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.Close() }() // the agent has its own descriptor

			ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
			defer cancel() // which kills an agent that hangs
			agent := exec.CommandContext(ctx, emulator, "-cpu", c.processor, agentFor(t, c.target), "--config", config)
			agent.Stdout, agent.Stderr = log, log
			if err := agent.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "the charging point of a "+c.of+" is online", online(n, id))
			if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := agent.Wait(); err != nil {
				out, rerr := os.ReadFile(log.Name())
				t.Fatalf("it did not stop in good order: %v\n%s", errors.Join(err, rerr), tail(string(out), 4<<10))
			}
			reconcile(t, n, id, journal)
		})
	}
}
