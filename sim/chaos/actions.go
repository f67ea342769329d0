package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// fault is what is done to a part or an engine.
type fault string

const (
	faultKill    fault = "killed"    // SIGKILL, and started again
	faultRestart fault = "restarted" // SIGTERM, and started again
	faultFreeze  fault = "frozen"    // SIGSTOP, SIGCONT
	faultCut     fault = "cut off"   // the network between it and an engine
	faultFull    fault = "disk full" // and killed on it, sometimes
)

// kind is a kind of what faults happen to.
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

// target is one process that faults happen to, one at a time.
type target struct {
	kind    kind
	process *Process
	point   *Point // of an agent
	links   []*link
	disk    *disk  // nil: it has none of its own
	health  string // where a part with a disk shows itself, and
	check   string // the check of it that tells of the disk

	busy sync.Mutex // held while it suffers and recovers
}

// targetsOf lists everything that may suffer.
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

// action is a fault that was drawn.
type action struct {
	target   *target
	fault    fault
	duration time.Duration // how long it lasts
	link     *link
	toxic    toxic
	fullDisk *fullDisk
}

// draw draws the next action and the pause before the one after it. It uses the
// same number of draws whatever comes out, and looks at nothing that depends on
// time, so that a seed means the same plan.
func draw(rng *rand.Rand, all map[kind][]*target, keepAlive time.Duration) (a action, pause time.Duration) {
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
	of := all[kinds()[pick(45, 18, 18, 11, 8)]]
	a.target = of[rng.IntN(len(of))]
	a.fault = faults()[pick(60, 8, 14, 18, 9)]
	short, long := between(0, time.Second), between(time.Second, 5*time.Second)
	beyond := between(keepAlive*3/2, keepAlive*2)
	a.duration = []time.Duration{0, short, long, beyond}[pick(20, 45, 27, 8)]
	kindOfToxic, part, upstream, killed := rng.IntN(4), rng.IntN(1<<20), rng.IntN(2) == 0, rng.IntN(2) == 0
	pause = between(200*time.Millisecond, 2400*time.Millisecond)
	if ways := a.target.links; a.fault == faultCut && len(ways) > 0 {
		a.link = ways[part%len(ways)]
		a.toxic = toxicOf(kindOfToxic, upstream)
		a.duration = max(a.duration, time.Second)
	} else if a.fault == faultCut { // an engine: cut off is frozen for everybody
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

// toxicOf is one of the ways in which a network is bad.
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

// String says what happens, for the log.
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

// perform does it, holds it, and heals, at once when ctx ends.
func (a *action) perform(ctx context.Context) error {
	p := a.target.process
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
		if err = a.fullDisk.fill(ctx); err != nil { // the disk is full, or its part dead
			return errors.Join(err, heal())
		}
	case faultCut:
		heal = func() error { return a.link.restore(ctx) }
		err = a.link.addToxic(a.toxic)
	}
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

// kill kills the process, and keeps when where it is an agent.
func (t *target) kill() error {
	if t.point != nil {
		return t.point.KillAgent()
	}
	_, err := t.process.Kill()
	return err
}

// sleep waits, no longer than ctx lives.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
