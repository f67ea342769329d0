package demo

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// cpID is the id of the demo's charging point number n, from 1.
func cpID(n int) charge.CPID { return charge.CPID(fmt.Sprintf("CP_%04d", n)) }

// nameOf and placeOf are where the demo's charging points stand.
func nameOf(n int) string {
	bays := []string{"North", "East", "South", "West"}
	return fmt.Sprintf("%s %d", bays[(n-1)%len(bays)], (n-1)/len(bays)+1)
}

func placeOf(n int) string {
	places := []string{
		"Alicante, Station", "Alicante, Harbour", "San Vicente, Campus", "Elche, Palm Grove", "Elche, Market Hall",
		"Benidorm, Beach", "Villajoyosa, Old Town", "Alcoy, Bridge", "Denia, Ferry", "Orihuela, Cathedral",
	}
	return places[(n-1)%len(places)]
}

// driverName is the username of the demo's driver number n, from 1.
func driverName(n int) charge.Username {
	names := []string{"ana", "bruno", "carla", "diego", "elena", "felix", "gloria", "hugo"}
	if n <= len(names) {
		return charge.Username(names[n-1])
	}
	return charge.Username(fmt.Sprintf("driver%d", n))
}
