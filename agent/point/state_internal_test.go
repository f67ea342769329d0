package point

import (
	"slices"
	"testing"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
)

// TestNoPermissionOutlivesAnOpenContactor: contactors open first in a step, so a
// permission that the same step gave before must not follow.
func TestNoPermissionOutlivesAnOpenContactor(t *testing.T) {
	s := &State{connectors: make([]connector.State, 2)}
	s.effects = []Effect{Permit{Connector: 1}, Permit{Connector: 2}}
	s.stepConnector(1, connector.FaultSeen{Fault: charge.FaultOther})
	if !slices.Equal(s.opening, []Effect{OpenContactor{1}}) || !slices.Equal(s.effects, []Effect{Permit{Connector: 2}}) {
		t.Errorf("opening %+v, then %+v", s.opening, s.effects)
	}
}
