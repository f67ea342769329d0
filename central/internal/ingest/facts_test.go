package ingest_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A fact states what the ledger made of a record, not what the record states: one
// that cannot be used, because it names a session of another charging point or
// another connector, began and ended nothing.
func TestFactsFollowTheLedger(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		a, ghost := journaltest.New(t, "CP_1"), journaltest.New(t, "GHOST")
		l.deliver(wire.TopicEvents, a.All...)
		l.deliver(wire.TopicEvents, ghost.All...)
		grant := &wire.Authorized{By: wire.GrantOrder, Username: "ann", Register: 1000}
		started := &wire.ChargingStarted{Register: 1000, Username: "ann"}
		stopped := &wire.ChargingStopped{Start: 1000, Register: 1500, Reason: charge.StopLocal, Username: "ann"}
		l.deliver(wire.TopicEvents, a.Write(1, "s1", grant), a.Write(1, "s1", started))
		for _, p := range []wire.Payload{grant, started, stopped} {
			l.deliver(wire.TopicEvents, ghost.Write(1, "s1", p), a.Write(2, "s1", p), ghost.Write(1, "", p))
		}
		l.deliver(wire.TopicEvents,
			a.Write(1, "s1", stopped), a.Write(1, "", &wire.FaultRaised{Fault: charge.FaultOther}), a.Write(1, "", &wire.FaultCleared{Fault: charge.FaultOther}))
		synctest.Wait()
		facts, _ := l.live.Facts(0)
		at := view.Fact{CPID: "CP_1", Connector: 1}
		session, fault := at, at
		session.Kind, session.SessionID, session.Username = view.FactSession, "s1", "ann"
		fault.Kind, fault.Subject = view.FactFault, "other"
		want := []view.Fact{session, session, session, fault, fault}
		for i, c := range []struct {
			what         view.FactWhat
			reason, text string
		}{
			{view.WhatBegun, "", "session s1 of ann begins at CP_1/1"},
			{view.WhatCharges, "", "session s1 charges at CP_1/1"},
			{view.WhatStopped, "local", "session s1 at CP_1/1 stopped: local"},
			{view.WhatRaised, "", "fault other at CP_1/1"},
			{view.WhatOver, "", "fault other at CP_1/1 is over"},
		} {
			want[i].What, want[i].Reason, want[i].Text = c.what, c.reason, c.text
		}
		var got []view.Fact
		for _, f := range facts {
			if f.Kind == view.FactSession || f.Kind == view.FactFault {
				f.N, f.At = 0, 0
				got = append(got, f)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	})
}
