package safety

import "github.com/carga-ev/carga/internal/charge"

// lockState is what the rules remember of the lock of the cable.
type lockState struct {
	On      bool   // its command
	Differs moment // it is measured otherwise since
	Failed  bool   // until the vehicle is unplugged, or a reset
	InF     moment // the pilot is in F since
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
	k := &s.Lock
	k.InF = k.InF.during(in.Pilot == charge.PilotF && !in.PilotIn.bad(l), in.Now)
	switch {
	case in.Offer && in.Pilot.Plugged() && !in.PilotIn.bad(l):
		k.On = true
	case !in.Offer && in.open(l) && !s.Latched.Has(charge.FaultContactorWelded) && (!k.InF.Known || k.InF.lasts(in.Now, l.LockedInF)):
		k.On = false
	}
	readable := !in.LockIn.bad(l)
	follows := readable && (k.On && in.Locked || !k.On && in.Unlocked)
	k.Differs = k.Differs.during(readable && !follows, in.Now)
	switch {
	case k.Differs.lasts(in.Now, l.MaxLockMove), in.Commanded && readable && !follows:
		k.Failed = true
	case follows && (in.ResetLatch || in.unplugged(l)):
		k.Failed = false
	}
	if k.Failed {
		v.Faults = v.Faults.With(charge.FaultLock)
	}
	v.Lock = k.On
	return k.On && follows
}
