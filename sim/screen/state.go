package screen

import (
	"slices"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Point is what the screen shows of a charging point with one connector.
type Point struct {
	Status  charge.Status // as its agent has it; empty before the first boot
	Plugged bool
	Driver  charge.Username
	Power   charge.Watts
	Session bool
	Energy  charge.WattHours // of the session
	Unacked int64            // records that Central has not acknowledged
	Linked  bool             // to the broker
	Since   time.Time        // of Linked
	Reason  string           // why it is not linked
	Faults  []charge.Fault
}

// Event is something that happened: a Key, a Resized, a Ticked, a Seen or a Done.
//
//sumtype:decl
type Event interface{ event() }

// Key is a pressed key: a character, or a name such as "up", "pgdown", "enter".
type Key string

// Resized is the size of the terminal in characters.
type Resized struct{ Width, Height int }

// Ticked is the time to read what is shown again.
type Ticked struct{}

// Seen is the answer to a Read.
type Seen struct {
	Points map[int]Point
	Totals string // of the fleet, in words; empty: not read
}

// Done is how an Operate ended; empty means that it was done.
type Done struct {
	Operate Operate
	Err     string
}

func (Key) event()     {}
func (Resized) event() {}
func (Ticked) event()  {}
func (Seen) event()    {}
func (Done) event()    {}

// Effect is something to do: a Read, an Operate or a Quit.
//
//sumtype:decl
type Effect interface{ effect() }

// Read reads points, by their numbers, and the totals of the fleet if asked for.
type Read struct {
	Points []int
	Totals bool
}

// Operate does at a point, by its number, what a person does on site. Words are as on
// the command line: plug, tap 04A1B2C3.
type Operate struct {
	Point int
	Words string
}

// Quit ends the screen.
type Quit struct{}

func (Read) effect()    {}
func (Operate) effect() {}
func (Quit) effect()    {}

// mode is what the keys act on.
type mode int

const (
	listing   mode = iota // the table
	searching             // the text that ids must contain
	tapping               // the number of a card
	choosing              // the kind of a fault
	helping               // the list of keys
)

// State is the state of the screen. Its zero value is not valid: use New.
//
// Invariant: 0 ≤ top ≤ cursor < top+rows() and cursor < len(shown), unless nothing
// is shown; then top and cursor are 0.
type State struct {
	ids     []charge.CPID
	longest int // length of an id
	faults  []charge.Fault

	shown         []int // numbers of the points that match search, in order
	top, cursor   int   // in shown: the first in view, the selected one
	width, height int
	points        map[int]Point // of those in view; one that is missing has not been read
	totals        string

	mode    mode
	search  string
	card    string // as last typed
	fault   int    // in faults: the selected one
	message string // about the last operation
}

// New returns the screen of a fleet with these ids. faults can be chosen.
func New(ids []charge.CPID, faults []charge.Fault) State {
	s := State{ids: ids, faults: faults, width: 80, height: 24}
	for _, id := range ids {
		s.longest = max(s.longest, len(id))
	}
	s.filter()
	return s
}

// Step returns the state after an event, and what is to be done. The effects may be
// performed at once and in any order.
func (s State) Step(e Event) (State, []Effect) {
	before := s.inView()
	var effects []Effect
	switch e := e.(type) {
	case Key:
		effects = s.stepKey(string(e))
	case Resized:
		s.width, s.height = e.Width, e.Height
		s.scroll()
	case Ticked:
		return s, []Effect{Read{s.inView(), true}}
	case Seen:
		s.stepSeen(e)
	case Done:
		s.message = string(s.ids[e.Operate.Point]) + ": " + e.Operate.Words + ": "
		if e.Err == "" {
			s.message += "done"
		} else {
			s.message += e.Err
		}
		effects = append(effects, Read{s.inView(), false}) // its result is soon to be seen
	}
	if after := s.inView(); !slices.Equal(before, after) {
		effects = append(effects, Read{after, false})
	}
	return s, effects
}

// stepSeen keeps of what was read what is in view, and what was known of the others in view.
func (s *State) stepSeen(e Seen) {
	known := s.points
	s.points = map[int]Point{}
	for _, n := range s.inView() {
		if p, read := e.Points[n]; read {
			s.points[n] = p
		} else if p, is := known[n]; is {
			s.points[n] = p
		}
	}
	if e.Totals != "" {
		s.totals = e.Totals
	}
}

// filter shows the points whose ids contain the search text in any case. The selected
// one stays selected if it is among them.
func (s *State) filter() {
	selected, some := s.selected()
	s.shown = nil
	for n, id := range s.ids {
		if strings.Contains(strings.ToLower(string(id)), strings.ToLower(s.search)) {
			s.shown = append(s.shown, n)
		}
	}
	s.cursor = 0
	if i := slices.Index(s.shown, selected); some && i >= 0 {
		s.cursor = i
	}
	s.scroll()
}

// scroll restores the invariant after cursor, shown or the size has changed.
func (s *State) scroll() {
	s.cursor = max(0, min(s.cursor, len(s.shown)-1))
	s.top = max(0, min(s.top, len(s.shown)-s.rows()))
	s.top = min(s.top, s.cursor)
	s.top = max(s.top, s.cursor-s.rows()+1)
}

// selected returns the number of the selected point; false if none is shown.
func (s *State) selected() (int, bool) {
	if s.cursor >= len(s.shown) {
		return 0, false
	}
	return s.shown[s.cursor], true
}

// inView returns the numbers of the points in view.
func (s *State) inView() []int { return s.shown[s.top:min(s.top+s.rows(), len(s.shown))] }
