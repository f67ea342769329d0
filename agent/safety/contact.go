package safety

import "github.com/carga-ev/carga/internal/charge"

// watchContact latches a contactor that does not follow its command: welded if
// it stays closed, stuck if it stays open. Opening a stuck one makes command
// and feedback agree again, so only a person clears either. Before the contactor
// was measured open once, it does not close.
func (s *State) watchContact(l Limits, in *Inputs) {
	s.ClosedAt = s.ClosedAt.during(in.Commanded, in.Now)
	s.SeenOpen = s.SeenOpen || in.open(l)
	differs := !in.ContactIn.NotFitted && !in.ContactIn.bad(l) && in.Closed != in.Commanded
	s.DiffersSince = s.DiffersSince.during(differs, in.Now)
	if !differs || in.Now-s.DiffersSince.At <= l.MaxMove {
		return
	}
	if in.Closed {
		s.Latched = s.Latched.With(charge.FaultContactorWelded)
	} else {
		s.Latched = s.Latched.With(charge.FaultContactorStuck)
	}
}
