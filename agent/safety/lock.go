package safety

import "github.com/carga-ev/carga/internal/charge"

// lockState is what the rules remember of the lock of the cable.
type lockState struct {
	on      bool   // its command
	differs moment // it is measured otherwise since
	failed  bool   // until the vehicle is unplugged, or a reset
	inF     moment // the pilot is in F since
}

// watchLock commands the lock and reports whether the cable is held, so that the
// contactor may close. The cable is locked while power is offered to a plugged
// vehicle. It is released when the contactor is open; with pilot F, in which the
// vehicle may still be switching off, after LockedInF. A welded contactor is not
// open: the cable stays locked.
//
// A lock that does not follow within MaxLockMove, or moves while the contactor is
// closed, has failed. That ends when a person unplugs or resets it and the lock
// follows again.
func (s *State) watchLock(l Limits, in *Inputs, v *Verdict) bool {
	if !in.Fitted.Lock {
		return true
	}
	k := &s.lock
	k.inF = k.inF.during(in.Pilot == charge.PilotF && !in.PilotIn.bad(l), in.Now)
	switch {
	case in.Offer && in.Pilot.Plugged() && !in.PilotIn.bad(l):
		k.on = true
	case !in.Offer && in.open(l) && !s.latched.Has(charge.FaultContactorWelded) && (!k.inF.known || k.inF.lasts(in.Now, l.LockedInF)):
		k.on = false
	}
	readable := !in.LockIn.bad(l)
	follows := readable && (k.on && in.Locked || !k.on && in.Unlocked)
	k.differs = k.differs.during(readable && !follows, in.Now)
	switch {
	case k.differs.lasts(in.Now, l.MaxLockMove), in.Commanded && readable && !follows:
		k.failed = true
	case follows && (in.ResetLatch || in.unplugged(l)):
		k.failed = false
	}
	if k.failed {
		v.Faults = v.Faults.With(charge.FaultLock)
	}
	v.Lock = k.on
	return k.on && follows
}
