package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal/sim"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/sim/driver"
)

// behaviour is what a driver does in one service.
type behaviour int

const (
	behaviourStops          behaviour = iota // sends a stop request
	behaviourUnplugs                         // unplugs while power flows
	behaviourStaysUntilFull                  // stays until the session ends by itself, or is given up
	behaviourNoShow                          // reserves and does not plug in
	behaviourEarthFault                      // its vehicle causes a ground fault
)

// visitor is a simulated driver with a vehicle. No fault of the run hits it: it
// lives as long as this process.
type visitor struct {
	// username, rng and client are the driver's own; network and tally are shared.
	username charge.Username
	rng      *rand.Rand
	client   *driver.Client
	net      *Network
	tally    *tally

	scheduled sync.WaitGroup // scheduled operations at the board
}

// run performs one service after the other, with pauses, until ctx ends.
func (v *visitor) run(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, 200*time.Millisecond+randomDuration(v.rng, 3*time.Second))
		v.serve(ctx)
	}
}

// serve performs one service, from the request until the vehicle has left. All
// random numbers are drawn at its beginning, so that their order does not
// depend on what happens.
func (v *visitor) serve(ctx context.Context) {
	cfg := driver.DefaultConfig()
	cfg.Username, cfg.Deadline, cfg.SessionTimeout, cfg.Grace = v.username, 40*time.Second, 45*time.Second, 10*time.Second
	behaviour := []behaviour{behaviourStops, behaviourStops, behaviourStops, behaviourUnplugs, behaviourUnplugs, behaviourStaysUntilFull, behaviourNoShow, behaviourEarthFault}[v.rng.IntN(8)]
	lasts, arrives := time.Second+randomDuration(v.rng, 12*time.Second), randomDuration(v.rng, 2*time.Second)
	if v.rng.IntN(3) == 0 {
		cfg.CPID = new(v.net.Points[v.rng.IntN(len(v.net.Points))].ID)
	}
	if behaviour == behaviourStops {
		cfg.StopAfter = lasts
	}
	stay, leave := context.WithCancel(ctx)
	defer v.scheduled.Wait()
	defer leave()
	var at connectorKey
	o, err := driver.Run(ctx, cfg, v.client, func(s driver.Step) {
		// The vehicle arrives some time after the reservation, or never.
		if s.Kind == driver.StepAuthorized {
			at = connectorKey{s.CPID, s.Connector}
			if behaviour != behaviourNoShow {
				v.schedule(stay, arrives, at, behaviour, v.plug)
			}
		}
		// The session is ended from outside after some time under power.
		if s.Kind == driver.StepStarted && (behaviour == behaviourUnplugs || behaviour == behaviourEarthFault) {
			v.schedule(stay, lasts, at, behaviour, v.interrupt)
		}
	})
	if err == nil {
		v.tally.countService(o.Result)
	}
	leave()
	v.scheduled.Wait()
	if at.cp != "" && behaviour != behaviourNoShow {
		v.leave(at, behaviour) //nolint:contextcheck // calls of the board take no context and end within two seconds
	}
}

// schedule performs an operation at the board after a delay, unless the service
// has ended before.
func (v *visitor) schedule(ctx context.Context, after time.Duration, at connectorKey, b behaviour, do func(connectorKey, behaviour)) {
	v.scheduled.Go(func() {
		if sleep(ctx, after); ctx.Err() == nil {
			do(at, b)
		}
	})
}

// plug plugs the vehicle in.
func (v *visitor) plug(at connectorKey, _ behaviour) {
	if p := v.net.point(at.cp); p != nil {
		v.checkBoardError(p.Controls().Plug(at.connector), "plug", at)
	}
}

// interrupt ends the session from outside: it unplugs the vehicle, or causes a
// ground fault.
func (v *visitor) interrupt(at connectorKey, b behaviour) {
	p := v.net.point(at.cp)
	if p == nil {
		return
	}
	if b == behaviourUnplugs {
		v.checkBoardError(p.Controls().Unplug(at.connector), "unplug", at)
		return
	}
	v.checkBoardError(p.Controls().Inject(at.connector, charge.FaultGroundFault), "trip", at)
}

// leave repairs what the service broke and unplugs the vehicle.
func (v *visitor) leave(at connectorKey, b behaviour) {
	p := v.net.point(at.cp)
	if p == nil {
		return
	}
	if b == behaviourEarthFault {
		v.checkBoardError(p.Controls().Repair(at.connector), "repair", at)
	}
	v.checkBoardError(p.Controls().Unplug(at.connector), "unplug", at)
}

// checkBoardError records an operation that a board refused as a violation,
// unless another vehicle is plugged in there, or this one was unplugged
// already: both happen.
func (v *visitor) checkBoardError(err error, operation string, at connectorKey) {
	if err != nil && !errors.Is(err, sim.ErrPlugged) && !errors.Is(err, sim.ErrUnplugged) {
		v.tally.violate(fmt.Sprintf("%s connector %d: %s: %v", at.cp, at.connector, operation, err))
	}
}

// point returns a charging point by its id; nil if there is none.
func (n *Network) point(id charge.CPID) *Point {
	for _, p := range n.Points {
		if p.ID == id {
			return p
		}
	}
	return nil
}
