package connector_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// TestTheLimitOfACard: a session of the local list and one of an AUTHORIZE end with the
// reading that reaches the limit of the card, without Central and after a restart too.
func TestTheLimitOfACard(t *testing.T) {
	limit := charge.SessionLimit{Energy: 500, Amount: 300}
	for name, begin := range map[string]func(p *player) connector.Event{
		"local list": func(p *player) connector.Event {
			return connector.CardAllowed{Now: p.now(), Session: "s1", Username: "anna", Card: theCard(), By: wire.GrantLocalList, Limit: limit}
		},
		"AUTHORIZE": func(p *player) connector.Event {
			return connector.CommandReceived{Now: p.now(), ID: "c1", Raw: "{}", Card: theCard(), Order: &wire.Authorize{
				RequestID: "r1", Allowed: true, SessionID: "s1", Username: "anna", Limit: limit.Energy, LimitAmount: limit.Amount,
			}}
		},
	} {
		for _, reboots := range []bool{false, true} {
			p := newPlayer(connector.Policy{Resume: true})
			p.s.Pilot, p.s.Meter = charge.PilotB, connector.Meter{Known: true, Last: connector.Reading{Import: 1000}}
			p.step(p.reboot(false))
			p.step(connector.Registered{Now: p.now()})
			p.at = time.Second
			p.step(begin(p))
			p.step(connector.MeterRead{Now: p.now(), Reading: connector.Reading{BegunAt: p.at, Import: 1000}})
			if got := p.s.Session.Limit; got != limit {
				t.Fatalf("%s: the session has the limit %+v, want %+v", name, got, limit)
			}
			if reboots {
				p.step(p.reboot(true))
				p.step(connector.Registered{Now: p.now(), Unfinished: p.saved.Unfinished})
			}
			for _, wh := range []charge.WattHours{1499, 1500} {
				p.at += time.Second
				p.step(connector.MeterRead{Now: p.now(), Reading: connector.Reading{BegunAt: p.at, Import: wh}})
				reached := p.s.Session.ID == "" || p.s.Session.Ending.Reason == charge.StopLimitReached
				if want := wh == 1500; reached != want {
					t.Errorf("%s, restart %v: at %d Wh the limit was reached: %v, session %+v", name, reboots, wh, reached, p.s.Session)
				}
			}
		}
	}
}

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
