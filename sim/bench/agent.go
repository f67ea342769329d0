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
	"time"

	"github.com/carga-ev/carga/sim/engines"
)

const (
	sizeWanted   = 8  // MiB
	memoryWanted = 20 // MB
	fleetPoints  = 100
)

// measureAgent looks at how large the agent is, on disk and in memory.
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
	alone := Row{Name: "agent-memory", What: "agent, resident memory, simulated hardware", Unit: "MB", Wanted: memoryWanted}
	fleet := Row{Name: "fleet-memory", What: fmt.Sprintf("the same, per point in a fleet of %d", fleetPoints), Unit: "MB"}
	return []Row{
		r.size(),
		memory(ctx, alone, budget/2, 1, r.cfg.Agent, "--config", conf),
		memory(ctx, fleet, budget/2, fleetPoints, r.cfg.Sim, "fleet", "--cps", strconv.Itoa(fleetPoints), "--mqtt", broker.URL(),
			"--data", filepath.Join(r.dir, "fleet"), "--nobody-comes"),
	}, nil
}

// size is that of the stripped agent for the smallest machine.
func (r *run) size() Row {
	row := Row{Name: "agent-size", What: "agent for arm6, stripped", Unit: "MiB", Wanted: sizeWanted}
	info, err := os.Stat(r.cfg.AgentARM6)
	if err != nil {
		return missing(row, "make cross-arm6 builds it: "+err.Error())
	}
	return limited(row, float64(info.Size())/(1<<20), 1)
}

// memory runs a program for so long and divides its resident memory.
func memory(ctx context.Context, row Row, d time.Duration, by int, program string, args ...string) Row {
	if _, err := os.Stat(program); err != nil {
		return missing(row, "make build builds it: "+err.Error())
	}
	cmd := exec.Command(program, args...) //nolint:noctx // it is ended by its id, which waits for it
	if err := cmd.Start(); err != nil {
		return missing(row, err.Error())
	}
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

// resident is the memory that a process has in RAM.
func resident(pid int) (bytes int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d is not told; has it ended?", pid)
}
