package pwm

import (
	"errors"
	"testing"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// offered is the current of a duty by IEC 61851-1, as a vehicle computes it.
func offered(d charge.Permille) charge.MilliAmps {
	if d <= 850 {
		return charge.MilliAmps(d) * 60
	}
	return charge.MilliAmps(d-640) * 250
}

func TestDutyByTheStandard(t *testing.T) {
	for limit, want := range map[charge.MilliAmps]charge.Permille{
		0: 0, 5_999: 0, 6_000: 100, 10_000: 166, 16_000: 266, 32_000: 533, 51_000: 850, 52_500: 850, 52_749: 850,
		52_750: 851, 63_000: 892, 80_000: 960, 1_000_000: 960, -1: 0,
	} {
		if got := Duty(limit); got != want {
			t.Errorf("%d mA: got %d permille, want %d", limit, got, want)
		}
	}
}

func TestDutyNeverOffersMoreThanTheLimit(t *testing.T) {
	last := charge.Permille(0)
	for limit := charge.MilliAmps(0); limit <= 90_000; limit++ {
		d := Duty(limit)
		if limit < hal.MinOffer {
			if d != 0 {
				t.Fatalf("%d mA: got an offer of %d permille below the least one", limit, d)
			}
			continue
		}
		// The next duty must offer more than the limit, but at the ends of the law.
		if offered(d) > limit || d < last || d < 850 && offered(d+1) <= limit || d > 850 && d < 960 && offered(d+1) <= limit {
			t.Fatalf("%d mA: %d permille offer %d mA", limit, d, offered(d))
		}
		last = d
	}
}

func TestTheWindowsOfTheStandardAreTheirStates(t *testing.T) {
	states := []charge.PilotState{charge.PilotUnknown, charge.PilotA, charge.PilotB, charge.PilotC, charge.PilotD, charge.PilotE, charge.PilotF}
	for want, window := range map[charge.PilotState][2]charge.MilliVolts{
		charge.PilotA: {11_400, 12_600},
		charge.PilotB: {8_360, 9_560},
		charge.PilotC: {5_480, 6_490},
		charge.PilotD: {2_620, 3_250},
		charge.PilotE: {-1_000, 1_000},
	} {
		for high := window[0]; high <= window[1]; high += 10 {
			for _, before := range states {
				if got := level(high, before); got != want {
					t.Fatalf("%d mV after %v: got %v, want %v", high, before, got, want)
				}
			}
		}
	}
}

func TestALevelBetweenTwoWindowsDoesNotFlicker(t *testing.T) {
	for _, b := range []struct {
		at           charge.MilliVolts
		above, below charge.PilotState
	}{
		{10_480, charge.PilotA, charge.PilotB},
		{7_425, charge.PilotB, charge.PilotC},
		{4_365, charge.PilotC, charge.PilotD},
		{1_800, charge.PilotD, charge.PilotE},
	} {
		for noise := charge.MilliVolts(-299); noise < 300; noise++ {
			if a, c := level(b.at+noise, b.above), level(b.at+noise, b.below); a != b.above || c != b.below {
				t.Fatalf("%d mV: from %v to %v, from %v to %v", b.at+noise, b.above, a, b.below, c)
			}
		}
		if a, c := level(b.at-301, b.above), level(b.at+300, b.below); a != b.below || c != b.above {
			t.Errorf("border %d mV: a level well beyond it leaves the state: got %v, %v", b.at, a, c)
		}
	}
}

func TestWhatABurstShows(t *testing.T) {
	for name, tc := range map[string]struct {
		high, low charge.MilliVolts
		offer     bool
		want      charge.PilotState
		defect    bool
	}{
		"no vehicle, no offer":            {12_000, 11_900, false, charge.PilotA, false},
		"no vehicle, offer":               {12_000, -12_000, true, charge.PilotA, false},
		"plugged, no offer":               {9_000, 8_900, false, charge.PilotB, false},
		"charging":                        {6_000, -11_400, true, charge.PilotC, false},
		"charging, -12.6 V":               {6_000, -12_600, true, charge.PilotC, false},
		"ventilation":                     {3_000, -12_000, true, charge.PilotD, false},
		"no diode":                        {6_000, -6_000, true, charge.PilotE, false},
		"no diode in B":                   {9_000, -9_000, true, charge.PilotE, false},
		"a diode that conducts a little":  {6_000, -10_400, true, charge.PilotE, false},
		"short to ground":                 {100, -100, true, charge.PilotE, false},
		"short to ground, no offer":       {100, 0, false, charge.PilotE, false},
		"out of order":                    {-11_900, -12_100, true, charge.PilotF, false},
		"no -12 V without a vehicle":      {12_000, 0, true, charge.PilotUnknown, true},
		"PWM without an offer":            {12_000, -12_000, false, charge.PilotUnknown, true},
		"PWM without an offer, a vehicle": {9_000, -12_000, false, charge.PilotUnknown, true},
		"above everything":                {13_600, -12_000, true, charge.PilotUnknown, true},
		"below everything":                {6_000, -13_600, true, charge.PilotUnknown, true},
	} {
		got, why := evaluate(tc.high, tc.low, tc.offer, charge.PilotUnknown)
		if got != tc.want || (why != "") != tc.defect {
			t.Errorf("%s: got %v, %q; want %v, defect %v", name, got, why, tc.want, tc.defect)
		}
	}
}

func TestCablesByTheirResistors(t *testing.T) {
	for ohms, want := range map[int64]charge.MilliAmps{
		100: 63_000, 220: 32_000, 680: 20_000, 1_500: 13_000, // the resistors
		80: 63_000, 140: 63_000, 164: 32_000, 308: 32_000, 400: 20_000, 936: 20_000, 1_100: 13_000, 2_460: 13_000,
		4_500: 0, 1_000_000: 0,
	} {
		if got, err := cable(ohms); err != nil || got != want {
			t.Errorf("%d ohms: got %d mA, %v; want %d", ohms, got, err, want)
		}
	}
	for _, ohms := range []int64{0, 1, 74, 2_500, 3_000, 4_499} {
		if got, err := cable(ohms); !errors.Is(err, hal.ErrUnreadable) || got != 0 {
			t.Errorf("%d ohms: got %d mA, %v; want unreadable", ohms, got, err)
		}
	}
}
