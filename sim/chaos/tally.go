package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/sim/driver"
)

// tally counts the events of a run. It is safe for concurrent use.
type tally struct {
	mu          sync.Mutex
	faults      map[kind]map[fault]int // mu guards everything
	toxics      map[string]int         // network faults, by type
	recovered   []recovery             // measured recovery times
	noticedFull int                    // full disks that their process reported
	outcomes    map[string]int         // of the drivers' services
	violations  []string
}

// recovery is the recovery time of one fault; recoveryLimit stands for any
// longer time.
type recovery struct {
	kind     kind
	fault    fault
	duration time.Duration
}

func newTally() *tally {
	return &tally{faults: map[kind]map[fault]int{}, toxics: map[string]int{}, outcomes: map[string]int{}}
}

// countAction counts an action. One that kills the process on a full disk
// counts as both faults.
func (t *tally) countAction(a *action) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.faults[a.target.kind]
	if of == nil {
		of = map[fault]int{}
		t.faults[a.target.kind] = of
	}
	of[a.fault]++
	if a.link != nil {
		t.toxics[a.toxic.Type]++
	}
	if a.fullDisk != nil && a.fullDisk.killed {
		of[faultKill]++
	}
}

func (t *tally) countRecovery(a *action, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recovered = append(t.recovered, recovery{a.target.kind, a.fault, took})
}

// times summarizes the recoveries that of selects. The caller holds mu.
func (t *tally) times(of func(recovery) bool) Times {
	var list []time.Duration
	for _, r := range t.recovered {
		if of(r) {
			list = append(list, r.duration)
		}
	}
	return timesOf(list)
}

func (t *tally) countNoticed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noticedFull++
}

func (t *tally) countService(r driver.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcomes[r.String()]++
}

// violate records a broken rule, each text once.
func (t *tally) violate(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.violations, text) {
		t.violations = append(t.violations, text)
	}
}

// count returns how often a fault happened to any process.
func (t *tally) count(f fault) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, of := range t.faults {
		n += of[f]
	}
	return n
}

// progress summarizes the run so far in a line.
func (t *tally) progress() string {
	kills := t.count(faultKill)
	other := 0
	for _, f := range faults() {
		if f != faultKill {
			other += t.count(f)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d kills, %d other faults, %d tickets received, %d violations",
		kills, other, t.outcomes[driver.Ticket.String()], len(t.violations))
}

// Times summarizes durations: their number, the median and the 99th percentile,
// in milliseconds. A duration of recoveryLimit or more counts as recoveryLimit,
// and in Late.
type Times struct {
	N    int   `json:"n"`
	P50  int64 `json:"p50_ms"`
	P99  int64 `json:"p99_ms"`
	Late int   `json:"late,omitempty"`
}

// String returns "p50 / p99 of n", in seconds.
func (t Times) String() string {
	s := fmt.Sprintf("%.1f s / %.1f s of %d", float64(t.P50)/1000, float64(t.P99)/1000, t.N)
	if t.Late > 0 {
		s += fmt.Sprintf(", %d longer than %v", t.Late, recoveryLimit)
	}
	return s
}

// timesOf summarizes durations.
func timesOf(list []time.Duration) Times {
	if len(list) == 0 {
		return Times{}
	}
	sorted := slices.Sorted(slices.Values(list))
	// Nearest rank on the sorted values.
	at := func(percent int) int64 { return sorted[(len(sorted)-1)*percent/100].Milliseconds() }
	late := 0
	for _, d := range sorted {
		if d >= recoveryLimit {
			late++
		}
	}
	return Times{len(sorted), at(50), at(99), late}
}
