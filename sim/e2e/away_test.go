package e2e_test

import (
	"testing"
	"time"
)

// TestBrokerAwayInMidSession: the session continues, its records wait in the
// journal, and all energy is billed once after the broker is back.
func TestBrokerAwayInMidSession(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"kafka", "mqtt"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			inWorld(t, plan{}, func(w *world) {
				w.start(allParts()...)
				outcomes := w.drive(w.client(), driverPlan{username: "driver1"})
				w.awaitCharging(w.points[0])
				w.stop(part)
				time.Sleep(10 * time.Minute)
				w.start(part)
				w.wantTicket(outcomes, 5*time.Minute)
				w.settle()
				w.balanced(1)
			})
		})
	}
}
