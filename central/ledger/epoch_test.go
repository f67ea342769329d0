package ledger_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

const lastNumber = charge.MaxEpochNumber

// claims is a ledger of an active Central, and its charging point, which publishes
// presences.
type claims struct {
	*ledgertest.Book
	b *ledgertest.ChargingPoint
}

func newClaims() *claims {
	c := &claims{ledgertest.NewBook("CP", morning), ledgertest.NewChargingPoint("CP", 1, morning)}
	c.Env.Active, c.Env.Central = true, charge.Epoch{Number: 100_001, Run: "8000000000000000"}
	c.Apply(c.b.Boot())
	return c
}

// publish delivers a presence that names an epoch, after a time.
func (c *claims) publish(after charge.Time, e charge.Epoch) wire.Presence {
	c.Env.Now += after
	p := c.b.Presence(wire.Position{}, e)
	p.At = c.Env.Now
	c.ApplyPresence(p)
	return p
}

func (c *claims) epoch() charge.Epoch { return c.CP.Epoch(c.Env.Central) }

// restart is a start of Central with the least run there is.
func (c *claims) restart() {
	c.CP = c.Load()
	c.Env.Central = charge.Epoch{Number: c.Env.Central.Number + 1, Run: "0000000000000000"}
}

// One presence, however often the broker delivers a copy of it, raises the epoch
// for its charging point by a million at most.
func TestOnePresenceRaisesTheEpochALittle(t *testing.T) {
	t.Parallel()
	for _, number := range []uint64{1_100_002, 2_000_000, 999_000_000_000, lastNumber - 1, lastNumber} {
		c := newClaims()
		before := c.epoch()
		p := c.publish(0, charge.Epoch{Number: number, Run: "ffffffffffffffff"})
		for range 100 {
			c.Env.Now += minute
			c.ApplyPresence(p)
		}
		if got := c.epoch(); got != before {
			t.Errorf("a presence named the number %d: the epoch went from %s to %s", number, before, got)
		}
		if a := c.OpenAlarms(ledger.AlarmEpoch); len(a) != 0 {
			t.Errorf("a presence named the number %d: alarm %q", number, a[0].Detail)
		}
	}
}

// A charging point that obeys a far epoch ignores acknowledgements, and names that
// epoch in each presence. Within minutes Central is above it.
func TestAFarEpochIsOutranked(t *testing.T) {
	t.Parallel()
	for _, far := range []charge.Epoch{{Number: 1_200_000, Run: "ffffffffffffffff"}, {Number: 990_000_000_000, Run: "00000000000000ab"}} {
		c := newClaims()
		for range 3 {
			c.publish(5*minute, far)
		}
		if got := c.epoch(); !far.Less(got) {
			t.Errorf("it obeys %s, and after three presences the epoch is %s", far, got)
		}
	}
}

// A presence that names a lower epoch shows that the charging point obeys Central.
func TestAContradictedClaimIsNotBelieved(t *testing.T) {
	t.Parallel()
	far := charge.Epoch{Number: 990_000_000_000, Run: "ffffffffffffffff"}
	for name, honest := range map[string]func(*claims){
		"in order": func(c *claims) { c.publish(0, c.epoch()) },
		"of an older connection than the claim named": func(c *claims) {
			p := c.b.Presence(wire.Position{}, c.epoch())
			p.Conn = 0
			c.ApplyPresence(p)
		},
	} {
		c := newClaims()
		for range 20 {
			c.publish(4*minute, far)
			honest(c)
		}
		if got := c.epoch(); got != c.Env.Central {
			t.Errorf("%s: the epoch is %s, want the own one %s", name, got, c.Env.Central)
		}
	}
}

// At the real end there is an alarm, which does not state as a fact what was only
// named. Deleting the position file helps: Central does not go on at the end.
func TestTheEndOfTheEpochsHasARemedy(t *testing.T) {
	t.Parallel()
	c := newClaims()
	end := charge.Epoch{Number: lastNumber, Run: "ffffffffffffffff"}
	for range 4 {
		c.publish(5*minute, end)
	}
	alarms := c.OpenAlarms(ledger.AlarmEpoch)
	if len(alarms) != 1 || !strings.Contains(alarms[0].Detail, "if it obeys") || !strings.Contains(alarms[0].Detail, "position") {
		t.Fatalf("alarms: %+v, want one that names the remedy", alarms)
	}
	c.restart()
	c.publish(minute, charge.Epoch{}) // its position file was deleted
	if alarms = c.OpenAlarms(ledger.AlarmEpoch); len(alarms) != 0 {
		t.Errorf("after the remedy: %+v", alarms)
	}
	for range 5 {
		obeyed := c.epoch()
		c.publish(minute, obeyed)
		c.restart()
		if !obeyed.Less(c.epoch()) {
			t.Errorf("it obeys %s, and Central restarts with %s", obeyed, c.epoch())
		}
	}
}

// A database of an earlier version can hold a lead that reaches the end.
func TestALeadOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	c := newClaims()
	c.CP.EpochLead = lastNumber - c.Env.Central.Number
	obeyed := c.epoch()
	c.publish(minute, charge.Epoch{})
	c.restart()
	if !obeyed.Less(c.epoch()) {
		t.Errorf("it was sent %s, and after a restart %s", obeyed, c.epoch())
	}
}

// Whatever presences claim, a restart of Central outranks all that Central sent
// before it.
func TestClaimsDoNotExhaustTheEpochs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newClaims()
		var sent charge.Epoch
		claim := charge.Epoch{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				c.restart()
				if !sent.Less(c.epoch()) {
					t.Fatalf("sent %s, and after a restart %s", sent, c.epoch())
				}
			case 1:
				near := c.epoch().Number + uint64(rapid.IntRange(0, 1_100_000).Draw(t, "ahead"))
				claim = charge.Epoch{Number: min(near, lastNumber), Run: "ffffffffffffffff"}
			case 2:
				claim = charge.Epoch{Number: rapid.Uint64Range(lastNumber-2_000_000_000, lastNumber).Draw(t, "number"), Run: "ffffffffffffffff"}
			}
			for range rapid.IntRange(0, 4).Draw(t, "presences") {
				c.publish(4*minute, claim)
			}
			sent = charge.Highest(sent, c.epoch())
		}
	})
}
