package safety

import "github.com/carga-ev/carga/internal/charge"

// watchContact latches a contactor that does not follow its command: welded if
// it stays closed, stuck if it stays open. Opening a stuck one makes command
// and feedback agree again, so only a person clears either. Before the contactor
// was measured open once, it does not close.
func (s *State) watchContact(l Limits, in *Inputs) {
	s.closedAt = s.closedAt.during(in.Commanded, in.Now)
	s.seenOpen = s.seenOpen || in.open(l)
	differs := !in.ContactIn.NotFitted && !in.ContactIn.bad(l) && in.Closed != in.Commanded
	s.differsSince = s.differsSince.during(differs, in.Now)
	if !differs || in.Now-s.differsSince.at <= l.MaxMove {
		return
	}
	if in.Closed {
		s.latched = s.latched.With(charge.FaultContactorWelded)
	} else {
		s.latched = s.latched.With(charge.FaultContactorStuck)
	}
}
