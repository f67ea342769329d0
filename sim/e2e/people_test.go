package e2e_test

import (
	"context"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
)

// vehicle describes the vehicles of a world. Each visit brings one that needs a
// little more than the one before, so that tickets differ, and the same
// vehicles come in every run.
type vehicle struct {
	energy charge.WattHours // of the first vehicle; 2 kWh unless set
	power  charge.Watts     // 40 kW unless set: a visit of some four minutes
}

// Times of the simulated people.
const (
	arrives        = 5 * time.Second // after the reservation
	leaves         = 2 * time.Second // after the vehicle is full or the session over
	sessionTimeout = 3 * time.Hour   // then they give up a session that does not begin or end
)

// vehicle returns the vehicle of a visit, from 0.
func (p *point) vehicle(visit int) sim.Vehicle {
	v := p.w.plan.vehicle
	if v.energy == 0 {
		v.energy = 2000
	}
	if v.power == 0 {
		v.power = 40_000
	}
	return sim.Vehicle{Capacity: v.energy + charge.WattHours(100*visit), MaxPower: v.power}
}

// people simulates the people at a charging point: they come when it shows that
// it is reserved, plug in, and leave when their vehicle is full or the session
// is over. They look once a second, and outlive the agent.
func (p *point) people(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var reserved, plugged, done time.Duration // for how long the condition has held
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

// longer adds a second to a duration while a condition holds, and resets it
// otherwise.
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
	w.run("drivers' client", client.Run)
	return client
}

// driverPlan is what a driver does.
type driverPlan struct {
	username charge.Username
	cp       charge.CPID   // "": any
	services int           // one after the other; 1 unless set
	pause    time.Duration // between them; 4 s unless set
	deadline time.Duration // for an answer; an hour unless set
	onStep   func(driver.Step)
}

// drive runs a driver until all its services have ended, and returns their
// results. A refused request is repeated: the charging point may not be online
// yet.
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

// wantTicket waits for one result, which must be a ticket.
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
