package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/carga-ev/carga/internal/buildinfo"
)

// Report is the result of a run. Its JSON is the one object that --json prints.
type Report struct {
	// Version is the version of this program, Command its command line.
	Version string `json:"version"`
	Command string `json:"command,omitempty"`

	Seed   uint64 `json:"seed"`
	ForS   int64  `json:"for_s"`
	Points int    `json:"points"`
	Kills  int    `json:"kills"`
	// Faults counts the injected faults, by process kind and fault.
	Faults map[string]map[string]int `json:"faults"`
	// Toxics counts the network faults, by type.
	Toxics map[string]int `json:"toxics"`
	// Noticed is the number of full disks that the process reported in /readyz.
	// It may be fewer than there were: an agent first deletes acknowledged
	// records, and a database may have free pages in its log.
	Noticed int `json:"full_disks_noticed"`
	// NoDisks is the reason why no disk was filled; empty if disks were filled.
	NoDisks string `json:"no_full_disks,omitempty"`
	// Recovery is, by process kind, the time from the end of a fault until
	// Central receives a record from the charging point again, or through the
	// process from any charging point.
	Recovery map[string]Times `json:"recovery"`
	// RecoveryFrom is the same by fault.
	RecoveryFrom map[string]Times `json:"recovery_from"`
	// Services counts the drivers' services by their result.
	Services map[string]int `json:"services"`
	Account
	Lost   int64 `json:"lost"`
	DrainS int64 `json:"drain_s"` // from the last healing until the network was at rest
	// Dir is the folder of journals, database and logs; empty once it was
	// removed.
	Dir string `json:"dir,omitempty"`
}

// OK reports whether no rule was broken and no record lost.
func (r *Report) OK() bool { return len(r.Violations) == 0 && r.Lost == 0 }

// report combines the counts with the result of the reconciliation.
func (t *tally) report(p *Plan, a Account, drained time.Duration) Report {
	kills := t.count(faultKill)
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{
		Version: buildinfo.Version(), Seed: p.Network.Seed, ForS: int64(p.For.Seconds()), Points: p.Network.Points, Kills: kills,
		Faults: map[string]map[string]int{}, Toxics: maps.Clone(t.toxics), Recovery: map[string]Times{}, RecoveryFrom: map[string]Times{},
		Noticed: t.noticedFull, Services: maps.Clone(t.outcomes), Account: a, Lost: a.Lost(), DrainS: int64(drained.Seconds()), Dir: p.Network.Dir,
	}
	// First what was observed during the run, then what the reconciliation
	// found.
	r.Violations = append(append([]string{}, t.violations...), a.Violations...)
	for _, k := range kinds() {
		r.Faults[string(k)] = map[string]int{}
		for f, n := range t.faults[k] {
			r.Faults[string(k)][string(f)] = n
		}
		r.Recovery[string(k)] = t.times(func(r recovery) bool { return r.kind == k })
	}
	for _, f := range faults() {
		r.RecoveryFrom[string(f)] = t.times(func(r recovery) bool { return r.fault == f })
	}
	return r
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	if r.Command != "" {
		_, _ = fmt.Fprintf(w, "  %s\n", r.Command)
	}
	_, _ = fmt.Fprintf(w, "  version %s, seed %d, %d s\n", r.Version, r.Seed, r.ForS)
	r.printFaults(w)
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

// printFaults writes a table of the faults of each process kind, and the
// recovery times by process kind and by fault.
func (r *Report) printFaults(w io.Writer) {
	all := map[string]int{}
	_, _ = fmt.Fprintf(w, "  %-10s", "")
	for _, f := range faults() {
		_, _ = fmt.Fprintf(w, " %10s", f)
	}
	_, _ = fmt.Fprintln(w, "   back after p50 / p99")
	for _, k := range kinds() {
		_, _ = fmt.Fprintf(w, "  %-10s", k)
		for _, f := range faults() {
			n := r.Faults[string(k)][string(f)]
			all[string(f)] += n
			_, _ = fmt.Fprintf(w, " %10d", n)
		}
		_, _ = fmt.Fprintf(w, "   %s\n", r.Recovery[string(k)])
	}
	for _, f := range faults() {
		_, _ = fmt.Fprintf(w, "  %-10s %10d   back after %s%s\n", f, all[string(f)], r.RecoveryFrom[string(f)], r.detail(f))
	}
	if r.NoDisks != "" {
		_, _ = fmt.Fprintf(w, "  !! no disk was full: %s\n", r.NoDisks)
	}
}

// detail adds to a fault its types, or how often it was noticed.
func (r *Report) detail(f fault) (s string) {
	switch f {
	case faultCut:
		for _, t := range slices.Sorted(maps.Keys(r.Toxics)) {
			s += fmt.Sprintf(", %d by %s", r.Toxics[t], t)
		}
	case faultFull:
		s = fmt.Sprintf(", %d noticed by the part", r.Noticed)
	case faultKill, faultRestart, faultFreeze:
	}
	return s
}
