package modbus

import (
	"testing"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

func TestARegisterIsContinuedOverItsWrapOnly(t *testing.T) {
	const wrap = 10_000_000
	for name, tc := range map[string]struct {
		resume, first, second charge.WattHours
		after                 time.Duration
		want                  charge.WattHours
	}{
		"counts":                            {0, 1_000, 1_010, time.Second, 1_010},
		"wraps":                             {0, 9_999_990, 5, time.Second, 10_000_005},
		"wraps after an hour without it":    {0, 9_990_000, 40_000, time.Hour, 10_040_000},
		"another meter":                     {0, 9_000_000, 5, time.Second, 5},
		"another meter, much later":         {0, 7_000_000, 5, 30 * 24 * time.Hour, 5},
		"set back":                          {0, 5_000, 4_000, time.Second, 4_000},
		"after a restart":                   {10_000_005, 6, 7, time.Second, 10_000_007},
		"wraps while it was off":            {9_999_900, 20, 30, time.Second, 10_000_030},
		"wraps a second time":               {19_999_990, 9_999_995, 3, time.Second, 20_000_003},
		"another meter during a restart":    {15_000_000, 20, 30, time.Second, 30},
		"nothing recorded before the start": {0, 20, 30, time.Second, 30},
	} {
		t.Run(name, func(t *testing.T) {
			r := register{wrap: wrap, step: 1}
			if tc.resume > 0 {
				r.resume(tc.resume, 0)
			}
			if _, err := r.read(tc.first, 0, time.Second); err != nil {
				t.Fatal(err)
			}
			got, err := r.read(tc.second, 0, time.Second+tc.after)
			if err != nil || got != tc.want {
				t.Errorf("got %d, %v; want %d", got, err, tc.want)
			}
		})
	}
}

func TestARegisterWithoutAWrapIsNeverContinued(t *testing.T) {
	r := register{step: 1}
	_, _ = r.read(9_999_999, 0, time.Second)
	if got, err := r.read(1, 0, 2*time.Second); err != nil || got != 1 {
		t.Errorf("got %d, %v; want 1, as the meter shows it", got, err)
	}
}

func TestARegisterThatStandsStillUnderPowerIsStale(t *testing.T) {
	r, now := register{step: 10}, time.Duration(0)
	read := func(shown charge.WattHours, power charge.Watts) error {
		now += time.Second
		_, err := r.read(shown, power, now)
		return err
	}
	for range 3600 {
		if err := read(5_000, 0); err != nil {
			t.Fatalf("without power: %v", err)
		}
	}
	stale := 0
	for range 60 { // 7.2 kW are 2 Wh a second
		if read(5_000, 7_200) != nil {
			stale++
		}
	}
	// The first reading with power adds nothing, so the 52nd is the first above 100 Wh.
	if stale != 9 {
		t.Errorf("%d readings of 60 were stale; want the last 9", stale)
	}
	if err := read(5_010, 7_200); err != nil {
		t.Errorf("after it moved: %v", err)
	}
}
