package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// firstAndLastOrders returns the orders in which each part starts first once
// and last once, the others in their usual order; and the usual order reversed.
func firstAndLastOrders() [][]string {
	reversed := allParts()
	slices.Reverse(reversed)
	list := [][]string{reversed}
	for i, part := range allParts() {
		others := slices.Delete(allParts(), i, i+1)
		if i > 0 {
			list = append(list, append([]string{part}, others...))
		}
		list = append(list, append(slices.Clone(others), part))
	}
	return list
}

// permutations returns all orders of the parts.
func permutations(parts []string) [][]string {
	if len(parts) == 0 {
		return [][]string{nil}
	}
	var list [][]string
	for i, first := range parts {
		for _, rest := range permutations(slices.Delete(slices.Clone(parts), i, i+1)) {
			list = append(list, append([]string{first}, rest...))
		}
	}
	return list
}

// TestAnyStartOrder: in whatever order the parts start, the session of a driver
// that sent its request at the beginning ends on one ticket, nothing is lost,
// nothing is counted twice, and no part has to be restarted. All orders are
// tested with gaps of 0 and 30 s, and with 5 min those in which each part
// starts first or last. A soak tests all orders with all gaps, and with six
// partitions.
func TestAnyStartOrder(t *testing.T) {
	t.Parallel()
	p := plan{vehicle: vehicle{energy: 1000, power: 100_000}}
	if soak() {
		p.partitions = 6
	}
	for _, gap := range []time.Duration{0, 30 * time.Second, 5 * time.Minute} {
		orders := permutations(allParts())
		if gap == 5*time.Minute && !soak() {
			orders = firstAndLastOrders()
		}
		for _, order := range orders {
			t.Run(fmt.Sprintf("%s/%s", gap, strings.Join(order, "-")), func(t *testing.T) {
				t.Parallel()
				inWorld(t, p, func(w *world) {
					outcomes := w.drive(w.client(), driverPlan{username: "driver1"})
					for _, part := range order {
						w.start(part)
						time.Sleep(gap)
					}
					w.wantTicket(outcomes, 5*time.Minute)
					w.settle()
					w.balanced(1)
				})
			})
		}
	}
}
