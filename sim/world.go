package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/carga-ev/carga/internal/buildinfo"
	"github.com/carga-ev/carga/sim/world"
)

// worldOptions are the flags of `sim world`.
type worldOptions struct {
	// seed is that of the run, or of the first of many. It decides everything
	// that happens in a run.
	seed uint64
	// seeds is how many runs with consecutive seeds are performed; 0: by years,
	// or one run.
	seeds uint64
	// years is how many CP-years (one charging point for one year) are
	// simulated at least; 0: by seeds.
	years float64
	// workers is the number of runs at a time. It does not influence results.
	workers int
	// faults are the kinds to inject; nil: those that the seed draws.
	faults []string
	// bug is a known bug that is planted, to test that the checks find it; "":
	// none.
	bug string
	// json prints the summary alone.
	json bool
	// trace prints every event of the one run.
	trace bool
	// shrink limits the runs that are spent on making a failed plan smaller.
	shrink int
	// profile is the file of a CPU profile; "": none.
	profile string
}

// newWorldCommand makes `sim world`.
func newWorldCommand() *cobra.Command {
	o := worldOptions{seed: 1, workers: runtime.GOMAXPROCS(0), shrink: 300}
	c := &cobra.Command{
		Use:   "world",
		Short: "The whole network as a deterministic simulation",
		Long: "Runs the decisions of all parts over simulated connections, brokers and disks in virtual time, with injected faults,\n" +
			"and checks the invariants of the network after every event. The same seed gives the same run, event by event. A run\n" +
			"that breaks an invariant is shrunk while it still does, and printed.",
		Example: "  sim world --seed 42\n  sim world --seeds 200\n  sim world --cp-years 1 --json",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.Uint64Var(&o.seed, "seed", o.seed, "the run, or the first one of many")
	f.Uint64Var(&o.seeds, "seeds", 0, "how many runs, one for each seed from the first on")
	f.Float64Var(&o.years, "cp-years", 0, "run ordinary days, every eighth seed, until so many years of charging points are simulated")
	f.IntVar(&o.workers, "workers", o.workers, "runs at a time")
	f.StringSliceVar(&o.faults, "faults", nil, "inject only these `kinds` of faults; default: a few of all, drawn by the seed")
	f.StringVar(&o.bug, "bug", "", "plant a known bug; only in a build with the tag planted")
	f.BoolVar(&o.json, "json", false, "print nothing but the summary, as one JSON object")
	f.BoolVar(&o.trace, "trace", false, "print every event of the one run")
	f.IntVar(&o.shrink, "shrink", o.shrink, "how many runs may be spent on shrinking a failed one")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to `FILE`")
	c.RunE = action(o.run)
	return c
}

// worldSummary is the result of one or many runs. Its JSON is the one object
// that --json prints.
type worldSummary struct {
	// Commit is the version of this program: a seed repeats a run of the same
	// version only.
	Commit string `json:"commit"`
	// First is the first seed; the others follow from it and from Runs.
	First uint64 `json:"first_seed"`
	Runs  int    `json:"runs"`
	// CPDays and CPYears are simulated time, times charging points.
	CPDays  float64 `json:"cp_days"`
	CPYears float64 `json:"cp_years"`
	// Events is the number of events that the runs processed.
	Events int64 `json:"events"`
	// Seconds is real time, PerCore the simulated CP-days per second of it and
	// worker.
	Seconds float64 `json:"seconds"`
	PerCore float64 `json:"cp_days_per_second_and_worker"`
	// Failures are the runs that broke an invariant, by seed.
	Failures []worldFailure `json:"failures"`
	// Hash covers all runs: the same seeds of the same version give the same
	// hash.
	Hash string `json:"hash"`
	// Stats are sums over all runs.
	Stats world.Stats `json:"stats"`
}

// worldFailure is a run that broke an invariant.
type worldFailure struct {
	Seed  uint64 `json:"seed"`
	Check string `json:"check"`
	What  string `json:"what"`
	At    string `json:"at"`
}

// run performs the runs and prints a summary. The exit code is 1 if an
// invariant was broken; then the first failed run is shrunk and explained.
func (o *worldOptions) run(ctx context.Context, c *cobra.Command, _ []string) (err error) {
	kinds, err := o.kinds()
	if err != nil {
		return fail(exitUsage, err)
	}
	if o.workers < 1 {
		return fail(exitUsage, errors.New("--workers: use 1 or more"))
	}
	// A planted bug exists only in a build with the tag: --bug without it must
	// not pass silently.
	opts := world.Options{Bug: world.Bug(o.bug)}
	if o.bug != "" && !world.Planted() {
		return fail(exitUsage, errors.New("--bug needs a build with -tags planted"))
	}
	end, err := startProfile(o.profile)
	if err != nil {
		return fail(exitUsage, err)
	}
	defer end(&err)
	debug.SetGCPercent(400) // runs are short: less garbage collection is worth the memory
	if o.seeds == 0 && o.years == 0 {
		return o.one(ctx, c.OutOrStdout(), kinds, opts)
	}
	sum := o.many(ctx, c, kinds, opts)
	if o.json {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(sum); err != nil {
			return err
		}
	} else {
		sum.print(c.OutOrStdout())
	}
	// An interruption is an error only if no run failed.
	if len(sum.Failures) == 0 {
		return ctx.Err()
	}
	if !o.json {
		o.explain(ctx, c.OutOrStdout(), world.Draw(sum.Failures[0].Seed, kinds), opts)
	}
	return fail(exitFailed, nil)
}

// kinds returns the kinds of --faults; nil if the flag is not given.
func (o *worldOptions) kinds() ([]world.Kind, error) {
	if o.faults == nil {
		return nil, nil
	}
	kinds := []world.Kind{}
	for _, name := range o.faults {
		if !slices.Contains(world.Faults(), world.Kind(name)) {
			return nil, fmt.Errorf("--faults: %q is none of %v", name, world.Faults())
		}
		kinds = append(kinds, world.Kind(name))
	}
	return kinds, nil
}

// one performs a single run, in full.
func (o *worldOptions) one(ctx context.Context, out io.Writer, kinds []world.Kind, opts world.Options) error {
	p := world.Draw(o.seed, kinds)
	// The trace is for one run only; shrinking runs without it.
	if o.trace {
		opts.Trace = func(at time.Duration, tag string, raw []byte) { _, _ = fmt.Fprintf(out, "%s %s %s\n", at, tag, raw) }
	}
	r := world.Run(p, opts)
	opts.Trace = nil
	if o.json {
		sum := worldSummary{Commit: buildinfo.Version(), First: o.seed, Runs: 1, CPDays: r.CPDays, Events: r.Events, Hash: fmt.Sprintf("%016x", r.Sum), Stats: r.Stats}
		if r.Failure != nil {
			sum.Failures = append(sum.Failures, failureOf(o.seed, r.Failure))
		}
		if err := json.NewEncoder(out).Encode(sum); err != nil {
			return err
		}
	} else {
		_, _ = fmt.Fprintf(out, "seed %d, commit %s: %d events in %.2f CP-days, %d sessions, %d tickets, hash %016x\n",
			o.seed, buildinfo.Version(), r.Events, r.CPDays, r.Stats.Sessions, r.Stats.Tickets, r.Sum)
	}
	if r.Failure == nil {
		return nil
	}
	if !o.json {
		o.explain(ctx, out, p, opts)
	}
	return fail(exitFailed, nil)
}

// explain shrinks a failed run, and prints its plan and its last events.
func (o *worldOptions) explain(ctx context.Context, out io.Writer, p world.Plan, opts world.Options) {
	r := world.Run(p, opts)
	if r.Failure == nil {
		return
	}
	_, _ = fmt.Fprintf(out, "\nFAILED %v\nseed %d, commit %s; making it smaller …\n", r.Failure, p.Seed, buildinfo.Version())
	// The smaller plan still breaks the same check.
	small, f := world.Shrink(ctx, p, opts, r.Failure, o.shrink)
	_, _ = fmt.Fprintf(out, "\n%s\n\nthe last events:\n", small.Describe())
	for _, line := range world.Tail(small, opts, 40) {
		_, _ = fmt.Fprintln(out, "  "+line)
	}
	_, _ = fmt.Fprintf(out, "\n%v\nto repeat: sim world --seed %d\n", f, p.Seed)
}

// failureOf returns the summary of a broken invariant: its first line.
func failureOf(seed uint64, f *world.ViolationError) worldFailure {
	// The rest of the text is for explain.
	what, _, _ := strings.Cut(f.What, "\n")
	return worldFailure{seed, f.Check, what, f.At.String()}
}

// many performs runs with consecutive seeds on all workers, and prints
// progress. It stops early when ctx ends.
func (o *worldOptions) many(ctx context.Context, c *cobra.Command, kinds []world.Kind, opts world.Options) *worldSummary {
	sum := &worldSummary{Commit: buildinfo.Version(), First: o.seed, Failures: []worldFailure{}}
	var mu sync.Mutex // guards sum, next and hash
	// Every OrdinaryEvery-th seed is an ordinary life, which lasts days; all
	// others last hours, and would take much longer to fill years.
	next, step, hash, began := o.seed, uint64(1), uint64(0), time.Now()
	if o.years > 0 {
		step = world.OrdinaryEvery
		next += (step - next%step) % step
		sum.First = next
	}
	// more returns the next seed to run; false when there is none.
	more := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || o.seeds > 0 && next >= o.seed+o.seeds || o.years > 0 && sum.CPDays >= o.years*365 {
			return 0, false
		}
		next += step
		return next - step, true
	}
	var working sync.WaitGroup
	for range o.workers {
		working.Go(func() {
			for seed, ok := more(); ok; seed, ok = more() {
				r := world.Run(world.Draw(seed, kinds), opts)
				mu.Lock()
				if sum.add(seed, &r); r.Failure != nil {
					_, _ = fmt.Fprintf(c.ErrOrStderr(), "FAILED seed %d: %v\n", seed, r.Failure)
				}
				// XOR does not depend on the order in which the workers end.
				hash ^= (r.Sum ^ seed) * 0x9e3779b97f4a7c15
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		working.Wait()
		close(done)
	}()
	// Progress goes to stderr, so that --json prints one object.
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for working := true; working; {
		select {
		case <-done:
			working = false
		case <-tick.C:
			mu.Lock()
			_, _ = fmt.Fprintf(c.ErrOrStderr(), "%4.0f s: %d runs, %.1f CP-days (%.3f CP-years), %d events, %d failed\n",
				time.Since(began).Seconds(), sum.Runs, sum.CPDays, sum.CPDays/365, sum.Events, len(sum.Failures))
			mu.Unlock()
		}
	}
	// Workers finish in any order; the summary does not depend on it.
	slices.SortFunc(sum.Failures, func(a, b worldFailure) int { return int(int64(a.Seed) - int64(b.Seed)) })
	sum.Seconds = time.Since(began).Seconds()
	sum.CPYears, sum.PerCore = sum.CPDays/365, sum.CPDays/sum.Seconds/float64(o.workers)
	sum.Hash = fmt.Sprintf("%016x", hash)
	return sum
}

// add adds a run to the sums.
func (s *worldSummary) add(seed uint64, r *world.Result) {
	s.Runs++
	s.CPDays += r.CPDays
	s.Events += r.Events
	s.Stats.Add(&r.Stats)
	if r.Failure != nil {
		s.Failures = append(s.Failures, failureOf(seed, r.Failure))
	}
}

// print prints the summary for people.
func (s *worldSummary) print(out io.Writer) {
	t := &s.Stats
	_, _ = fmt.Fprintf(out, "%d runs from seed %d at commit %s: %.1f CP-days (%.3f CP-years) in %.0f s, %.1f CP-days per second and worker, hash %s\n",
		s.Runs, s.First, s.Commit, s.CPDays, s.CPYears, s.Seconds, s.PerCore, s.Hash)
	_, _ = fmt.Fprintf(out, "%d events; %d records written, %d applied, %d duplicates, %d early; %d sessions, %d tickets, %d Wh billed, %d Wh shown\n",
		s.Events, t.Records, t.Applied, t.Duplicates, t.OutOfOrder, t.Sessions, t.Tickets, t.BilledWh, t.UnaccountedWh)
	_, _ = fmt.Fprintf(out, "messages: %d lost, %d doubled, %d reordered; calls without an answer %d; kills %d, power cuts %d, agents that gave up %d\n",
		t.Lost, t.Duplicated, t.Reordered, t.Unanswered, t.Kills, t.PowerCuts, t.AgentFailures)
	for _, k := range slices.Sorted(maps.Keys(t.Faults)) {
		_, _ = fmt.Fprintf(out, "  %-32s %d\n", k, t.Faults[k])
	}
	for _, f := range s.Failures {
		_, _ = fmt.Fprintf(out, "FAILED seed %d: %s at %s: %s\n", f.Seed, f.Check, f.At, f.What)
	}
}
