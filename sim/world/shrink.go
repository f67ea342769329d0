package world

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Shrink leaves parts out of a plan that failed while it still fails the same
// check, and returns what is left and how that fails. It runs the plan at most
// so many times.
func Shrink(p Plan, o Options, f *ViolationError, runs int) (Plan, *ViolationError) {
	o.Trace = nil
	fails := func(q Plan) *ViolationError {
		if runs--; runs < 0 {
			return nil
		}
		if r := Run(q, o); r.Failure != nil && r.Failure.Check == f.Check {
			return r.Failure
		}
		return nil
	}
	keep := func(q Plan) bool {
		if g := fails(q); g != nil {
			p, f = q, g
			return true
		}
		return false
	}
	q := p
	q.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.At > f.At })
	keep(q)
	for _, k := range kindsOf(p) {
		q := p
		q.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Kind == k })
		keep(q)
	}
	for size := len(p.Steps) / 2; size > 0; size /= 2 {
		for from := 0; from < len(p.Steps); {
			q := p
			q.Steps = slices.Delete(slices.Clone(p.Steps), from, min(from+size, len(p.Steps)))
			if !keep(q) {
				from += size
			}
		}
	}
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

func kindsOf(p Plan) []Kind {
	var kinds []Kind
	for _, s := range p.Steps {
		if !slices.Contains(kinds, s.Kind) {
			kinds = append(kinds, s.Kind)
		}
	}
	return kinds
}

// Tail runs a plan and returns the last things that happened, in words.
func Tail(p Plan, o Options, n int) []string {
	var lines []string
	o.Trace = func(at time.Duration, tag string, raw []byte) {
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

// Describe is a plan in words.
func (p *Plan) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d charging points with %d connectors, %d partitions, %s until the heal, policy %+v, reservations of %s",
		p.Seed, p.CPs, p.Connectors, p.Partitions, clock(p.For), p.Policy, p.ReservationLife)
	for _, s := range p.Steps {
		b.WriteString("\n  " + s.String())
	}
	return b.String()
}
