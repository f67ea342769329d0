package e2e_test

import (
	"context"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
)

// vehicle is who comes to the charging points of a world: each visit brings
// one that takes a little more than the one before, so that tickets can be told
// apart, and the same ones come in every run.
type vehicle struct {
	takes charge.WattHours // of the first; 2 kWh unless set
	power charge.Watts     // 40 kW unless set: a visit of some four minutes
}

// Times of the people.
const (
	arrives        = 5 * time.Second // after the reservation
	leaves         = 2 * time.Second // after the vehicle is full or the session over
	sessionTimeout = 3 * time.Hour   // of somebody whose session does not begin or end
)

func (p *point) vehicle(visit int) sim.Vehicle {
	v := p.w.plan.vehicle
	if v.takes == 0 {
		v.takes = 2000
	}
	if v.power == 0 {
		v.power = 40_000
	}
	return sim.Vehicle{Capacity: v.takes + charge.WattHours(100*visit), MaxPower: v.power}
}

// people come when the charging point shows that it is reserved, plug in, and
// leave when their vehicle is full, or when the session is over. They look each
// second, and live on when the agent is killed.
func (p *point) people(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var reserved, plugged, done time.Duration // how long it has been so
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		o, shown := p.outlet(), p.shown()
		reserved = longer(reserved, !o.Plugged && !p.driverDelayed.Load() && shown.Status == charge.StatusReserved)
		plugged = longer(plugged, o.Plugged)
		over := shown.SessionID == "" && (shown.Status == charge.StatusFinishing || shown.Status == charge.StatusFaulted)
		done = longer(done, o.Plugged && (o.Full || over || plugged > sessionTimeout))
		var err error
		switch {
		case reserved > arrives:
			err = p.board.PlugVehicle(1, p.vehicle(int(p.visits.Add(1))-1))
		case done > leaves:
			err = p.board.Unplug(1)
		}
		if err != nil {
			p.w.t.Errorf("%s: %v", p.id, err)
		}
	}
}

func longer(d time.Duration, so bool) time.Duration {
	if !so {
		return 0
	}
	return d + time.Second
}

// client is the drivers' connection to Kafka; all drivers of a world share it.
func (w *world) client() *driver.Client {
	w.t.Helper()
	client, err := driver.NewClient(driver.ClientConfig{Brokers: []string{kafkaAddr}, Dial: w.dialKafka("driver-kafka"), Partitions: w.plan.partitions})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run("drivers' line", client.Run)
	return client
}

// driverPlan is what a driver wants.
type driverPlan struct {
	username charge.Username
	cp       charge.CPID   // "": any
	services int           // one after the other; 1 unless set
	pause    time.Duration // between them; 4 s unless set
	deadline time.Duration // for an answer; an hour unless set
	onStep   func(driver.Step)
}

// drive lets a driver ask until he has been served as often as he wants, and
// returns what came of each service. One who is refused because nobody is there
// yet asks again.
func (w *world) drive(line *driver.Client, d driverPlan) <-chan driver.Outcome {
	w.t.Helper()
	cfg := driver.DefaultConfig()
	cfg.Username, cfg.Deadline, cfg.SessionTimeout = d.username, max(d.deadline, time.Hour), sessionTimeout
	if d.deadline != 0 {
		cfg.Deadline = d.deadline
	}
	if d.cp != "" {
		cfg.CPID = &d.cp
	}
	if d.onStep == nil {
		d.onStep = func(driver.Step) {}
	}
	services := max(d.services, 1)
	out := make(chan driver.Outcome, services)
	w.run("driver "+string(d.username), func(ctx context.Context) error {
		defer close(out)
		for served := 0; served < services; {
			o, err := driver.Run(ctx, cfg, line, d.onStep)
			if err != nil {
				return nil // the world ends before its driver is served
			}
			if o.Result != driver.Refused {
				out <- o
				served++
			}
			select {
			case <-time.After(max(d.pause, 4*time.Second)):
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	return out
}

// wantTicket waits for one outcome and wants it to be a ticket.
func (w *world) wantTicket(outcomes <-chan driver.Outcome, within time.Duration) {
	w.t.Helper()
	select {
	case got := <-outcomes:
		if got.Result != driver.Ticket || got.Energy <= 0 {
			w.t.Fatalf("the driver's request ended in %+v, want a ticket", got)
		}
	case <-time.After(within):
		w.t.Fatalf("no ticket within %s: %s", within, w.describeBooks())
	}
}
