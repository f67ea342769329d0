package connector_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestTheCardSurvivesARestart: a session that is resumed is still that of its card.
func TestTheCardSurvivesARestart(t *testing.T) {
	p := newPlayer(connector.Policy{Resume: true})
	p.s.Pilot, p.s.Meter = charge.PilotB, connector.Meter{Known: true, Last: connector.Reading{Import: 1000}}
	p.step(p.reboot(false))
	p.step(connector.Registered{Now: p.now()})
	p.at = time.Second
	p.step(connector.CardAllowed{Now: p.now(), Session: "s1", Username: "anna", Card: theCard(), By: wire.GrantLocalList})
	if got := connector.ForCards(p.s); got.Session != "s1" || got.Card != theCard() || !got.Waits || got.Free {
		t.Errorf("before the register is read: %+v", got)
	}
	p.step(connector.MeterRead{Now: p.now(), Reading: connector.Reading{BegunAt: p.at, Import: 1000}})
	p.step(p.reboot(true))
	p.step(connector.Registered{Now: p.now(), Unfinished: p.saved.Unfinished})
	if got := connector.ForCards(p.s); got.Session != "s1" || got.Card != theCard() || got.Username != "anna" || got.Waits {
		t.Errorf("after a restart: %+v", got)
	}
}
