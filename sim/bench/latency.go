package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What is wanted of the way from a charging point to Central and back.
const (
	ackP50Wanted = 50  // ms
	ackP99Wanted = 100 // ms
	// perToggle is how many records a plug makes that comes or goes.
	perToggle = 2
)

// measureLatency lets vehicles come and go at many charging points and times
// each record from the agent's fsync to Central's acknowledgement at the agent.
func measureLatency(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.startNetwork(ctx, r.cfg.Points, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	warm, measured := budget*15/100, budget*60/100
	if err := n.traffic(ctx, r.cfg.Rate, warm); err != nil {
		return nil, err
	}
	for _, p := range n.points {
		p.watch.reset()
	}
	begin, computed := time.Now(), cpuTime()
	if err := n.traffic(ctx, r.cfg.Rate, measured); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	computed = cpuTime() - computed
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
	note := fmt.Sprintf("%.0f events/s of %d charging points; p90 %s ms, max %s ms; all of it computes %s of a CPU", perSecond(written, took), len(n.points),
		amount(milliseconds(percentile(all, 90))), amount(milliseconds(percentile(all, 100))), amount(computed.Seconds()/took.Seconds()))
	if late != nil {
		note += fmt.Sprintf("; %d not acknowledged at the end", waiting)
	}
	row := func(name string, p float64, wanted float64) Row {
		return limited(Row{
			Name: "latency-" + name, What: "agent's fsync → Central's ack at the agent, " + name, Unit: "ms", Wanted: wanted,
		}, milliseconds(percentile(all, p)), len(all))
	}
	rows = []Row{row("p50", 50, ackP50Wanted), row("p99", 99, ackP99Wanted)}
	rows[1].Note = note
	return rows, nil
}

// traffic plugs and unplugs, one charging point after the other, so that about
// rate events come about each second.
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
