package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/carga-ev/carga/internal/engines"
)

const (
	// Targets of the agent's size and memory, and the size of the fleet.
	sizeWanted   = 8   // MiB of the stripped binary
	memoryWanted = 20  // MB resident, of one agent alone
	fleetPoints  = 100 // charging points of the fleet
)

// measureAgent measures the agent's size on disk and in memory: of a process of
// its own, and per charging point of a fleet in one process. Nothing is
// connected but MQTT, and no vehicle comes.
func measureAgent(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	broker := engines.NewMQTT("127.0.0.1:0", nil, r.log)
	if err := broker.Start(); err != nil {
		return nil, err
	}
	defer broker.Stop()
	conf := filepath.Join(r.dir, "agent.yaml")
	text := fmt.Sprintf("cp_id: BP_0001\ndata_dir: %s\nmqtt:\n  url: %s\nlog:\n  level: warn\n", filepath.Join(r.dir, "agent"), broker.URL())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	// The fleet shows what an agent costs beyond the Go runtime, which its
	// points share.
	alone := Row{Name: "agent-memory", What: "agent, resident memory, simulated hardware", Unit: "MB", Wanted: memoryWanted}
	fleet := Row{Name: "fleet-memory", What: fmt.Sprintf("the same, per point in a fleet of %d", fleetPoints), Unit: "MB"}
	return []Row{
		r.size(),
		memory(ctx, alone, budget/2, 1, r.cfg.Agent, "--config", conf),
		memory(ctx, fleet, budget/2, fleetPoints, r.cfg.Sim, "fleet", "--cps", strconv.Itoa(fleetPoints), "--mqtt", broker.URL(),
			"--data", filepath.Join(r.dir, "fleet"), "--no-visits"),
	}, nil
}

// size measures the stripped binary for the smallest supported machine.
func (r *run) size() Row {
	row := Row{Name: "agent-size", What: "agent for arm6, stripped", Unit: "MiB", Wanted: sizeWanted}
	info, err := os.Stat(r.cfg.AgentARM6)
	if err != nil {
		return missing(row, "make cross-arm6 builds it: "+err.Error())
	}
	return limited(row, float64(info.Size())/(1<<20), 1)
}

// memory runs a program for d and divides its resident memory, in bytes, by the
// number of charging points in it.
func memory(ctx context.Context, row Row, d time.Duration, by int, program string, args ...string) Row {
	if _, err := os.Stat(program); err != nil {
		return missing(row, "make build builds it: "+err.Error())
	}
	cmd := exec.Command(program, args...) //nolint:noctx // terminate ends it and waits for it
	if err := cmd.Start(); err != nil {
		return missing(row, err.Error())
	}
	// The agent reaches its steady state within seconds; the rest of the time
	// lets it grow, if it does.
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	bytes, err := resident(cmd.Process.Pid)
	if err := errors.Join(err, terminate(cmd)); err != nil {
		return missing(row, err.Error())
	}
	return limited(row, float64(bytes)/1e6/float64(by), 1)
}

// resident returns the resident memory of a process.
func resident(pid int) (bytes int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(raw)) {
		// The line is "VmRSS: 1234 kB", where kB are KiB.
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc has no memory of process %d; has it ended?", pid)
}

// terminate ends a child process with SIGTERM, after dialTimeout with SIGKILL,
// and waits for it.
func terminate(cmd *exec.Cmd) error {
	// A process that ignores SIGTERM must not outlive the measurement.
	kill := time.AfterFunc(dialTimeout, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", cmd.Process.Pid, err)
	}
	// A process that was ended by a signal has an exit error, which is no failure.
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}
