package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Shrink removes parts of a failed plan while the same check still fails, and
// returns the smaller plan and its failure. It runs at most runs plans. It tries,
// in this order: steps after the failure, whole kinds of steps, then ranges of
// steps of decreasing size (delta debugging), and last the size of the network. When
// ctx ends it returns what it has.
func Shrink(ctx context.Context, p Plan, o Options, f *ViolationError, runs int) (Plan, *ViolationError) {
	o.Trace = nil
	failure := func(q Plan) *ViolationError {
		// Another check would be another bug: only the same one counts.
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		if runs--; runs < 0 {
			return nil
		}
		if r := Run(q, o); r.Failure != nil && r.Failure.Check == f.Check {
			return r.Failure
		}
		return nil
	}
	keep := func(q Plan) bool {
		if g := failure(q); g != nil {
			p, f = q, g
			return true
		}
		return false
	}
	q := p
	// Later steps cannot be a cause.
	q.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.At > f.At })
	keep(q)
	for _, k := range kindsOf(p) {
		q := p
		q.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Kind == k })
		keep(q)
	}
	for size := len(p.Steps) / 2; size > 0; size /= 2 {
		// A range that could be removed is gone from p, so from stays where it is.
		for from := 0; from < len(p.Steps); {
			q := p
			q.Steps = slices.Delete(slices.Clone(p.Steps), from, min(from+size, len(p.Steps)))
			if !keep(q) {
				from += size
			}
		}
	}
	// A smaller network is easier to read, but its random sources draw differently: this
	// may well not fail.
	for _, change := range []func(*Plan){
		func(q *Plan) { q.Lossy = false },
		func(q *Plan) { q.Partitions = 1 },
		func(q *Plan) { q.CPs = 1 },
		func(q *Plan) { q.Connectors = 1 },
		func(q *Plan) { q.Starts = []time.Duration{0} },
	} {
		q := p
		change(&q)
		keep(q)
	}
	return p, f
}

// kindsOf returns the kinds in a plan, each once.
func kindsOf(p Plan) []Kind {
	var kinds []Kind
	for _, s := range p.Steps {
		if !slices.Contains(kinds, s.Kind) {
			kinds = append(kinds, s.Kind)
		}
	}
	return kinds
}

// Tail runs a plan and returns its last n steps and messages, one per line.
func Tail(p Plan, o Options, n int) []string {
	var lines []string
	o.Trace = func(at time.Duration, tag string, raw []byte) {
		// Timers are too many to be of interest.
		if raw == nil && !strings.HasPrefix(tag, "step ") {
			return
		}
		lines = append(lines, fmt.Sprintf("%s %s %.300s", clock(at), tag, raw))
		if len(lines) > 2*n {
			lines = slices.Delete(lines, 0, n)
		}
	}
	Run(p, o)
	return lines[max(0, len(lines)-n):]
}

// Describe formats a plan for a report.
func (p *Plan) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d charging points with %d connectors, %d partitions, %s until the heal, policy %+v, reservations of %s",
		p.Seed, p.CPs, p.Connectors, p.Partitions, clock(p.For), p.Policy, p.ReservationLife)
	for _, s := range p.Steps {
		b.WriteString("\n  " + s.String())
	}
	return b.String()
}
