package orders

import (
	"cmp"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// Commands returns the open commands of a charging point, oldest first.
func (s *State) Commands(cp charge.CPID) []Command {
	var list []Command
	if p := s.points[cp]; p != nil {
		for _, c := range p.commands {
			list = append(list, *c)
		}
	}
	slices.SortFunc(list, func(a, b Command) int {
		return cmp.Or(cmp.Compare(a.IssuedAt, b.IssuedAt), cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.N, b.N))
	})
	return list
}

// Desired returns the desired states of a charging point, oldest first. Those of
// availability stay even when they are reached.
func (s *State) Desired(cp charge.CPID) []Desired {
	var list []Desired
	if p := s.points[cp]; p != nil {
		for _, w := range p.desired {
			list = append(list, *w)
		}
	}
	slices.SortFunc(list, func(a, b Desired) int {
		return cmp.Or(cmp.Compare(a.RequestedAt, b.RequestedAt), cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.SessionID, b.SessionID),
			cmp.Compare(a.Kind, b.Kind))
	})
	return list
}
