package point_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/point"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// walk applies random events, and returns effects as text. rig.perform checks what
// must hold in each step.
func walk(t *testing.T, seed uint64, steps int, resumes bool) (out string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	r := start(t, 2, func(c *point.Config, _ *point.Recovered) { c.Policy.FreeVend = rng.IntN(2) == 0 })
	r.resumes = resumes
	pilots := []charge.PilotState{charge.PilotA, charge.PilotB, charge.PilotC, charge.PilotC, charge.PilotE}
	conn := uint64(0)
	for i := range steps {
		r.at += time.Duration(rng.IntN(2000)) * time.Millisecond
		n := charge.ConnectorID(1 + rng.IntN(2))
		switch rng.IntN(15) {
		case 0, 1:
			r.step(point.PilotChanged{Connector: n, Pilot: pilots[rng.IntN(len(pilots))], NewSession: charge.SessionID(rune('a' + i%26))})
		case 2:
			r.step(point.ContactChanged{Connector: n, Closed: r.permitted[n]})
		case 3:
			r.step(point.FaultSeen{Connector: n, Fault: charge.FaultOther})
		case 4, 5:
			r.step(point.FaultGone{Connector: n, Fault: charge.FaultOther})
		case 6, 7:
			r.step(point.MeterRead{Connector: n, Reading: connector.Reading{BegunAt: r.at, Import: 1000}})
		case 8:
			r.order(n, &wire.Start{SessionID: charge.SessionID(rune('A' + i%26)), Username: "u"})
		case 9:
			r.order(n, &wire.SetAvailability{Available: rng.IntN(3) > 0})
		case 10:
			r.step(point.TimerFired{})
		case 11:
			conn++
			r.step(point.Connected{Conn: conn})
		case 12:
			if r.batch != nil && rng.IntN(3) == 0 {
				r.refused(true)
			}
		case 14:
			r.order(charge.ConnectorID(rng.IntN(3)), &wire.SetLimit{Limit: charge.MilliAmps(rng.IntN(20_000)), Until: r.now().Wall.Add(time.Duration(rng.IntN(60)) * time.Second)})
		case 13:
			boot := theBoot
			r.step(point.AckReceived{Ack: wire.Ack{V: 1, Central: epoch(1), Journal: &boot, Seq: charge.Seq(1 + rng.IntN(len(r.records)))}, Live: true})
		}
		out += text(t, r.effects)
		if rng.IntN(2) == 0 {
			r.settled()
			out += text(t, r.effects)
		}
	}
	return out
}

// TestRandomWalks: whatever happens in whatever order. A core that goes on from a
// snapshot of itself before each step does the same as one that does not.
func TestRandomWalks(t *testing.T) {
	for seed := range uint64(30) {
		if a, b := walk(t, seed, 200, false), walk(t, seed, 200, true); a != b {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}
