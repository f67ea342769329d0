package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Targets of the time from a charging point to Central and back.
const (
	ackP50Wanted = 50  // ms
	ackP99Wanted = 100 // ms
	// perToggle is the number of records when a vehicle is plugged or
	// unplugged: plugged_in or unplugged, and the status.
	perToggle = 2
)

// measureLatency plugs and unplugs vehicles at many charging points, and
// measures for each record the time from the agent's fsync until Central's
// acknowledgement is at the agent.
func measureLatency(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.startNetwork(ctx, r.cfg.Points, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	// A warm-up fills caches and creates topics; the rest of the budget is for
	// the last acknowledgements.
	warm, measured := budget*15/100, budget*60/100
	if err := n.traffic(ctx, r.cfg.Rate, warm); err != nil {
		return nil, err
	}
	for _, p := range n.points {
		p.watch.reset()
	}
	// The CPU time covers the whole network, which runs in this process, and
	// its clients.
	begin, computed := time.Now(), cpuTime()
	if err := n.traffic(ctx, r.cfg.Rate, measured); err != nil {
		return nil, err
	}
	elapsed := time.Since(begin)
	computed = cpuTime() - computed
	// Records whose acknowledgement is late are waited for: without them the
	// percentiles would be too good.
	rest, cancel := context.WithTimeout(ctx, budget/10+stallTimeout)
	defer cancel()
	late := n.awaitAll(rest)
	var all []time.Duration
	written, waiting := 0, 0
	for _, p := range n.points {
		t, w, left := p.watch.results()
		all = append(all, t...)
		written, waiting = written+w, waiting+left
	}
	note := fmt.Sprintf("%.0f events/s of %d charging points; p90 %s ms, max %s ms", perSecond(written, elapsed), len(n.points),
		amount(milliseconds(percentile(all, 90))), amount(milliseconds(percentile(all, 100))))
	if !r.real {
		note += fmt.Sprintf("; the whole network uses %s of a CPU", amount(computed.Seconds()/elapsed.Seconds()))
	}
	if late != nil {
		note += fmt.Sprintf("; %d not acknowledged at the end", waiting)
	}
	// Percentiles over the records of all charging points.
	row := func(name string, p float64, wanted float64) Row {
		return limited(Row{
			Name: "latency-" + name, What: "agent's fsync → Central's ack at the agent, " + name, Unit: "ms", Wanted: wanted,
		}, milliseconds(percentile(all, p)), len(all))
	}
	rows = []Row{row("p50", 50, ackP50Wanted), row("p99", 99, ackP99Wanted)}
	rows[1].Note = note
	return rows, nil
}

// traffic plugs and unplugs, at one charging point after the other, so that
// about rate events per second occur, for d.
func (n *network) traffic(ctx context.Context, rate int, d time.Duration) error {
	const beat = 5 * time.Millisecond
	tick := time.NewTicker(beat)
	defer tick.Stop()
	begin := time.Now()
	done := 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		passed := time.Since(begin)
		// What is due by now, at once: the rate holds even if a tick is late.
		for due := int(passed.Seconds() * float64(rate) / perToggle); done < due; done++ {
			if err := n.points[done%len(n.points)].toggle(); err != nil {
				return err
			}
		}
		if passed >= d {
			return nil
		}
	}
}
