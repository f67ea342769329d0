package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A meter is replaced while a session is open. The agent ends the session with
// registers of the old meter, which do not apply to the new one.
func TestMeterIsChangedInASession(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		now   charge.WattHours // register of the present meter
		spare charge.WattHours // shown as unaccounted
	}{
		{"a new one", 3, 0},
		{"a new one that ran while the agent was off", 3 + 20, 0}, // Central cannot know that it began at 3
		{"the same one, by a clock that was wrong", 1500 + 300, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
			b.Boot()
			b.Plug(1)
			b.Grant(1, "s1", "anna", "")
			b.Begin(1)
			b.Flow(1, 500)
			b.Sample(1)
			o := b.Connectors[1]
			o.Register = tc.now
			b.Boot()
			b.Write(1, "s1", &wire.ChargingStopped{
				Reason: charge.StopPowerLoss, Start: 1000, Register: 1500, OtherMeter: true, Username: "anna",
			})
			o.Session = ""
			b.Unplug(1)
			b.Plug(1)
			b.Grant(1, "s2", "ben", "")
			b.Begin(1)
			b.Flow(1, 40)
			b.Stop(1, charge.StopLocal)
			for _, r := range b.Log {
				bk.Apply(r)
			}
			if e := bk.Tickets["t.s1"].Energy; e != 500 {
				t.Errorf("the ticket bills %d Wh, want 500", e)
			}
			if e := bk.Tickets["t.s2"].Energy; e != 40 {
				t.Errorf("the next ticket bills %d Wh, want 40", e)
			}
			if m := bk.CP.Meters[1]; m.Unaccounted() != tc.spare || m.Billed != 540 {
				t.Errorf("the account is %+v with %d Wh unaccounted, want %d", *m, m.Unaccounted(), tc.spare)
			}
		})
	}
}

// reading is one boot, or one sample in a running session, of a connector whose
// meter shows a register.
type reading struct {
	after time.Duration
	reg   charge.WattHours
	boot  bool // cp_registered of a new boot; else a meter_read of a session
	clock charge.ClockQuality
	lost  bool // before the boot its storage was replaced
}

// A register can be the first one, rise, fall, roll over or be that of another
// meter. The connector is rated at 50 kW.
func TestRegistersThatDoNotGoOn(t *testing.T) {
	t.Parallel()
	boot := func(after time.Duration, reg charge.WattHours) reading {
		return reading{after, reg, true, charge.ClockSynced, false}
	}
	blind := func(after time.Duration, reg charge.WattHours) reading {
		return reading{after, reg, true, charge.ClockUnset, false}
	}
	sample := func(after time.Duration, reg charge.WattHours) reading {
		return reading{after, reg, false, charge.ClockSynced, false}
	}
	bare := func(after time.Duration, reg charge.WattHours) reading {
		return reading{after, reg, true, charge.ClockSynced, true}
	}
	const jumped, back = ledger.AlarmMeterJumped, ledger.AlarmMeterBack
	for _, tc := range []struct {
		name    string
		log     []reading
		metered charge.WattHours
		kind    ledger.AlarmKind // "": none
		names   []string         // what its detail names
	}{
		{"the first register is the meter's whole life: no energy", []reading{boot(0, 7_000_000)}, 0, "", nil},
		{"power flowed while no register was read: shown, if it can have flowed", []reading{boot(0, 1000), boot(10*time.Hour, 501_000)}, 500_000, "", nil},
		{
			"more than could flow in that time",
			[]reading{boot(0, 1000), boot(10*time.Hour, 601_000)},
			0, jumped,
			[]string{" 1000 Wh", " 601000 Wh"},
		},
		{
			"0 after a power cut, then the whole life, without an earlier register",
			[]reading{boot(0, 0), boot(time.Minute, 7_000_000), sample(time.Minute, 7_000_400)},
			400, jumped,
			[]string{" 0 Wh", " 7000000 Wh"},
		},
		{
			"0 after a power cut, then the whole life, in one boot",
			[]reading{boot(0, 0), sample(time.Second, 7_000_000), sample(time.Minute, 7_000_400)},
			400, jumped,
			[]string{" 0 Wh", " 7000000 Wh"},
		},
		{
			"0 after a power cut, then on from the register before: what flowed is counted",
			[]reading{boot(0, 6_999_000), sample(time.Minute, 7_000_000), boot(time.Minute, 0), boot(time.Minute, 7_000_300)},
			1300, jumped,
			[]string{" 0 Wh", " 7000300 Wh", " 7000000 Wh"},
		},
		{
			"0 after a power cut, and it counts from there for a while: no Wh counts twice",
			[]reading{boot(0, 7_000_000), boot(time.Minute, 0), sample(time.Minute, 500), boot(time.Minute, 7_000_700)},
			700, jumped,
			[]string{" 500 Wh", " 7000700 Wh"},
		},
		{
			"far too high for a moment",
			[]reading{boot(0, 5000), boot(time.Minute, 7_000_000), boot(time.Minute, 5100)},
			100, back,
			[]string{" 7000000 Wh", " 5100 Wh", " 5000 Wh"},
		},
		{
			"another meter that stands lower",
			[]reading{boot(0, 1000), sample(time.Hour, 21_000), boot(time.Hour, 300), sample(time.Minute, 700)},
			20_400, back,
			[]string{" 21000 Wh", " 300 Wh"},
		},
		{
			"another meter that stands higher",
			[]reading{boot(0, 1000), sample(time.Hour, 21_000), boot(time.Hour, 9_000_000), sample(time.Minute, 9_000_400)},
			20_400, jumped,
			[]string{" 21000 Wh", " 9000000 Wh"},
		},
		{
			"a display full of nines rolls over",
			[]reading{boot(0, 9_999_000), sample(time.Minute, 9_999_700), boot(time.Minute, 200)},
			1200, back,
			[]string{" 9999700 Wh", " 200 Wh", " 10000000 Wh"},
		},
		{
			"what looked like its end was 0 for a moment",
			[]reading{boot(0, 9_999_700), boot(time.Minute, 0), boot(time.Minute, 9_999_800)},
			300, jumped,
			[]string{" 0 Wh", " 9999800 Wh", " 9999700 Wh"},
		},
		{
			"32 bits roll over",
			[]reading{boot(0, 1<<32-400), boot(time.Minute, 200)},
			600, back,
			[]string{" 4294967296 Wh"},
		},
		{
			"far below its end it cannot have rolled over",
			[]reading{boot(0, 9_000_000), boot(time.Minute, 200), sample(time.Minute, 300)},
			100, back,
			[]string{" 9000000 Wh", " 200 Wh"},
		},
		{
			"another device with a lower register",
			[]reading{boot(0, 7_000_000), bare(time.Minute, 300), sample(time.Minute, 700)},
			400, back,
			[]string{" 7000000 Wh", " 300 Wh"},
		},
		{
			"another device with a slightly lower register",
			[]reading{boot(0, 1000), bare(time.Minute, 300), sample(time.Minute, 700)},
			400, back,
			[]string{" 1000 Wh", " 300 Wh"},
		},
		{
			"another device with a higher register",
			[]reading{boot(0, 1000), bare(time.Minute, 7_000_000), sample(time.Minute, 7_000_400)},
			400, jumped,
			[]string{" 1000 Wh", " 7000000 Wh"},
		},
		{"without a clock a day may have passed", []reading{boot(0, 1000), blind(time.Minute, 1_201_000)}, 1_200_000, "", nil},
		{
			"without a clock more than a day's power is too much",
			[]reading{boot(0, 1000), blind(time.Minute, 2_001_000)},
			0, jumped,
			[]string{" 1000 Wh", " 2001000 Wh"},
		},
		{"uptime counts within a boot that has no clock", []reading{blind(0, 1000), {time.Minute, 9000, false, charge.ClockUnset, false}}, 0, jumped, []string{" 9000 Wh"}},
		{"a coarse register", []reading{boot(0, 1000), sample(time.Second, 2000)}, 1000, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
			for i, r := range tc.log {
				b.Now = b.Now.Add(r.after)
				b.Clock, b.Connectors[1].Register = r.clock, r.reg
				if r.lost {
					b.Lose(1000)
				}
				if r.boot {
					bk.Apply(b.Boot())
					continue
				}
				bk.Apply(b.Write(1, charge.SessionID(fmt.Sprint("s", i)), &wire.Resumed{Register: r.reg}))
			}
			m := bk.CP.Meters[1]
			if got := m.Carried + m.Last - m.First; got != tc.metered {
				t.Errorf("metered %d Wh, want %d: %+v", got, tc.metered, *m)
			}
			for _, kind := range []ledger.AlarmKind{jumped, back} {
				if n := len(bk.OpenAlarms(kind)); n > 0 && tc.kind == "" {
					t.Errorf("alarm %s: %+v, want none", kind, bk.OpenAlarms(kind))
				}
			}
			if tc.kind == "" {
				return
			}
			all := bk.OpenAlarms(tc.kind)
			if len(all) != 1 {
				t.Fatalf("alarms %s: got %+v, want one", tc.kind, all)
			}
			for _, name := range tc.names {
				if !strings.Contains(all[0].Detail, name) {
					t.Errorf("the alarm is %q, want%s in it", all[0].Detail, name)
				}
			}
		})
	}
}

// A step that cannot have flowed is not the energy of a gap either.
func TestAGapHasNoMoreEnergyThanCanHaveFlowed(t *testing.T) {
	t.Parallel()
	for register, want := range map[charge.WattHours]charge.WattHours{1900: 900, 7_000_000: 0, 0: 0} {
		b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
		bk.Apply(b.Boot())
		b.Plug(1) // never arrives
		b.Now = b.Now.Add(time.Minute)
		b.Connectors[1].Register = register
		b.Boot()
		b.Storage = b.Storage[2:]
		bk.ApplyPresence(b.Presence(wire.Position{}, charge.Epoch{}))
		if out, _ := bk.Apply(b.Log[2]); out.Verdict != ledger.Applied || len(bk.Gaps) != 1 {
			t.Fatalf("the record after the gap: %s, %d gaps", out.Verdict, len(bk.Gaps))
		}
		for _, h := range bk.Gaps {
			if h.Energy != want {
				t.Errorf("1000 Wh before the gap, %d Wh after it: got %d Wh, want %d", register, h.Energy, want)
			}
		}
	}
}

// A session that bills a step which cannot have flowed gets its ticket, because
// the charging point reports it so; an alarm names both registers, and the account
// stays balanced.
func TestAStepThatASessionBills(t *testing.T) {
	t.Parallel()
	b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
	b.Connectors[1].Register = 0
	bk.Apply(b.Boot())
	b.Grant(1, "s1", "ann", "")
	b.Begin(1)
	b.Flow(1, 7_000_000)
	b.Stop(1, charge.StopLocal)
	for _, r := range b.Log[1:] {
		bk.Apply(r)
	}
	m := bk.CP.Meters[1]
	if m.Unaccounted() != 0 || m.Billed != 7_000_000 || len(bk.OpenAlarms(ledger.AlarmOverlap)) > 0 {
		t.Errorf("the account is %+v with %d Wh unaccounted, alarms %+v", *m, m.Unaccounted(), bk.Alarms)
	}
	if a := bk.OpenAlarms(ledger.AlarmMeterJumped); len(a) != 1 || !strings.Contains(a[0].Detail, "from 0 Wh to 7000000 Wh") || !strings.Contains(a[0].Detail, "s1") {
		t.Errorf("alarms: %+v, want one that names both registers and the session", a)
	}
}

// faultyMeter is a meter that shows other registers than the true one.
type faultyMeter struct {
	truth  charge.WattHours // energy that flowed
	shown  charge.WattHours // what it shows is shown + what flowed since from
	from   charge.WattHours
	hidden charge.WattHours // the register before it showed something else
	since  charge.WattHours // what had flowed then
}

func (l *faultyMeter) register() charge.WattHours { return l.shown + l.truth - l.from }

// fault changes what the meter shows.
func (l *faultyMeter) fault(t *rapid.T) {
	now := l.register()
	set := func(reg charge.WattHours) { l.shown, l.from = reg, l.truth }
	switch rapid.IntRange(0, 4).Draw(t, "fault") {
	case 0: // from 0
		l.hidden, l.since = now, l.truth
		set(0)
	case 1: // another meter
		l.hidden, l.since = now, l.truth
		set(charge.WattHours(rapid.Int64Range(0, 20_000_000).Draw(t, "register")))
	case 2: // the register before comes back
		set(l.hidden + l.truth - l.since)
	case 3: // close below an end
		set(10_000_000 - charge.WattHours(rapid.Int64Range(1, 3000).Draw(t, "left")))
	case 4: // the end
		if now >= 9_990_000 && now < 10_000_000 {
			l.truth += 10_000_000 - now // it flows until then
			set(0)
		}
	}
}

// What is unaccounted is never more than can have flowed by rated power and time,
// whatever registers a meter shows and whether an earlier one is known; of a meter
// without faults it is exactly what flowed.
func TestNoMoreIsUnaccountedThanCanHaveFlowed(t *testing.T) {
	t.Parallel()
	most := func(d time.Duration) charge.WattHours {
		return charge.WattHours(int64(ledgertest.RatedPower) * int64(d/time.Millisecond) / int64(time.Hour/time.Millisecond))
	}
	rapid.Check(t, func(t *rapid.T) {
		b, bk := ledgertest.NewChargingPoint("CP", 1, morning), ledgertest.NewBook("CP", morning)
		honest := rapid.Bool().Draw(t, "honest")
		l := &faultyMeter{shown: charge.WattHours(rapid.SampledFrom([]int64{0, 1000, 7_000_000, 9_999_000}).Draw(t, "first"))}
		var allowed, was, first charge.WattHours
		for i := range rapid.IntRange(1, 40).Draw(t, "readings") {
			ms := rapid.Int64Range(1, (20*time.Hour).Milliseconds()).Draw(t, "time")
			if rapid.Bool().Draw(t, "soon") {
				ms %= 60_000
			}
			d := time.Duration(ms) * time.Millisecond
			b.Now = b.Now.Add(d)
			l.truth += charge.WattHours(rapid.Int64Range(0, int64(most(d))).Draw(t, "flowed"))
			b.Clock = charge.ClockSynced
			if !honest {
				if rapid.IntRange(0, 3).Draw(t, "breaks") == 0 {
					l.fault(t)
				}
				b.Clock = rapid.SampledFrom([]charge.ClockQuality{charge.ClockSynced, charge.ClockSet, charge.ClockUnset}).Draw(t, "clock")
			}
			b.Connectors[1].Register = l.register()
			if i == 0 || rapid.IntRange(0, 2).Draw(t, "boots") == 0 {
				if rapid.IntRange(0, 3).Draw(t, "emptied") == 0 {
					b.Lose(1000)
				}
				bk.Apply(b.Boot())
				d += 24*time.Hour + time.Minute // clocks may be wrong
			} else {
				bk.Apply(b.Write(1, "s", &wire.Resumed{Register: l.register()}))
			}
			if i == 0 {
				first = l.truth // what flowed before is not known
			} else {
				allowed += most(d)*11/10 + 1001
			}
			switch got := bk.CP.Meters[1].Unaccounted(); {
			case bk.CP.Meters[1].Carried < 0:
				t.Fatalf("reading %d: %+v", i, bk.CP.Meters[1])
			case got < was:
				t.Fatalf("reading %d: %d Wh are unaccounted, and %d before", i, got, was)
			case got > allowed:
				t.Fatalf("reading %d: %d Wh are unaccounted, and at most %d can have flowed: %+v", i, got, allowed, bk.CP.Meters[1])
			case honest && got != l.truth-first:
				t.Fatalf("reading %d: %d Wh are unaccounted, and %d flowed: %+v", i, got, l.truth-first, bk.CP.Meters[1])
			default:
				was = got
			}
		}
		if honest && len(bk.OpenAlarms(ledger.AlarmMeterJumped))+len(bk.OpenAlarms(ledger.AlarmMeterBack)) > 0 {
			t.Fatalf("a meter without faults raised %+v", bk.Alarms)
		}
	})
}
