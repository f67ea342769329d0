package orders

import (
	"github.com/carga-ev/carga/internal/charge"
)

// State is what is wanted in the whole network, and what is on its way.
type State struct {
	cfg      Config
	self     charge.Incarnation
	fencedBy charge.Incarnation
}

// New returns the state of a Central that wants nothing yet; self is the
// incarnation of this life. What the database holds is added by Load….
func New(cfg Config, self charge.Incarnation) *State { return &State{cfg: cfg, self: self} }

// LoadReservation adds a reservation that is not Gone.
func (s *State) LoadReservation(r Reservation) {}

// LoadWish adds a wish that has not ended.
func (s *State) LoadWish(w Wish) {}

// LoadCommand adds an open command.
func (s *State) LoadCommand(c Command) {}

// LoadRequest adds a driver's request that runs.
func (s *State) LoadRequest(r Request) {}

// LoadFence sets which incarnation fenced this Central. A Central that starts
// with a greater incarnation of its own is not fenced.
func (s *State) LoadFence(by charge.Incarnation) {}

// FencedBy is the greater incarnation that was heard; "" when there is none.
// While fenced, a Central does not order, acknowledge or apply records (which
// makes tickets): the shell must not, Step does not.
func (s *State) FencedBy() charge.Incarnation { return s.fencedBy }

// NextDeadline is when the next Tick is due; zero when nothing waits.
func (s *State) NextDeadline() charge.Time { return 0 }

// Reservation returns a reservation that is not Gone.
func (s *State) Reservation(id charge.ReservationID) (Reservation, bool) { return Reservation{}, false }

// Reserved returns the reservation that is active on a connector.
func (s *State) Reserved(t Target, now charge.Time) (Reservation, bool) { return Reservation{}, false }

// Wanted is the availability wanted of a connector; ok is false when nobody
// ever said.
func (s *State) Wanted(t Target) (available, ok bool) { return false, false }

// Commands returns the open commands of a charging point, oldest first.
func (s *State) Commands(cp charge.CPID) []Command { return nil }

// Wishes returns what is wanted of a charging point and not so yet, oldest
// first.
func (s *State) Wishes(cp charge.CPID) []Wish { return nil }

// Step folds one event into s and returns what is to be done, in order.
func Step(s *State, v View, e Event) []Effect { return nil }
