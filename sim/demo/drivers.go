package demo

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/sim/driver"
)

// drivers are the people of the demo: each asks for any charging point, and
// again a while after the ticket.
type drivers struct {
	count  int
	seed   uint64
	pause  sim.Span
	client *driver.Client
	log    *slog.Logger
}

// run lets them ask until ctx ends.
func (d *drivers) run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() {
		if err := d.client.Run(ctx); err != nil {
			d.log.Error("drivers' line ended", slog.Any("err", err))
		}
	})
	for n := range d.count {
		all.Go(func() { d.runDriver(ctx, n) })
	}
	all.Wait()
	return nil
}

func (d *drivers) runDriver(ctx context.Context, n int) {
	rng := rand.New(rand.NewPCG(d.seed, uint64(n)))
	cfg := driver.DefaultConfig()
	cfg.Username, cfg.ClientID = driverName(n+1), "carga-demo"
	log := d.log.With(slog.String("username", string(cfg.Username)))
	wait := time.Duration(n) * time.Second / 2 // one after the other at the start
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		o, err := driver.Run(ctx, cfg, d.client, func(s driver.Step) {
			if s.Kind != driver.StepProgress {
				log.Info("driver", slog.String("step", string(s.Kind)), slog.String("text", s.Text))
			}
		})
		if err != nil {
			return
		}
		wait = d.pause.Least + time.Duration(rng.Int64N(int64(d.pause.Most-d.pause.Least)+1))
		if o.Result != driver.Ticket {
			wait *= 2
		}
	}
}
