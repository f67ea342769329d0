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

// mood is how a driver ends his service.
type mood int

const (
	moodStops   mood = iota // asks to stop
	moodUnplugs             // pulls the cable under power
	moodFull                // waits until he is full, or has to go
	moodAway                // reserves and never comes
	moodTrips               // has a vehicle with an earth fault
)

// visitor is a driver with his vehicle, who lives in the world outside: he
// outlasts every process but this one.
type visitor struct {
	who   charge.Username
	rng   *rand.Rand
	line  *driver.Line
	net   *Network
	tally *tally

	deeds sync.WaitGroup // what his hands are at
}

// run asks for services until ctx ends.
func (v *visitor) run(ctx context.Context) {
	for ctx.Err() == nil {
		rest(ctx, 200*time.Millisecond+rand64(v.rng, 3*time.Second))
		v.serve(ctx)
	}
}

// serve is one service, from the request to leaving.
func (v *visitor) serve(ctx context.Context) {
	cfg := driver.DefaultConfig()
	cfg.Username, cfg.Deadline, cfg.Patience, cfg.Grace = v.who, 40*time.Second, 45*time.Second, 10*time.Second
	m := []mood{moodStops, moodStops, moodStops, moodUnplugs, moodUnplugs, moodFull, moodAway, moodTrips}[v.rng.IntN(8)]
	lasts, arrives := time.Second+rand64(v.rng, 12*time.Second), rand64(v.rng, 2*time.Second)
	if v.rng.IntN(3) == 0 {
		cfg.CPID = new(v.net.Points[v.rng.IntN(len(v.net.Points))].ID)
	}
	if m == moodStops {
		cfg.StopAfter = lasts
	}
	stay, leave := context.WithCancel(ctx)
	defer v.deeds.Wait()
	defer leave()
	var at outlet
	o, err := driver.Run(ctx, cfg, v.line, func(s driver.Step) {
		if s.Kind == driver.StepAuthorized {
			at = outlet{s.CPID, s.Connector}
			if m != moodAway {
				v.later(stay, arrives, at, m, v.plug)
			}
		}
		if s.Kind == driver.StepStarted && (m == moodUnplugs || m == moodTrips) {
			v.later(stay, lasts, at, m, v.hurt)
		}
	})
	if err == nil {
		v.tally.served(o.Result)
	}
	leave()
	v.deeds.Wait()
	if at.cp != "" && m != moodAway {
		v.leave(at, m) //nolint:contextcheck // hands take no context and end within two seconds
	}
}

// later does something after a while, unless he has left before.
func (v *visitor) later(ctx context.Context, after time.Duration, at outlet, m mood, do func(outlet, mood)) {
	v.deeds.Go(func() {
		if rest(ctx, after); ctx.Err() == nil {
			do(at, m)
		}
	})
}

func (v *visitor) plug(at outlet, _ mood) {
	if p := v.net.point(at.cp); p != nil {
		v.hands(p.Hands().Plug(at.connector), "plug", at)
	}
}

// hurt ends the power from outside.
func (v *visitor) hurt(at outlet, m mood) {
	p := v.net.point(at.cp)
	if p == nil {
		return
	}
	if m == moodUnplugs {
		v.hands(p.Hands().Unplug(at.connector), "unplug", at)
		return
	}
	v.hands(p.Hands().Inject(at.connector, charge.FaultGroundFault), "trip", at)
}

func (v *visitor) leave(at outlet, m mood) {
	p := v.net.point(at.cp)
	if p == nil {
		return
	}
	if m == moodTrips {
		v.hands(p.Hands().Repair(at.connector), "repair", at)
	}
	v.hands(p.Hands().Unplug(at.connector), "unplug", at)
}

// hands notes what a board did not let a driver do. That somebody else stands
// there, or has pulled the cable, is life.
func (v *visitor) hands(err error, deed string, at outlet) {
	if err != nil && !errors.Is(err, sim.ErrPlugged) && !errors.Is(err, sim.ErrUnplugged) {
		v.tally.violate(fmt.Sprintf("%s connector %d: %s: %v", at.cp, at.connector, deed, err))
	}
}

// point finds a charging point; nil if there is none of that name.
func (n *Network) point(id charge.CPID) *Point {
	for _, p := range n.Points {
		if p.ID == id {
			return p
		}
	}
	return nil
}
