package autonomy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
)

// TestThirtyDaysOffline: a charging point with 16 connectors has 10 000 sessions in
// 30 days without a connection, and some power cuts. No session is refused, neither
// the quota nor the memory is used up; then the connection returns, and Central
// bills each watt-hour once.
func TestThirtyDaysOffline(t *testing.T) {
	t.Parallel()
	const (
		connectors = 16
		month      = 30 * 24 * time.Hour
		cuts       = 5
		slot       = month * connectors / sessions // of one session
	)
	rng := rand.New(rand.NewPCG(1, 2))
	s := newSite(t, connectors)
	s.policy.Resume = true
	s.start()
	var early map[string]int // elements in memory after the first tenth
	charging := make([]time.Duration, connectors)
	next := make([]time.Duration, connectors) // when it is plugged or unplugged next
	for i := range next {
		next[i] = slot * time.Duration(i) / connectors
	}
	begun, lastCut := 0, time.Duration(0)
	for begun < sessions || plugged(s) {
		s.pass(2*time.Minute, 2*time.Minute)
		for i, o := range s.outlets {
			n := charge.ConnectorID(i + 1)
			switch {
			case s.at < next[i]:
			case o.pilot == charge.PilotC:
				s.unplug(n)
				next[i] += slot - charging[i]
			case begun < sessions:
				begun++
				o.power = charge.Watts(3000 + rng.Int64N(19_000))
				s.plug(n)
				if id := s.run.core.View().Connectors[i].Session.ID; id == "" {
					t.Fatalf("session %d is refused after %s: %d permille of the quota are used", begun, s.at, s.run.log.QuotaPermille())
				}
				charging[i] = slot/2 + time.Duration(rng.Int64N(int64(slot)*2/5))
				next[i] += charging[i]
			}
		}
		s.step(point.DiskChecked{Held: s.held(), Permille: s.run.log.QuotaPermille()})
		if s.at-lastCut > month/(cuts+1) {
			lastCut = s.at
			s.settleCut(rng.IntN(2) == 0)
			if s.at += time.Minute; !s.start() {
				t.Fatal("it does not start")
			}
			early = nil
		}
		if early == nil && s.at-lastCut > time.Hour*24 {
			early = growth.Elements(s.run.core)
		}
	}
	s.pass(time.Minute, time.Second)
	days := s.at.Hours() / 24
	used := s.run.log.QuotaPermille()
	unacked := s.run.core.View().Delivery.Unacked()
	if used >= 900 || days < 29.9 {
		t.Errorf("%d permille of the quota are used after %.1f days", used, days)
	}
	for _, line := range growth.More(early, growth.Elements(s.run.core), 64) {
		t.Errorf("since the first day after the last power cut the core%s", line)
	}
	s.step(point.Connected{Conn: 1})
	for s.run.core.View().Delivery.Unacked() > 0 {
		s.pass(time.Minute, time.Minute)
	}
	billed, tickets := s.central.Billed(), len(s.central.Tickets)
	t.Logf("%d sessions in %.1f days with %d power cuts: %d records, %d permille of the quota; %d tickets, %d Wh metered, %d Wh billed",
		begun, days, cuts, unacked, used, tickets, s.metered(), billed)
	if billed != s.metered() || tickets != begun {
		t.Errorf("%d tickets over %d Wh, want %d over %d Wh", tickets, billed, begun, s.metered())
	}
	if len(s.central.Violations) > 0 || len(s.central.Gaps) > 0 {
		t.Error(fmt.Sprint(s.central.Violations, s.central.Gaps))
	}
}

// plugged reports whether a vehicle is plugged in.
func plugged(s *site) bool {
	for _, o := range s.outlets {
		if o.pilot != charge.PilotA {
			return true
		}
	}
	return false
}
