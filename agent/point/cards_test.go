package point_test

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/cards"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

var theCard = charge.IDToken("04A1B2C3").Hash()

// withReader starts a core of a charging point with n connectors and a card reader.
func withReader(t *testing.T, n int) *rig {
	t.Helper()
	return start(t, n, func(c *point.Config, found *point.Recovered) {
		c.Cards = cards.Policy{Wait: cards.DefaultWait, CacheFor: time.Hour}
		found.Saved = append(found.Saved, connector.Saved{}) // of the charging point as a whole
	})
}

func (r *rig) tap(request string) {
	r.step(point.CardPresented{Card: theCard, Request: request, NewSession: charge.SessionID("own-" + request)})
}

// TestACardIsAnswered: with a connection Central is asked, its answer begins the session
// at the connector that is plugged in, and the card ends it.
func TestACardIsAnswered(t *testing.T) {
	r := withReader(t, 2)
	r.step(point.Connected{Conn: 1})
	r.step(point.PilotChanged{Connector: 2, Pilot: charge.PilotB})
	r.settled()
	r.tap("r1")
	r.settled()
	r.order(0, &wire.Authorize{RequestID: "r1", Allowed: true, SessionID: "s1", Username: "anna", Tariff: "t1"})
	if f, ok := has[point.ReadMeter](r); !ok || f.Connector != 2 {
		t.Fatalf("an answer gives %+v, want a reading of the meter", r.effects)
	}
	r.step(point.MeterRead{Connector: 2, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
	r.settled()
	const want = "cp_registered plugged_in authorization_requested command_accepted authorized AUTHORIZE_done"
	if got := r.story(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if x := r.connector(2).Session; x.ID != "s1" || x.Username != "anna" || x.Card != theCard {
		t.Errorf("session %+v", x)
	}
	r.at += cards.SameTap
	r.tap("r2")
	if got := r.connector(2).Session.Ending.Reason; got != charge.StopLocal {
		t.Errorf("a second tap: the session ends as %q", got)
	}
}

// TestACardWithoutAnAnswer: the wait has an end, by the timer of the core; a late answer
// has no effect.
func TestACardWithoutAnAnswer(t *testing.T) {
	r := withReader(t, 1)
	r.step(point.Connected{Conn: 1})
	r.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotB})
	r.settled()
	r.tap("r1")
	r.settled()
	r.at += cards.DefaultWait
	r.step(point.TimerFired{})
	if f, ok := has[point.CardRefused](r); !ok || f.Reason != cards.ReasonUnknown {
		t.Fatalf("after the wait: %+v", r.effects)
	}
	r.order(0, &wire.Authorize{RequestID: "r1", Allowed: true, SessionID: "s1", Username: "anna"})
	r.settled()
	const want = "cp_registered plugged_in authorization_requested authorization_requested AUTHORIZE_rejected_not_waiting"
	if got := r.story(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTheLocalListIsKept: it is in what a checkpoint holds, and the next boot reports it
// and charges by it without a connection.
func TestTheLocalListIsKept(t *testing.T) {
	r := withReader(t, 1)
	entries := []wire.LocalListEntry{{TokenHash: theCard, Username: "anna", Limit: 5000}}
	r.order(0, &wire.SetLocalList{Version: 7, Entries: entries, Digest: wire.ListDigest(entries)})
	r.settled()
	if got, want := r.story(), "cp_registered command_accepted SET_LOCAL_LIST_done"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	saved := r.core.View().Saved
	next := start(t, 1, func(_ *point.Config, found *point.Recovered) { found.Saved = saved })
	p, err := next.records[0].Payload()
	if err != nil {
		t.Fatal(err)
	}
	if reg, ok := p.(*wire.Registered); !ok || reg.LocalList == nil || *reg.LocalList != (wire.ListState{Version: 7, Digest: wire.ListDigest(entries)}) {
		t.Errorf("the next boot reports %+v", p)
	}
	next.step(point.PilotChanged{Connector: 1, Pilot: charge.PilotB})
	next.tap("r1")
	if got := next.connector(1).Pending; got.Session != "own-r1" || got.Username != "anna" || got.Limit.Energy != 5000 {
		t.Errorf("a card of the list: %+v", got)
	}
}
