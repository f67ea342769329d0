package charge

import "slices"

// LimitOwner is what a limit of the current comes from.
type LimitOwner string

// The owners of limits. The lowest limit is in force, whatever its owner.
const (
	LimitConnector   LimitOwner = "connector"   // what the hardware carries
	LimitCable       LimitOwner = "cable"       // what the cable carries, by its coding
	LimitTemperature LimitOwner = "temperature" // the part of the above that heat leaves
	LimitConfigured  LimitOwner = "configured"  // set by the installer
	LimitCommand     LimitOwner = "command"     // SET_LIMIT, until its end
	LimitSafe        LimitOwner = "safe"        // set by the installer, while no SET_LIMIT is in force
)

// Limited is the reason why power is withheld while the lowest limit is below what a
// vehicle can be offered.
const Limited = "limited"

// LimitOwners returns the closed list of owners.
func LimitOwners() []LimitOwner {
	return []LimitOwner{LimitConnector, LimitCable, LimitTemperature, LimitConfigured, LimitCommand, LimitSafe}
}

// Valid reports whether the owner is in the list.
func (o LimitOwner) Valid() bool { return slices.Contains(LimitOwners(), o) }

// Limit is a limit of the current per phase. The zero value is none.
type Limit struct {
	Current MilliAmps
	By      LimitOwner
}

// None reports that there is no limit.
func (l Limit) None() bool { return l.By == "" }

// Lowest is the lower of two limits; of equal ones the first.
func (l Limit) Lowest(other Limit) Limit {
	if l.None() || !other.None() && other.Current < l.Current {
		return other
	}
	return l
}
