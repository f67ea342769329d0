package ledger_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// strangers returns two devices with one identity, each with its own storage and
// meter, and a ledger. Both have booted.
func strangers(clock charge.ClockQuality) (a, b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
	a, b = ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewChargingPoint("CP", 1, morning+30)
	a.Connectors[1].Register, b.Connectors[1].Register = 3_231_447, 185_077
	a.Clock, b.Clock = clock, clock
	b.Boots = 1000 // its journals have other names
	bk = ledgertest.NewBook("CP", morning)
	bk.Apply(a.Boot())
	bk.Apply(b.Boot())
	return a, b, bk
}

// A presence of a second device in the middle of a session changes neither the meter
// nor the bill.
func TestAPresenceChangesNoAccount(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(b *ledgertest.ChargingPoint, bk *ledgertest.Book){
		"none": func(*ledgertest.ChargingPoint, *ledgertest.Book) {},
		"presence": func(b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
			bk.ApplyPresence(b.Presence(wire.Position{}, epoch(1)))
		},
		"presence and records": func(b *ledgertest.ChargingPoint, bk *ledgertest.Book) {
			bk.ApplyPresence(b.Presence(wire.Position{}, epoch(1)))
			b.Raise(1, charge.FaultOther)
			b.Clear(1)
			for _, r := range b.Log[1:] {
				bk.Apply(r)
			}
		},
	} {
		for _, clock := range []charge.ClockQuality{charge.ClockSet, charge.ClockSynced} {
			t.Run(name+", clock "+string(clock), func(t *testing.T) {
				t.Parallel()
				a, b, bk := strangers(clock)
				bk.ApplyPresence(a.Presence(wire.Position{}, epoch(1)))
				a.Now += 6000
				a.Plug(1)
				a.Grant(1, "s", "fay", "")
				a.Begin(1)
				for range 8 {
					a.Now += 30_000
					a.Flow(1, 91)
					a.Sample(1)
				}
				for _, r := range a.Log[1:] {
					bk.Apply(r)
				}
				b.Now = a.Now + 1000
				second(b, bk)
				if s := bk.Sessions["s"]; s.State != ledger.SessionOpen {
					t.Errorf("the session is %s while its records come, want it open", s.State)
				}
				a.Now = b.Now + 5000
				a.Flow(1, 167)
				a.Stop(1, charge.StopReboot)
				bk.Apply(a.Log[len(a.Log)-1])
				m := bk.CP.Meters[1]
				if metered := m.Carried + m.Last - m.First; metered != 895 || m.Billed != 895 || m.Unaccounted() != 0 {
					t.Errorf("metered %d Wh, billed %d Wh, unaccounted %d Wh; want 895, 895 and 0", metered, m.Billed, m.Unaccounted())
				}
			})
		}
	}
}

// The books follow from the records alone: whatever presences come between them, of
// whichever device with this identity, the ledger is the same.
func TestTheBooksFollowFromTheRecords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clocks := []charge.ClockQuality{charge.ClockUnset, charge.ClockSet, charge.ClockSynced}
		a, b, bk := strangers(rapid.SampledFrom(clocks).Draw(t, "clock"))
		without := ledgertest.NewBook("CP", morning)
		without.Apply(a.Log[0])
		without.Apply(b.Log[0])
		clock := morning + 1000
		sent := map[*ledgertest.ChargingPoint]int{a: 1, b: 1}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d := rapid.SampledFrom([]*ledgertest.ChargingPoint{a, b}).Draw(t, "device")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				bk.ApplyPresence(d.Presence(wire.Position{}, epoch(1)))
			case 1:
				p := d.Presence(wire.Position{}, epoch(1))
				p.Conn += uint64(rapid.IntRange(0, 5).Draw(t, "conn"))
				p.Online = rapid.Bool().Draw(t, "online")
				bk.ApplyPresence(p)
			default:
				d.Now = max(d.Now, clock)
				act(t, d, true)
				clock = d.Now
				if rapid.IntRange(0, 4).Draw(t, "held up") == 0 {
					break // its records come later
				}
				for ; sent[d] < len(d.Log); sent[d]++ {
					got, _ := bk.Apply(d.Log[sent[d]])
					want, _ := without.Apply(d.Log[sent[d]])
					if got.Verdict != want.Verdict {
						t.Fatalf("record %s/%d: %s, without presences %s", d.Log[sent[d]].Journal, d.Log[sent[d]].Seq, got.Verdict, want.Verdict)
					}
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "restarted") == 0 {
				bk.CP = bk.Load()
			}
		}
		if len(bk.Violations) != 0 {
			t.Fatal(bk.Violations)
		}
		if bk.Hash() != without.Hash() {
			t.Fatalf("the ledger with presences is\n%q\nwithout them\n%q", lines(bk), lines(without))
		}
	})
}

func lines(bk *ledgertest.Book) []string {
	var ss []ledger.Session
	for _, s := range bk.Sessions {
		ss = append(ss, s)
	}
	var ts []ledger.Ticket
	for _, t := range bk.Tickets {
		ts = append(ts, t)
	}
	return ledger.AccountLines(bk.FullState(), ss, ts)
}
