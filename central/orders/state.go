package orders

import (
	"cmp"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// State is the desired state of the whole network, with the commands and requests
// that are under way.
//
// Invariant: a reservation is in reservations, and in the point of its charging
// point, until it is Released; a Desired until it ended; a command while it is
// open; a request until it is answered.
type State struct {
	cfg          Config
	self         charge.Epoch // of this Central
	fencedBy     charge.Epoch // the higher epoch that was seen; zero: none
	firstEventAt charge.Time  // of this run: charging points may not have connected yet
	lastEventAt  charge.Time  // the greatest so far, since the clock was last set back by minSetBack or more

	reservations        map[charge.ReservationID]*Reservation
	requests            map[RequestKey]*Request
	points              map[charge.CPID]*point
	networkAvailability *Desired                             // desired of all charging points; nil: never set
	recentlyReleased    map[charge.ReservationID]Reservation // within recentFor: their rows may not be committed yet
	// When a connector's charging point did not confirm a reservation; such a connector
	// is tried last for a while.
	unresponsive map[Target]charge.Time
	numbers      Numbers
	refusals     map[charge.Username]int // per driver: messages that could not be used, since refusedSince
	refusedSince charge.Time
	book         *cards.Book          // all cards
	cardPrices   charge.TariffVersion // by which the book is priced

	groups    map[GroupID]*Group
	members   map[Target]GroupMember // connectors of groups, and those with a grant that may be in force
	supplyDue charge.Time            // when to plan the groups; zero: never
	raiseFrom charge.Time            // before it no grant raises: there may be others that are not known
}

// point is the desired state and the open commands of one charging point.
type point struct {
	reservations map[charge.ReservationID]*Reservation
	desired      map[desiredKey]*Desired
	commands     map[charge.CommandID]*Command
	notBefore    map[paceKey]charge.Time // a command that did not succeed is not issued again before
	due          charge.Time             // when to reconcile without an event; zero: never
	list         LocalList               // that the charging point holds
	wholeList    bool                    // it refused a delta: the next part is the first of the whole list
}

// dueNow is a due moment that has passed at any time.
const dueNow charge.Time = 1

// desiredKey names a desired state of one charging point. Availability has no
// session; of a session to start or to stop the connector is not part of the key.
type desiredKey struct {
	kind      DesiredKind
	connector charge.ConnectorID
	session   charge.SessionID
}

func (d *Desired) key() desiredKey {
	if d.Kind == DesiredAvailability {
		return desiredKey{kind: d.Kind, connector: d.Connector}
	}
	return desiredKey{kind: d.Kind, session: d.SessionID}
}

// paceKey names the commands that one pause applies to.
type paceKey struct {
	connector charge.ConnectorID
	kind      wire.CommandType
}

// Numbers holds the last command number per target in one run of Central. It
// outlives a State that is loaded again within the run, because an agent rejects a
// command whose number is not above the last one of the same epoch. Numbers are
// counted, not derived from a clock: one that was set back would repeat them.
type Numbers map[Target]uint64

// New returns the state of a Central without any desired state. self is its own
// epoch, and numbers those of this run. The Load… methods add what the database
// holds, before the first Step.
func New(cfg Config, self charge.Epoch, numbers Numbers) *State {
	return &State{
		cfg: cfg.withDefaults(), self: self,
		reservations: map[charge.ReservationID]*Reservation{}, requests: map[RequestKey]*Request{},
		recentlyReleased: map[charge.ReservationID]Reservation{}, points: map[charge.CPID]*point{}, unresponsive: map[Target]charge.Time{}, numbers: numbers,
		refusals: map[charge.Username]int{}, book: cards.NewBook(),
		groups: map[GroupID]*Group{}, members: map[Target]GroupMember{},
	}
}

// withDefaults replaces zero values by the defaults.
func (c Config) withDefaults() Config {
	c.ReservationLife = cmp.Or(c.ReservationLife, 15*time.Minute)
	c.PerDriver = cmp.Or(c.PerDriver, 1)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, 1500*time.Millisecond)
	c.MaxTried = cmp.Or(c.MaxTried, 3)
	c.StartTimeout = cmp.Or(c.StartTimeout, 2*time.Minute)
	return c
}

// point returns the point of a charging point for a change, and creates it if
// needed.
func (s *State) point(id charge.CPID) *point {
	p := s.points[id]
	if p == nil {
		p = &point{
			reservations: map[charge.ReservationID]*Reservation{}, desired: map[desiredKey]*Desired{},
			commands: map[charge.CommandID]*Command{}, notBefore: map[paceKey]charge.Time{}, due: dueNow,
		}
		s.points[id] = p
	}
	return p
}

// LoadReservation adds a reservation that is not Released.
func (s *State) LoadReservation(r Reservation) {
	s.reservations[r.ID] = &r
	p := s.point(r.CPID)
	p.reservations[r.ID] = &r
	p.due = dueNow
}

// LoadDesired adds a desired state that has not ended.
func (s *State) LoadDesired(d Desired) {
	if d.Kind == DesiredAvailability && d.CPID == "" {
		s.networkAvailability = &d
		return
	}
	p := s.point(d.CPID)
	p.desired[d.key()] = &d
	p.due = dueNow
}

// LoadCommand adds an open command.
func (s *State) LoadCommand(c Command) {
	p := s.point(c.CPID)
	p.commands[c.ID] = &c
	p.due = dueNow
}

// LoadCard adds a card, a deleted one too.
func (s *State) LoadCard(c cards.Card) { s.book.Load(c) }

// LoadLocalList adds the list that a charging point holds.
func (s *State) LoadLocalList(l LocalList) {
	p := s.point(l.CPID)
	p.list = l
}

// LoadRequest adds a pending request of a driver.
func (s *State) LoadRequest(r Request) { s.requests[r.Key()] = &r }

// LoadFence sets which epoch fenced this Central, maybe in an earlier run. Only an
// operator lifts a fence: a restart does not make this database the newer one.
func (s *State) LoadFence(by charge.Epoch) { s.fencedBy = by }

// FencedBy returns the higher epoch that was seen; zero if there is none. A fenced
// Central issues no commands, acknowledges nothing, and applies no records (which
// would make tickets). Step observes that; its caller has to as well.
func (s *State) FencedBy() charge.Epoch { return s.fencedBy }

// NextDeadline returns when the next Tick is due; zero if nothing waits. A moment
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
	return sooner(at, s.supplyDue)
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

// Reserved returns the reservation that is active on a connector.
func (s *State) Reserved(t Target, now charge.Time) (Reservation, bool) {
	if r := s.activeAt(t, now); r != nil {
		return *r, true
	}
	return Reservation{}, false
}

// activeAt finds the active reservation of a connector; nil: none.
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

// DesiredAvailability returns the desired availability of a connector; ok is false
// if none was ever set.
func (s *State) DesiredAvailability(t Target) (available, ok bool) {
	d := s.availabilityOf(t)
	if d == nil {
		return false, false
	}
	return d.Available, true
}

// availabilityOf returns the desired availability that applies to a connector: its
// own, else that of its charging point, else that of the network; nil: none.
func (s *State) availabilityOf(t Target) *Desired {
	d := s.networkAvailability
	if p := s.points[t.CPID]; p != nil {
		for _, k := range []charge.ConnectorID{0, t.Connector} {
			if own := p.desired[desiredKey{kind: DesiredAvailability, connector: k}]; own != nil {
				d = own
			}
		}
	}
	return d
}

// Waiting is something desired of a connector that its charging point has not done
// yet. The zero value means nothing.
type Waiting struct {
	For   WaitingFor
	Since charge.Time
}

// WaitingFor is what is waited for.
type WaitingFor string

// What a connector may wait for.
const (
	WaitsForStart        WaitingFor = "start"        // of a session: for the command, and for the plug
	WaitsForStop         WaitingFor = "stop"         // of a session
	WaitsForReserve      WaitingFor = "reserve"      // of a reservation: not confirmed yet
	WaitsForCancel       WaitingFor = "cancel"       // of an ended reservation that may still be held
	WaitsForAvailability WaitingFor = "availability" // to be taken out of service, or back
)

// WaitingOf returns what a connector has been waiting for longest; c is the
// connector as its records report it. An operator can end each of these without
// the charging point.
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
	for _, d := range byRequested(p.desired) {
		switch {
		case d.Kind == DesiredStart && d.Connector == t.Connector:
			older(WaitsForStart, d.RequestedAt)
		case d.Kind == DesiredStop && d.Connector == t.Connector:
			older(WaitsForStop, d.RequestedAt)
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
