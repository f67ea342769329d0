package delivery_test

import (
	"fmt"
	"testing"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/growth"
)

// TestTenYearsOfCommands: a boot that lasts ten years remembers no more commands,
// sessions and reservations than one that lasts a year.
func TestTenYearsOfCommands(t *testing.T) {
	t.Parallel()
	c := delivery.NewCommands(theCP, theBoot)
	n := uint64(0)
	live := func(days int) map[string]int {
		for range days * 10 { // drivers a day
			n++
			r, s := charge.ReservationID(fmt.Sprint("r", n)), charge.SessionID(fmt.Sprint("s", n))
			for i, cmd := range []delivery.Receipt{
				{Raw: raw(t, order(charge.CommandID(fmt.Sprint("a", n)), 2*n, reserve(r)))},
				{Raw: raw(t, order(charge.CommandID(fmt.Sprint("b", n)), 2*n+1, start(s)))},
			} {
				if v := c.Decide(cmd); v.Kind != delivery.Run {
					t.Fatalf("driver %d, command %d: %+v", n, i, v)
				}
			}
			c.EndReservation(r)
			c.EndSession(s)
		}
		return growth.Elements(c)
	}
	first := live(365)
	for _, line := range growth.More(first, live(9*365), 0) {
		t.Errorf("after ten years the memory of commands%s", line)
	}
}
