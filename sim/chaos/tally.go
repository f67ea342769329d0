package chaos

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carga-ev/carga/sim/driver"
)

// tally counts what happens during a storm. It is safe for concurrent use.
type tally struct {
	mu         sync.Mutex
	faults     map[kind]map[fault]int // mu guards everything
	recovered  map[kind][]time.Duration
	full       int            // disks that were full and whose owner said so
	outcomes   map[string]int // of the drivers' services
	violations []string
}

func newTally() *tally {
	return &tally{faults: map[kind]map[fault]int{}, recovered: map[kind][]time.Duration{}, outcomes: map[string]int{}}
}

func (t *tally) suffered(k kind, f fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.faults[k] == nil {
		t.faults[k] = map[fault]int{}
	}
	t.faults[k][f]++
}

func (t *tally) back(k kind, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recovered[k] = append(t.recovered[k], took)
}

func (t *tally) noticed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full++
}

func (t *tally) served(r driver.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcomes[r.String()]++
}

// violate notes a broken rule, each once.
func (t *tally) violate(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.violations, text) {
		t.violations = append(t.violations, text)
	}
}

// count sums a fault over all kinds.
func (t *tally) count(f fault) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, of := range t.faults {
		n += of[f]
	}
	return n
}

// line is the storm so far, for people.
func (t *tally) line() string {
	kills := t.count(faultKill)
	other := 0
	for _, f := range faults() {
		if f != faultKill {
			other += t.count(f)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d kills, %d other faults, %d tickets told, %d violations",
		kills, other, t.outcomes[driver.Ticket.String()], len(t.violations))
}

// Times are how long something took: so often, half of them and 99 of 100 in at
// most.
type Times struct {
	N   int   `json:"n"`
	P50 int64 `json:"p50_ms"`
	P99 int64 `json:"p99_ms"`
}

func timesOf(list []time.Duration) Times {
	if len(list) == 0 {
		return Times{}
	}
	sorted := slices.Sorted(slices.Values(list))
	at := func(percent int) int64 { return sorted[(len(sorted)-1)*percent/100].Milliseconds() }
	return Times{len(sorted), at(50), at(99)}
}
