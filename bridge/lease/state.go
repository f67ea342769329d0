package lease

import "github.com/carga-ev/carga/internal/charge"

const (
	// Patience is how many heartbeats of its own a bridge reads without one of the
	// active bridge before it takes over. There is one each second.
	Patience = 3
	// Idle is how many heartbeats an active bridge sends without a connection before
	// it gives up.
	Idle = 10
)

// Beat is the part of a heartbeat that is about the lease.
type Beat struct {
	Bridge  string
	Started charge.Time // of the bridge: distinguishes its runs
	Term    int64       // of its claim, or the highest that it has read
	Holds   bool        // it is active, or claims to be
	Number  int64       // counts the heartbeats of a run
}

// Role is what a bridge may do.
type Role int

// The roles of a bridge.
const (
	Standby  Role = iota
	Claiming      // its claim is on the way to the log
	Checking      // it is active, and finds out whether that is still so
	Active        // it may connect
)

// State is the view of one bridge.
type State struct {
	bridge  string
	started charge.Time

	role      Role
	term      int64  // the highest of all claims
	holder    string // the active bridge; "" if none is known
	silent    int    // own heartbeats in the log since the last of the holder
	number    int64  // of the last heartbeat sent
	need      int64  // while Checking: the heartbeat that has to come back
	used      bool   // while Active: an attempt to connect was made
	connected bool
	idle      int // heartbeats sent while active and not connected
}

// New returns the state of a bridge that starts: it stands by.
func New(bridge string, started charge.Time) *State { return &State{bridge: bridge, started: started} }

// Role returns the present role.
func (s *State) Role() Role { return s.role }

// Holder is the name of the active bridge, as far as is known.
func (s *State) Holder() string { return s.holder }

// Beat returns the next heartbeat.
func (s *State) Beat() Beat {
	if s.role == Checking || s.role == Active {
		s.idle++
		if s.connected {
			s.idle = 0
		}
		if s.idle > Idle {
			s.stand("", -Patience)
		}
	}
	s.number++
	return Beat{s.bridge, s.started, s.term, s.role != Standby, s.number}
}

// stand lets the bridge stand by, with an active one, which may be unknown.
func (s *State) stand(holder string, silent int) {
	s.role, s.holder, s.silent, s.idle = Standby, holder, silent, 0
}

// Read reads a heartbeat, of any bridge of the session, in the order of the log. It
// reports whether a heartbeat is to be sent at once.
func (s *State) Read(b Beat) (send bool) {
	if b.Bridge == s.bridge && b.Started == s.started {
		return s.readOwn(b)
	}
	switch {
	case !b.Holds, b.Term < s.term:
	case b.Term == s.term && (s.role == Checking || s.role == Active): // own claim was before it
	default:
		s.term = b.Term
		s.stand(b.Bridge, 0)
	}
	return false
}

func (s *State) readOwn(b Beat) (send bool) {
	switch s.role {
	case Standby:
		if b.Holds { // from before it stood by
			return false
		}
		s.silent++
		if s.silent < Patience {
			return false
		}
		s.role, s.term, s.holder = Claiming, s.term+1, s.bridge
		return true
	case Claiming:
		if b.Holds && b.Term == s.term {
			s.role, s.used, s.idle = Active, false, 0
		}
	case Checking:
		if b.Number >= s.need {
			s.role, s.used = Active, false
		}
	case Active:
	}
	return false
}

// Attempt asks for an attempt to connect. If it is not permitted, it may be asked
// again after the next change of the role. It reports whether a heartbeat is to be
// sent at once.
func (s *State) Attempt() (permitted, send bool) {
	if s.role != Active {
		return false, false
	}
	if !s.used {
		s.used = true
		return true, false
	}
	s.role, s.need = Checking, s.number+1
	return false, true
}

// Connected reports that there is a connection to MQTT, or that it has ended.
func (s *State) Connected(yes bool) { s.connected = yes }
