package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// fault is a kind of fault that is injected into a process. The values are
// printed and are keys of the report's JSON.
type fault string

const (
	faultKill    fault = "killed"    // SIGKILL, and started again
	faultRestart fault = "restarted" // SIGTERM, and started again
	faultFreeze  fault = "frozen"    // SIGSTOP, SIGCONT
	faultCut     fault = "cut off"   // its network connection to an engine is impaired
	faultFull    fault = "disk full" // its disk has no free byte; in half of the cases it is killed meanwhile
)

// kind is the role of a process. The values are printed and are keys of the
// report's JSON.
type kind string

const (
	kindAgent   kind = "agent"
	kindBridge  kind = "bridge"
	kindCentral kind = "central"
	kindMQTT    kind = "mosquitto"
	kindKafka   kind = "kafka"
)

func faults() []fault { return []fault{faultKill, faultRestart, faultFreeze, faultCut, faultFull} }

func kinds() []kind { return []kind{kindAgent, kindBridge, kindCentral, kindMQTT, kindKafka} }

// target is a process into which faults are injected, one at a time.
type target struct {
	// kind and process are what faults hit; point is the charging point of an
	// agent, whose deaths are recorded; nil for other kinds.
	kind    kind
	process *Process
	point   *Point  // of an agent; nil for other kinds
	links   []*link // its connections to engines; none unless proxied
	disk    *disk   // nil: no disk of its own
	health  string  // HOST:PORT of /readyz, of a process with a disk, and
	check   string  // the check there that reports the disk

	busy sync.Mutex // held from the fault until the recovery
}

// targetsOf lists the processes that faults may hit, by kind.
func targetsOf(n *Network) map[kind][]*target {
	all := map[kind][]*target{
		kindBridge: {{kind: kindBridge, process: n.Bridge, links: n.linksOf("bridge")}},
		kindCentral: {{
			kind: kindCentral, process: n.Central, links: n.linksOf("Central"), disk: n.disk, health: n.addr.http, check: "database",
		}},
		kindMQTT:  {{kind: kindMQTT, process: n.MQTT}},
		kindKafka: {{kind: kindKafka, process: n.Kafka}},
	}
	for _, p := range n.Points {
		all[kindAgent] = append(all[kindAgent], &target{
			kind: kindAgent, process: p.Agent, point: p, links: n.linksOf(string(p.ID)), disk: p.disk, health: p.Health, check: "journal",
		})
	}
	return all
}

// action is one fault with its parameters, as draw planned it.
type action struct {
	target   *target
	fault    fault
	duration time.Duration // from injection to healing
	link     *link
	toxic    toxic // of faultCut, with link
	fullDisk *fullDisk
}

// draw plans the next action, and the pause before the one after it. It makes
// the same number of draws whatever they result in, and depends on nothing but
// the generator and the configuration: a seed gives the same plan on every
// machine.
func draw(rng *rand.Rand, all map[kind][]*target, keepAlive time.Duration) (a action, pause time.Duration) {
	// pick returns an index with a probability proportional to its weight.
	pick := func(weights ...int) int {
		sum := 0
		for _, w := range weights {
			sum += w
		}
		at := rng.IntN(sum)
		for i, w := range weights {
			if at -= w; at < 0 {
				return i
			}
		}
		return 0
	}
	between := func(least, most time.Duration) time.Duration { return least + randomDuration(rng, most-least) }
	// Agents are hit most often: there are several, and each has contactors to
	// check.
	of := all[kinds()[pick(45, 18, 18, 11, 8)]]
	a.target = of[rng.IntN(len(of))]
	a.fault = faults()[pick(60, 8, 14, 18, 9)]
	// Most faults are short, as most outages are. One in twelve lasts longer
	// than the MQTT keep-alive, so that last wills are published.
	short, long := between(0, time.Second), between(time.Second, 5*time.Second)
	beyond := between(keepAlive*3/2, keepAlive*2)
	a.duration = []time.Duration{0, short, long, beyond}[pick(20, 45, 27, 8)]
	kindOfToxic, part, upstream, killed := rng.IntN(4), rng.IntN(1<<20), rng.IntN(2) == 0, rng.IntN(2) == 0
	pause = between(200*time.Millisecond, 2400*time.Millisecond)
	if ways := a.target.links; a.fault == faultCut && len(ways) > 0 {
		a.link = ways[part%len(ways)]
		a.toxic = toxicOf(kindOfToxic, upstream)
		a.duration = max(a.duration, time.Second)
	} else if a.fault == faultCut { // an engine has no link of its own: freeze it, which cuts it off from all
		a.fault = faultFreeze
	}
	if a.fault == faultFull && a.target.disk == nil {
		a.fault = faultKill
	} else if a.fault == faultFull {
		a.fullDisk = &fullDisk{target: a.target, killed: killed}
		a.duration = max(a.duration, time.Second)
	}
	if a.fault == faultFreeze {
		a.duration = max(a.duration, 200*time.Millisecond)
	}
	return a, pause
}

func randomDuration(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d)))
}

// toxicOf returns one of four network faults: high latency, resets, 2 KB/s, or
// no data at all.
func toxicOf(n int, upstream bool) toxic {
	t := []toxic{
		{Type: "latency", Attributes: map[string]int{"latency": 800, "jitter": 600}},
		{Type: "reset_peer", Attributes: map[string]int{"timeout": 200}},
		{Type: "bandwidth", Attributes: map[string]int{"rate": 2}}, // KB/s
		{Type: "timeout", Attributes: map[string]int{"timeout": 0}},
	}[n]
	t.Stream = "downstream"
	if upstream {
		t.Stream = "upstream"
	}
	return t
}

// String describes the action for the log.
func (a *action) String() string {
	s := fmt.Sprintf("%s %s for %v", a.target.process.Name, a.fault, a.duration.Round(time.Millisecond))
	if a.link != nil {
		s += fmt.Sprintf(": %s %s, %s", a.link.name, a.toxic.Type, a.toxic.Stream)
	}
	if a.fullDisk != nil && a.fullDisk.killed {
		s += ", killed meanwhile"
	}
	return s
}

// perform injects the fault, waits for its duration, and heals it; when ctx
// ends it heals at once. ErrNotRunning is returned when the process ended by
// itself before.
func (a *action) perform(ctx context.Context) error {
	p := a.target.process
	// How the fault ends; a killed or stopped process is started again.
	heal := func() error { return p.Start(ctx) }
	var err error
	switch a.fault {
	case faultKill:
		err = a.target.kill()
	case faultRestart:
		if !p.Alive() {
			return fmt.Errorf("%s: %w", p.Name, ErrNotRunning)
		}
		err = p.Stop(stopTimeout)
	case faultFreeze:
		heal = p.Thaw
		if a.target.point != nil {
			err = a.target.point.FreezeAgent()
		} else {
			_, err = p.Freeze()
		}
	case faultFull:
		heal = a.target.disk.free
		if err = a.fullDisk.fill(ctx); err != nil { // free the disk whatever happened to the process
			return errors.Join(err, heal())
		}
	case faultCut:
		heal = func() error { return a.link.restore(ctx) }
		err = a.link.addToxic(a.toxic)
	}
	// The process ended by itself between the draw and the fault: monitor
	// reports it.
	if errors.Is(err, ErrNotRunning) {
		return err
	}
	if a.fullDisk != nil {
		err = a.fullDisk.keepFull(ctx, a.duration)
	} else {
		sleep(ctx, a.duration)
	}
	return errors.Join(err, heal())
}

// kill kills the process; of an agent the time is recorded, to check its
// contactor against.
func (t *target) kill() error {
	if t.point != nil {
		return t.point.KillAgent()
	}
	_, err := t.process.Kill()
	return err
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
