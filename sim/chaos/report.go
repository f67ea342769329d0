package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Report is what a storm came to. Its JSON is the one object of --json.
type Report struct {
	Seed   uint64 `json:"seed"`
	ForS   int64  `json:"for_s"`
	Points int    `json:"points"`
	Kills  int    `json:"kills"`
	// Faults counts by part and by what was done to it.
	Faults map[string]map[string]int `json:"faults"`
	// Noticed is of how many full disks the part said so. What an agent may delete
	// counts as room, and a database may have some left in its log.
	Noticed int `json:"full_disks_noticed"`
	// NoDisks says why no disk was full; empty where they were.
	NoDisks string `json:"no_full_disks,omitempty"`
	// Recovery is, by part, the time from its healing until Central hears from
	// it again, or through it from a charging point.
	Recovery map[string]Times `json:"recovery"`
	// Services counts those of the drivers, by how they ended for them.
	Services map[string]int `json:"services"`
	Account
	Lost   int64 `json:"lost"`
	DrainS int64 `json:"drain_s"` // from the healing until all was at rest
	// Dir keeps journals, database and logs; empty once it was removed.
	Dir string `json:"dir,omitempty"`
}

// OK reports whether no rule was broken.
func (r *Report) OK() bool { return len(r.Violations) == 0 && r.Lost == 0 }

// report puts together what was counted and what the reconciliation found.
func (t *tally) report(p *Plan, a Account, drained time.Duration) Report {
	kills := t.count(faultKill)
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{
		Seed: p.Network.Seed, ForS: int64(p.For.Seconds()), Points: p.Network.Points, Kills: kills, Faults: map[string]map[string]int{},
		Recovery: map[string]Times{}, Noticed: t.full, Services: maps.Clone(t.outcomes), Account: a, Lost: a.Lost(),
		DrainS: int64(drained.Seconds()), Dir: p.Network.Dir,
	}
	r.Violations = append(append([]string{}, t.violations...), a.Violations...)
	for _, k := range kinds() {
		r.Faults[string(k)] = map[string]int{}
		for f, n := range t.faults[k] {
			r.Faults[string(k)][string(f)] = n
		}
		r.Recovery[string(k)] = timesOf(t.recovered[k])
	}
	return r
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "  %-10s", "")
	for _, f := range faults() {
		_, _ = fmt.Fprintf(w, " %10s", f)
	}
	_, _ = fmt.Fprintln(w, "   back after p50 / p99")
	for _, k := range kinds() {
		_, _ = fmt.Fprintf(w, "  %-10s", k)
		for _, f := range faults() {
			_, _ = fmt.Fprintf(w, " %10d", r.Faults[string(k)][string(f)])
		}
		t := r.Recovery[string(k)]
		_, _ = fmt.Fprintf(w, "   %.1f s / %.1f s of %d\n", float64(t.P50)/1000, float64(t.P99)/1000, t.N)
	}
	if r.NoDisks != "" {
		_, _ = fmt.Fprintf(w, "  !! no disk was full: %s\n", r.NoDisks)
	} else {
		_, _ = fmt.Fprintf(w, "  full disks %d noticed by their owner\n", r.Noticed)
	}
	_, _ = fmt.Fprintf(w, "  records    %d journalled, %d applied, %d delivered again: lost %d\n", r.Journalled, r.Applied, r.Duplicates, r.Lost)
	_, _ = fmt.Fprintf(w, "  sessions   %d, tickets %d\n", r.Sessions, r.Tickets)
	_, _ = fmt.Fprint(w, "  drivers   ")
	for _, o := range slices.Sorted(maps.Keys(r.Services)) {
		_, _ = fmt.Fprintf(w, " %s %d", o, r.Services[o])
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintf(w, "  energy     %s kWh metered = %s billed + %s unaccounted\n", r.Metered.KWh(), r.Billed.KWh(), r.Unaccounted.KWh())
	_, _ = fmt.Fprintf(w, "  at rest    %d s after the last fault was healed\n", r.DrainS)
	if len(r.Violations) == 0 {
		_, _ = fmt.Fprintln(w, "  violations 0")
		return
	}
	_, _ = fmt.Fprintf(w, "  VIOLATIONS %d, seed %d, everything is kept in %s\n", len(r.Violations), r.Seed, r.Dir)
	for _, v := range r.Violations {
		_, _ = fmt.Fprintf(w, "    %s\n", v)
	}
}
