package demo

import (
	"fmt"

	"github.com/carga-ev/carga/internal/charge"
)

// cpID returns the id of charging point number n, from 1.
func cpID(n int) charge.CPID { return charge.CPID(fmt.Sprintf("CP_%04d", n)) }

// nameOf returns the name of a charging point: its bay.
func nameOf(n int) string {
	// Four bays in turn: North 1, East 1, South 1, West 1, North 2, …
	bays := []string{"North", "East", "South", "West"}
	return fmt.Sprintf("%s %d", bays[(n-1)%len(bays)], (n-1)/len(bays)+1)
}

// placeOf returns the site of a charging point.
func placeOf(n int) string {
	places := []string{
		"Alicante, Station", "Alicante, Harbour", "San Vicente, Campus", "Elche, Palm Grove", "Elche, Market Hall",
		"Benidorm, Beach", "Villajoyosa, Old Town", "Alcoy, Market", "Denia, Ferry", "Orihuela, Cathedral",
	}
	return places[(n-1)%len(places)]
}

// driverName returns the username of driver number n, from 1.
func driverName(n int) charge.Username {
	names := []string{"ana", "bruno", "carla", "diego", "elena", "felix", "gloria", "hugo"}
	if n <= len(names) {
		return charge.Username(names[n-1])
	}
	return charge.Username(fmt.Sprintf("driver%d", n))
}
