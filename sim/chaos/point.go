package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/hal/sim/board"
	"github.com/carga-ev/carga/internal/charge"
)

// Point is one charging point: a board, which no fault hits, and its agent. Its
// methods are safe for concurrent use.
type Point struct {
	ID      charge.CPID
	Board   *Process
	Agent   *Process
	Journal string // the agent's data folder
	Health  string // HOST:PORT of the agent's health and metrics

	journalCopy string // folder of copyJournal
	disk        *disk  // of the journal; nil without disks
	socket      string
	initial     sim.Snapshot // of the board before the agent's first start

	mu     sync.Mutex
	deaths []agentDeath // mu guards it
}

// agentDeath is a moment from which an agent did nothing.
type agentDeath struct {
	at    time.Time
	cause string
}

// traceSize is how many switchings of contacts a board records: more than occur
// in any run. A trace that lost some is an error of Reconcile.
const traceSize = 1 << 16

// RaisePriority runs a program that stands for hardware before the others, where
// that is allowed: it must not wait for a CPU behind what it supervises.
func RaisePriority(p *Process) {
	if nice, err := exec.LookPath("nice"); err == nil && os.Geteuid() == 0 {
		p.Path, p.Args = nice, append([]string{"-n", "-15", p.Path}, p.Args...)
	}
}

// pointName returns the id of charging point number n, from 1.
func pointName(number int) string { return fmt.Sprintf("CP_%03d", number) }

// newPoint prepares a charging point whose agent connects to the broker at mqtt
// and serves health at HOST:PORT.
func (n *Network) newPoint(number int, mqtt, health string) *Point {
	id := pointName(number)
	p := &Point{
		ID: charge.CPID(id), Journal: filepath.Join(n.cfg.Dir, "agents", id), Health: health,
		journalCopy: filepath.Join(n.cfg.Dir, "kept", id), socket: filepath.Join(n.cfg.Dir, id+".sock"),
	}
	// The seed is different for each charging point, and the same in each run
	// with the network's seed.
	p.Board = n.program("board-"+id, "sim", "", nil,
		"board", "--socket", p.socket, "--connectors", strconv.Itoa(n.cfg.Connectors), "--power", strconv.FormatInt(int64(n.cfg.Power), 10),
		"--serial", "sim-"+id, "--seed", strconv.FormatUint(n.cfg.Seed+uint64(number)<<32, 10), "--trace", strconv.Itoa(traceSize))
	RaisePriority(p.Board)
	// Frequent meter records: the energy between the last one and a kill is
	// what a resumed session must not lose.
	p.Agent = n.program("agent-"+id, "agent", "CARGA_AGENT_", map[string]string{
		"CP_ID": id, "DATA_DIR": p.Journal, "MQTT__URL": "tcp://" + mqtt, "MQTT__KEEP_ALIVE": n.cfg.KeepAlive.String(),
		"HARDWARE__KIND": "board", "HARDWARE__BOARD__SOCKET": p.socket, "POLICIES__RESUME": strconv.FormatBool(n.cfg.Resume),
		"INTERVALS__METER_READ": "1s", "INTERVALS__METER_READ_WH": "10", "OBSERVE__LISTEN": health,
	})
	return p
}

// KillAgent kills the agent and records when, for the check of its contactors.
func (p *Point) KillAgent() error {
	at, err := p.Agent.Kill()
	p.recordDeath(err, agentDeath{at, "killed"})
	return err
}

// FreezeAgent suspends the agent. Its keeper must open the contactors as if it
// were dead.
func (p *Point) FreezeAgent() error {
	at, err := p.Agent.Freeze()
	p.recordDeath(err, agentDeath{at, "frozen"})
	return err
}

// DiedBefore records that the agent had ended by itself, at a crash point,
// before a moment.
func (p *Point) DiedBefore(at time.Time) { p.recordDeath(nil, agentDeath{at, "killed by itself"}) }

// recordDeath records a death unless the signal failed.
func (p *Point) recordDeath(err error, d agentDeath) {
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaths = append(p.deaths, d)
}

// agentDeaths are all deaths of the agent.
func (p *Point) agentDeaths() []agentDeath {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]agentDeath(nil), p.deaths...)
}

// Controls operates the board from outside: plugs vehicles, injects and repairs
// faults.
func (p *Point) Controls() board.Simulator { return board.NewSimulator(board.Unix(p.socket)) }

// Inspect returns the true state of the board: contacts, registers, trace.
func (p *Point) Inspect(ctx context.Context) (sim.Snapshot, error) {
	return board.Inspect(ctx, board.Unix(p.socket))
}

// boardTimeout limits the wait for a board after its start.
const boardTimeout = 20 * time.Second

// readInitial waits for the board and records its state before the agent's
// first start.
func (p *Point) readInitial(ctx context.Context) error {
	return Await(ctx, boardTimeout, func(ctx context.Context) (err error) {
		p.initial, err = p.Inspect(ctx)
		return err
	})
}
