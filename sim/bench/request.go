package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/ids"
	"github.com/carga-ev/carga/internal/wire"
	"github.com/carga-ev/carga/sim/driver"
)

const (
	requestPoints = 10
	requestWanted = 100 // ms
	// requestLimit is how long one step of one request may take.
	requestLimit = 10 * time.Second
)

// measureRequest lets drivers ask for charging points whose vehicles wait, and
// times their messages to the contactor's closing.
func measureRequest(ctx context.Context, r *run, budget time.Duration) (rows []Row, err error) {
	n, err := r.startNetwork(ctx, requestPoints, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	line, err := driver.NewLine(driver.LineConfig{Brokers: []string{n.kafka.Addr()}, ClientID: "carga-bench", Partitions: partitions})
	if err != nil {
		return nil, err
	}
	speaking := start(ctx, line.Run)
	defer func() { err = errors.Join(err, speaking.stop()) }()
	var whole, starts []time.Duration
	for begin := time.Now(); len(whole) == 0 || time.Since(begin) < budget*7/10; {
		for _, p := range n.points {
			if err := p.board.Plug(1); err != nil {
				return nil, err
			}
		}
		for _, p := range n.points {
			a, s, err := p.request(ctx, line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.id, err)
			}
			whole, starts = append(whole, a), append(starts, s)
		}
		for _, p := range n.points {
			if err := p.leave(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", p.id, err)
			}
		}
	}
	row := func(name, what string, took []time.Duration, p, wanted float64) Row {
		return limited(Row{Name: "request-" + name, What: what, Unit: "ms", Wanted: wanted}, milliseconds(percentile(took, p)), len(took))
	}
	rows = []Row{
		row("start-p50", "driver's start in Kafka → contactor closed, p50", starts, 50, requestWanted),
		row("start-p99", "driver's start in Kafka → contactor closed, p99", starts, 99, 0),
		row("whole-p50", "reserve, answer, start → contactor closed, p50", whole, 50, 0),
		row("whole-p99", "reserve, answer, start → contactor closed, p99", whole, 99, 0),
	}
	rows[0].Note = "the contactor itself takes 20 to 60 ms, the pilot is looked at each 10 ms"
	return rows, nil
}

// request reserves a charging point, starts as soon as the answer is there, and
// returns how long both took, and the start alone.
func (p *point) request(ctx context.Context, line *driver.Line) (whole, started time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := p.await(ctx, func(o sim.Outlet) bool { return o.Pilot == charge.PilotC.String() }); err != nil {
		return 0, 0, fmt.Errorf("the vehicle does not ask: %w", err)
	}
	who := charge.Username("driver-" + p.id)
	ear := line.Listen(who)
	defer line.Hang(ear)
	begin := time.Now()
	if err := p.ask(ctx, line, who, wire.DriverAuthorization); err != nil {
		return 0, 0, err
	}
	if err := authorized(ctx, ear); err != nil {
		return 0, 0, err
	}
	again := time.Now()
	if err := p.ask(ctx, line, who, wire.DriverStarted); err != nil {
		return 0, 0, err
	}
	if err := p.await(ctx, func(o sim.Outlet) bool { return o.Closed }); err != nil {
		return 0, 0, fmt.Errorf("the contactor does not close: %w", err)
	}
	return time.Since(begin), time.Since(again), nil
}

// ask says one message. The line may not stand yet.
func (p *point) ask(ctx context.Context, line *driver.Line, who charge.Username, what wire.DriverEventType) error {
	m := wire.DriverRequest{
		MessageID: ids.New(time.Now(), rand.Reader), EventType: what, Username: who, CPID: &p.id, ClientID: "carga-bench",
		Timestamp: wire.Seconds(charge.At(time.Now())),
	}
	for {
		err := line.Ask(ctx, &m)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// authorized waits for Central's answer.
func authorized(ctx context.Context, ear *driver.Ear) error {
	for {
		select {
		case <-ear.Ready():
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", ctx.Err())
		}
		for _, e := range ear.Take() {
			h, ok := e.(driver.Heard)
			if !ok || h.Event.EventType != wire.CentralAuthorization {
				continue
			}
			if h.Event.Authorized == nil || !*h.Event.Authorized {
				return fmt.Errorf("refused: %s", h.Event.Reason)
			}
			return nil
		}
	}
}

// leave pulls the plug and waits until the charging point is free again.
func (p *point) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := p.board.Unplug(1); err != nil {
		return err
	}
	for {
		s := p.agent.Status()
		if len(s.Connectors) > 0 && s.Connectors[0].Status == charge.StatusAvailable && s.Unacked == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not become free: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
