package ingest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/central/internal/audit"
	"github.com/carga-ev/carga/central/internal/journaltest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// verified fails the test if the database does not verify.
func (l *instance) verified() {
	l.t.Helper()
	r, err := audit.Run(l.t.Context(), l.store)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range r.Checks {
		for _, line := range c.Findings {
			l.t.Errorf("verify: %s: %s", c.Name, line)
		}
	}
}

// Well-formed records with contradictory content raise an alarm and block
// nothing. None is a dead letter, and the books verify.
func TestRecordsWithoutSense(t *testing.T) {
	grant := func(p *journaltest.Point, k charge.ConnectorID, s charge.SessionID) {
		p.Write(k, s, &wire.Authorized{By: wire.GrantOrder, Username: "u", Register: 1000})
	}
	for _, tc := range []struct {
		name     string
		alarm    string
		acked    charge.Seq // of the present journal
		messages func(p *journaltest.Point) []journaltest.Message
	}{
		{"a session at two connectors", "record_unusable", 4, func(p *journaltest.Point) []journaltest.Message {
			grant(p, 1, "A")
			p.Write(2, "A", &wire.MeterRead{Register: 1000})
			grant(p, 1, "B")
			return p.All
		}},
		{"two sessions at once", "session_orphaned", 3, func(p *journaltest.Point) []journaltest.Message {
			grant(p, 1, "A")
			grant(p, 1, "B")
			return p.All
		}},
		{"a journal after itself", "record_unusable", 1, func(p *journaltest.Point) []journaltest.Message {
			return []journaltest.Message{p.Presence(1, charge.Epoch{}), like(p, 0, func(r *wire.Record) {
				r.Prev = strings.Repeat("b", 64)
				r.Data = []byte(strings.Replace(string(r.Data), `"after":null`, `"after":{"journal":"`+string(r.Journal)+`","seq":1}`, 1))
			})[0]}
		}},
		{"a root after something", "record_unusable", 1, func(p *journaltest.Point) []journaltest.Message {
			return []journaltest.Message{p.Presence(1, charge.Epoch{}), like(p, 0, func(r *wire.Record) { r.Prev = strings.Repeat("c", 64) })[0]}
		}},
		{"a stray record", "record_mismatch", 2, func(p *journaltest.Point) []journaltest.Message {
			wrong := next(p, func(r *wire.Record) { r.Prev = strings.Repeat("0", 64) })
			p.Write(1, "", &wire.PluggedIn{})
			return []journaltest.Message{p.All[0], wrong[0], p.All[1]}
		}},
		{"a stop without a start, twice", "", 3, func(p *journaltest.Point) []journaltest.Message {
			for range 2 {
				p.Write(1, "A", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1000, Register: 2000})
			}
			return p.All
		}},
		{"damage beyond all numbers", "record_unusable", 1, func(p *journaltest.Point) []journaltest.Message {
			return like(p, 0, func(r *wire.Record) {
				r.Data = []byte(strings.Replace(string(r.Data), `"agent":`,
					`"damaged":[{"journal":"`+string(r.Journal)+`","first":1,"last":18446744073709551615,"reason":""}],"agent":`, 1))
			})
		}},
	} {
		dir := t.TempDir()
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := central(t, dir)
				defer l.end()
				p := journaltest.New(t, "CP_1")
				messages := tc.messages(p)
				for range 2 { // an agent sends again what was not acknowledged
					for _, m := range messages {
						topic := wire.TopicEvents
						if m.Kind != "" {
							topic = wire.TopicMonitor
						}
						l.deliver(topic, m)
						synctest.Wait()
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got := l.out.acked("CP_1"); got != tc.acked {
					t.Errorf("acknowledged %d, want %d", got, tc.acked)
				}
				if got := l.alarms(); tc.alarm != "" && got[tc.alarm] == 0 || got["dead_letter"] > 0 {
					t.Errorf("alarms: got %v, want %q", got, tc.alarm)
				}
				if n := l.counters()["dead_letters"]; n != 0 {
					t.Errorf("%d dead letters, want none", n)
				}
				l.verified()
			})
		})
	}
}

// The figure that must be 0 is 1, and an alarm has the reason. The books are
// not called wrong, because the charging point reported it so.
func TestEnergyOnTwoTicketsIsShown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := central(t, dir)
		defer l.end()
		p := journaltest.New(t, "CP_1")
		p.Register = 10_000
		p.Write(1, "W", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1000, Register: 1001})
		p.Write(1, "A", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1500, Register: 2000})
		l.deliver(wire.TopicEvents, p.All...)
		synctest.Wait()
		if n := l.live.Network().Books.Twice; n != 0 {
			t.Errorf("twice: got %d, want 0", n)
		}
		l.deliver(wire.TopicEvents, p.Write(1, "B", &wire.ChargingStopped{Reason: charge.StopLocal, Start: 1900, Register: 2400}))
		synctest.Wait()
		if n := l.live.Network().Books.Twice; n != 1 {
			t.Errorf("twice: got %d, want 1: 100 Wh are on two tickets", n)
		}
		if got := l.alarms(); got["sessions_overlap"] != 1 {
			t.Errorf("alarms: got %v, want sessions_overlap", got)
		}
		l.verified()
		r, err := audit.Run(t.Context(), l.store)
		if err != nil || r.Reported() != 1 {
			t.Errorf("verify lists %d things that were reported, %v; want one", r.Reported(), err)
		}
	})
}
