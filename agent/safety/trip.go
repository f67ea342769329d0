package safety

import "github.com/carga-ev/carga/internal/charge"

// Tick is one tick: what was measured, and what the rules decided.
type Tick struct {
	In      Inputs
	Verdict Verdict
}

// Trip is the last ticks of a connector before the rules opened its contactor, or
// found a fault. The flight recorder writes it as JSON.
type Trip struct {
	Connector charge.ConnectorID
	LeftOut   int    // trips before it that are not recorded, since one that is
	Limits    Limits // that the rules had
	Before    State  // before the first tick
	Ticks     []Tick // one behind the other; the last one is the trip
}

// Replay applies the rules to the ticks again. It returns the first tick that they
// decide in another way than recorded, and how; -1 if there is none.
func (t *Trip) Replay() (tick int, now Verdict) {
	s := t.Before
	for i := range t.Ticks {
		if s, now = Step(t.Limits, s, t.Ticks[i].In); now != t.Ticks[i].Verdict {
			return i, now
		}
	}
	return -1, Verdict{}
}
