package hal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/carga-ev/carga/hal"
)

// waiting returns the value that waits, or 0.
func waiting(m *hal.Moments[int]) int {
	select {
	case v := <-m.C():
		return v
	default:
		return 0
	}
}

func TestAMomentPasses(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*hal.Moments[int])
		want int
	}{
		"received in time":  {func(m *hal.Moments[int]) { m.Add(1); time.Sleep(hal.MomentLasts - 1) }, 1},
		"too late":          {func(m *hal.Moments[int]) { m.Add(1); time.Sleep(hal.MomentLasts + 1) }, 0},
		"the latest counts": {func(m *hal.Moments[int]) { m.Add(1); m.Add(2) }, 2},
		"a later one has its own second": {func(m *hal.Moments[int]) {
			m.Add(1)
			time.Sleep(hal.MomentLasts / 2)
			m.Add(2)
			time.Sleep(hal.MomentLasts - 1)
		}, 2},
		"after the end":                {func(m *hal.Moments[int]) { m.Close(); m.Add(1); m.Close() }, 0},
		"nothing waits beyond the end": {func(m *hal.Moments[int]) { m.Add(1); m.Close() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := hal.NewMoments[int]()
				tc.do(m)
				if got := waiting(m); got != tc.want {
					t.Errorf("got %d, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestParseUID(t *testing.T) {
	for in, want := range map[string]string{
		"04a1b2c3": "04A1B2C3", "04A1B2C3D4E5F6": "04A1B2C3D4E5F6", "00112233445566778899": "00112233445566778899",
		"": "", "04a1b2": "", "04a1b2cx": "", "04a1b2c3d4": "", "0x04a1b2": "",
	} {
		got, err := hal.ParseUID(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}
