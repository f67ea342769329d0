package ledger_test

import (
	"testing"

	"github.com/carga-ev/carga/central/ledger/ledgertest"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// A meter is changed while a session is open. The agent ends it with registers
// of the meter before, which say nothing of the present one.
func TestMeterIsChangedInASession(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		now   charge.WattHours // register of the present meter
		spare charge.WattHours // shown as unaccounted
	}{
		{"a new one", 3, 0},
		{"a new one that ran while the agent was off", 3 + 20, 0}, // nobody knows that it began at 3
		{"the same one, by a clock that was wrong", 1500 + 300, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, bk := ledgertest.NewBox("CP", 1, morning), ledgertest.NewBook("CP", morning)
			b.Boot()
			b.Plug(1)
			b.Grant(1, "s1", "anna", "")
			b.Begin(1)
			b.Flow(1, 500)
			b.Sample(1)
			o := b.Outlets[1]
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
