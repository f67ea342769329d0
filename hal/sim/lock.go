package sim

import "github.com/carga-ev/carga/hal"

// lock is the bolt that holds the plug. A pulled cable does not move it: the
// simulated vehicle is unplugged at its own end.
type lock struct {
	commanded bool          // locked
	state     hal.LockState // unknown while the bolt moves
	move      change        // of the bolt, to locked or open
}

// arrive ends the movement of the bolt.
func (l *lock) arrive() {
	l.move.due = false
	l.state = lockState(l.move.to)
}

// lockState is the state of a bolt at one of its ends.
func lockState(locked bool) hal.LockState {
	if locked {
		return hal.LockLocked
	}
	return hal.LockOpen
}

// setLock commands the bolt, which follows after its delay.
func (o *outlet) setLock(locked bool) {
	if o.lock.commanded == locked {
		return
	}
	o.lock.commanded = locked
	o.planBolt()
}

// planBolt plans the movement of the bolt towards its command. A jammed bolt stays
// where it is.
func (o *outlet) planBolt() {
	l := &o.lock
	switch {
	case o.broken(LockJammed), l.state == lockState(l.commanded):
		l.move.due = false
	default:
		l.state = hal.LockUnknown
		l.move.plan(o.now+o.cfg.Bolt.Draw(o.boltRand), l.commanded)
	}
}
