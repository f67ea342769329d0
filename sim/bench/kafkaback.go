package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

const (
	// The load during the outages, and the target in seconds.
	backPoints = 5
	backRate   = 20 // events/s meanwhile
	backWanted = 1.0
	backRounds = 3
)

// measureKafkaBack stops Kafka for some seconds while events occur, and
// measures the time from its restart until Central has applied the first of
// them.
func measureKafkaBack(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.startNetwork(ctx, backPoints, filepath.Join(r.dir, "kafka"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	// Records are written during the whole measurement, so that there is always
	// a new one to wait for.
	life, cancel := context.WithCancel(ctx)
	busy := make(chan error, 1)
	go func() { busy <- n.traffic(life, backRate, time.Hour) }()
	defer func() {
		cancel()
		<-busy // it returns because of cancel
	}()
	// Three outages; the rest of the budget is for recovery.
	away := budget * 6 / 10 / backRounds
	var applied, acked []float64
	for range backRounds {
		a, b, err := n.outage(ctx, away)
		if err != nil {
			return nil, err
		}
		applied, acked = append(applied, a.Seconds()), append(acked, b.Seconds())
	}
	row := limited(Row{
		Name: "kafka-back", What: "Kafka is back → Central has the first event", Unit: "s", Wanted: backWanted,
	}, median(applied), len(applied))
	row.Note = fmt.Sprintf("away for %.1f s; the first acknowledgement is at an agent after %s s", away.Seconds(), amount(median(acked)))
	return []Row{row}, nil
}

// outage stops Kafka and starts it again. It returns how long after the start
// Central had applied a new event, and an agent had its acknowledgement.
func (n *network) outage(ctx context.Context, away time.Duration) (applied, acked time.Duration, err error) {
	if err := n.awaitAck(ctx, time.Now()); err != nil { // everything works before the outage
		return 0, 0, err
	}
	n.kafka.Stop()
	select {
	case <-time.After(away):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	// The number of applied records before the restart; nothing else can change
	// it.
	before, err := n.central.Totals(ctx)
	if err != nil {
		return 0, 0, err
	}
	back := time.Now()
	if err := n.kafka.Start(); err != nil {
		return 0, 0, err
	}
	limit, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	// Polled, since Central has no event for it: the error is one poll, 2 ms,
	// and one query.
	for now := before; now.Applied == before.Applied; {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-limit.Done():
			return 0, 0, fmt.Errorf("nothing came to Central: %w", limit.Err())
		}
		if now, err = n.central.Totals(ctx); err != nil {
			return 0, 0, err
		}
	}
	applied = time.Since(back)
	if err := n.awaitAck(limit, back); err != nil {
		return 0, 0, err
	}
	return applied, n.lastAck().Sub(back), nil
}

// awaitAck waits until an agent received an acknowledgement of a new record
// after a moment.
func (n *network) awaitAck(ctx context.Context, after time.Time) error {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !n.lastAck().After(after) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("no acknowledgement came: %w", ctx.Err())
		}
	}
	return nil
}

// lastAck is the time of the last acknowledgement of a new record at any agent.
func (n *network) lastAck() (last time.Time) {
	for _, p := range n.points {
		if at := p.watch.lastAck(); at.After(last) {
			last = at
		}
	}
	return last
}
