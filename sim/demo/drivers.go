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

// drivers are the drivers of the demo: each requests any free charging point,
// and repeats that some time after the ticket.
type drivers struct {
	count  int      // of drivers
	seed   uint64   // of the pauses
	pause  sim.Span // after a ticket; twice as long after any other result
	client *driver.Client
	log    *slog.Logger
}

// run runs the drivers and their Kafka client until ctx ends.
func (d *drivers) run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() {
		if err := d.client.Run(ctx); err != nil {
			d.log.Error("drivers' Kafka client ended", slog.Any("err", err))
		}
	})
	// Drivers share one Kafka client, as the drivers of one app would.
	for n := range d.count {
		all.Go(func() { d.runDriver(ctx, n) })
	}
	all.Wait()
	return nil
}

// runDriver performs the services of driver number n, from 0.
func (d *drivers) runDriver(ctx context.Context, n int) {
	rng := rand.New(rand.NewPCG(d.seed, uint64(n)))
	cfg := driver.DefaultConfig()
	cfg.Username, cfg.ClientID = driverName(n+1), "carga-demo"
	log := d.log.With(slog.String("username", string(cfg.Username)))
	// At the start they come half a second apart, and all within a minute, but no more
	// than ten a second: each makes some twenty records.
	wait := time.Duration(n) * min(time.Second/2, max(time.Minute/time.Duration(d.count), time.Second/10))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		// Progress comes every few seconds and is not logged.
		o, err := driver.Run(ctx, cfg, d.client, func(s driver.Step) {
			if s.Kind != driver.StepProgress {
				log.Info("driver", slog.String("step", string(s.Kind)), slog.String("text", s.Text))
			}
		})
		if err != nil {
			return
		}
		wait = d.pause.Least + time.Duration(rng.Int64N(int64(d.pause.Most-d.pause.Least)+1))
		// A refusal or a timeout usually has a cause that lasts: an outage, or
		// no free charging point.
		if o.Result != driver.Ticket {
			wait *= 2
		}
	}
}
