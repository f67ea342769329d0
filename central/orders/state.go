package orders

import (
	"cmp"
	"slices"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// State is what is wanted in the whole network, and what is on its way.
//
// Invariant: a reservation is in reservations and in the point of its charging
// point until it is Gone; a wish until it ended; a command while it is open.
type State struct {
	cfg          Config
	self         charge.Epoch // of this Central
	fencedBy     charge.Epoch
	firstEventAt charge.Time // of the first event: charging points may not have been heard yet
	lastEventAt  charge.Time // of the last event, unless the clock was set back by less than setBack

	reservations        map[charge.ReservationID]*Reservation
	requests            map[RequestKey]*Request
	points              map[charge.CPID]*point
	networkAvailability *Desired                             // availability of all, nil: nobody ever said
	recentlyReleased    map[charge.ReservationID]Reservation // Gone a moment ago: their rows may not be committed yet
	unresponsive        map[Target]charge.Time               // who did not confirm a reservation, and when: asked last for a while
	numbers             Numbers
	refusals            map[charge.Username]int // messages of drivers that could not be used, since refusedSince
	refusedSince        charge.Time
}

// point is what concerns one charging point.
type point struct {
	reservations map[charge.ReservationID]*Reservation
	desired      map[desiredKey]*Desired
	commands     map[charge.CommandID]*Command
	notBefore    map[paceKey]charge.Time // a kind of order that did not get through is not repeated before
	due          charge.Time             // when something happens without an event; zero: never
}

type desiredKey struct {
	kind      DesiredKind
	connector charge.ConnectorID
	session   charge.SessionID
}

type paceKey struct {
	connector charge.ConnectorID
	kind      wire.CommandType
}

// Numbers are the last numbers of the commands of one run of Central. They
// outlive a State that is loaded again within the run: an agent takes no command
// whose number is not above the last. No clock is part of them, for one that was
// set back would repeat numbers.
type Numbers map[Target]uint64

// New returns the state of a Central that wants nothing yet; self is its own
// epoch, and numbers those of this run. What the database holds is added by
// Load….
func New(cfg Config, self charge.Epoch, numbers Numbers) *State {
	return &State{
		cfg: cfg.withDefaults(), self: self,
		reservations: map[charge.ReservationID]*Reservation{}, requests: map[RequestKey]*Request{},
		recentlyReleased: map[charge.ReservationID]Reservation{}, points: map[charge.CPID]*point{}, unresponsive: map[Target]charge.Time{}, numbers: numbers,
		refusals: map[charge.Username]int{},
	}
}

func (c Config) withDefaults() Config {
	c.ReservationLife = cmp.Or(c.ReservationLife, 15*time.Minute)
	c.PerDriver = cmp.Or(c.PerDriver, 1)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 1500*time.Millisecond)
	c.MaxTried = cmp.Or(c.MaxTried, 3)
	c.StartTimeout = cmp.Or(c.StartTimeout, 2*time.Minute)
	return c
}

func (s *State) point(id charge.CPID) *point {
	p := s.points[id]
	if p == nil {
		p = &point{
			reservations: map[charge.ReservationID]*Reservation{}, desired: map[desiredKey]*Desired{},
			commands: map[charge.CommandID]*Command{}, notBefore: map[paceKey]charge.Time{}, due: 1,
		}
		s.points[id] = p
	}
	return p
}

// LoadReservation adds a reservation that is not Gone.
func (s *State) LoadReservation(r Reservation) {
	s.reservations[r.ID] = &r
	p := s.point(r.CPID)
	p.reservations[r.ID] = &r
	p.due = 1 // looked at by the first Tick
}

// LoadDesired adds a wish that has not ended.
func (s *State) LoadDesired(w Desired) {
	if w.Kind == DesiredAvailability && w.CPID == "" {
		s.networkAvailability = &w
		return
	}
	p := s.point(w.CPID)
	p.desired[w.key()] = &w
	p.due = 1
}

// LoadCommand adds an open command.
func (s *State) LoadCommand(c Command) {
	p := s.point(c.CPID)
	p.commands[c.ID] = &c
	p.due = 1
}

// LoadRequest adds a driver's request that runs.
func (s *State) LoadRequest(r Request) { s.requests[r.Key()] = &r }

// LoadFence sets which epoch fenced this Central, maybe in an earlier run. Only
// an operator lifts it: a restart does not make the database the newer one.
func (s *State) LoadFence(by charge.Epoch) { s.fencedBy = by }

// FencedBy is the higher epoch that was heard; zero when there is none.
// While fenced, a Central does not order, acknowledge, or apply records (which
// makes tickets): the shell must not, Step does not.
func (s *State) FencedBy() charge.Epoch { return s.fencedBy }

// NextDeadline is when the next Tick is due; zero when nothing waits. A moment
// in the past means at once.
func (s *State) NextDeadline() charge.Time {
	var at charge.Time
	if !s.fencedBy.IsZero() {
		return 0
	}
	for _, q := range s.requests {
		at = sooner(at, s.requestDue(q))
	}
	for _, p := range s.points {
		at = sooner(at, p.due)
	}
	return at
}

// sooner is the earlier of two moments; zero means never.
func sooner(a, b charge.Time) charge.Time {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}

// Reservation returns a reservation that is not Gone.
func (s *State) Reservation(id charge.ReservationID) (Reservation, bool) {
	if r := s.reservations[id]; r != nil {
		return *r, true
	}
	return Reservation{}, false
}

// Reserved returns the reservation that is active on a connector.
func (s *State) Reserved(t Target, now charge.Time) (Reservation, bool) {
	if r := s.activeAt(t, now); r != nil {
		return *r, true
	}
	return Reservation{}, false
}

func (s *State) activeAt(t Target, now charge.Time) *Reservation {
	if p := s.points[t.CPID]; p != nil {
		for _, r := range p.reservations {
			if r.Connector == t.Connector && r.Active(now) {
				return r
			}
		}
	}
	return nil
}

// DesiredAvailability is the availability wanted of a connector; ok is false when nobody
// ever said.
func (s *State) DesiredAvailability(t Target) (available, ok bool) {
	w := s.availabilityOf(t)
	if w == nil {
		return false, false
	}
	return w.Available, true
}

// availabilityOf is the narrowest wish about the availability of a connector.
func (s *State) availabilityOf(t Target) *Desired {
	w := s.networkAvailability
	if p := s.points[t.CPID]; p != nil {
		for _, k := range []charge.ConnectorID{0, t.Connector} {
			if x := p.desired[desiredKey{kind: DesiredAvailability, connector: k}]; x != nil {
				w = x
			}
		}
	}
	return w
}

// Waiting is something wanted of a connector that its charging point has not
// done yet. The zero value is nothing.
type Waiting struct {
	For   WaitingFor
	Since charge.Time
}

// WaitingFor says what is waited for.
type WaitingFor string

// What a connector may wait for.
const (
	WaitsForStart        WaitingFor = "start"        // a session: for the order to be carried out, and for the plug
	WaitsForStop         WaitingFor = "stop"         // the end of a session
	WaitsForReserve      WaitingFor = "reserve"      // a reservation that is not confirmed yet
	WaitsForCancel       WaitingFor = "cancel"       // the end of one that is over, and that may still be held
	WaitsForAvailability WaitingFor = "availability" // to be taken out of service, or back
)

// WaitingOf is what is wanted of a connector for the longest time and not so yet; c
// is the connector as it was reported. Each of these can be ended by an operator
// without the charging point.
func (s *State) WaitingOf(t Target, c *ledger.Connector) Waiting {
	var w Waiting
	older := func(what WaitingFor, since charge.Time) {
		if w.For == "" || since < w.Since {
			w = Waiting{what, since}
		}
	}
	if a := s.availabilityOf(t); a != nil && a.Available != c.Available {
		older(WaitsForAvailability, a.RequestedAt)
	}
	p := s.points[t.CPID]
	if p == nil {
		return w
	}
	for _, x := range byRequested(p.desired) {
		switch {
		case x.Kind == DesiredStart && x.Connector == t.Connector:
			older(WaitsForStart, x.RequestedAt)
		case x.Kind == DesiredStop && x.Connector == t.Connector:
			older(WaitsForStop, x.RequestedAt)
		}
	}
	for _, r := range byMade(p.reservations) {
		switch {
		case r.Connector != t.Connector:
		case r.EndedAt != 0:
			older(WaitsForCancel, r.EndedAt)
		case r.ConfirmedAt == 0:
			older(WaitsForReserve, r.MadeAt)
		}
	}
	return w
}

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

// Desired returns what is wanted of a charging point, oldest first; that of its
// availability stays even when it is so.
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

func (w *Desired) key() desiredKey {
	if w.Kind == DesiredAvailability {
		return desiredKey{kind: w.Kind, connector: w.Connector}
	}
	return desiredKey{kind: w.Kind, session: w.SessionID}
}
