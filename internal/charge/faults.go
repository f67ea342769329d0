package charge

// FaultSet is a set of faults of the closed list. The zero value is empty; it
// is comparable and shares no memory.
type FaultSet uint16

// Has reports whether f is in the set.
func (s FaultSet) Has(f Fault) bool { return s&bitOf(f) != 0 }

// With returns the set with f in it. A fault outside the closed list counts as
// FaultOther, so that no fault is lost.
func (s FaultSet) With(f Fault) FaultSet { return s | bitOf(f) }

// Without returns the set without f.
func (s FaultSet) Without(f Fault) FaultSet { return s &^ bitOf(f) }

// Empty reports whether there is no fault in the set.
func (s FaultSet) Empty() bool { return s == 0 }

// List returns the faults in the order of the closed list.
func (s FaultSet) List() []Fault {
	if s == 0 {
		return nil
	}
	var list []Fault
	for _, f := range Faults() {
		if s.Has(f) {
			list = append(list, f)
		}
	}
	return list
}

// bitOf allocates nothing: the fast control loop calls it.
func bitOf(f Fault) FaultSet {
	switch f {
	case FaultEmergencyStop:
		return 1 << 0
	case FaultGroundFault:
		return 1 << 1
	case FaultOvercurrent:
		return 1 << 2
	case FaultOvertemperature:
		return 1 << 3
	case FaultContactorWelded:
		return 1 << 4
	case FaultContactorStuck:
		return 1 << 5
	case FaultMeter:
		return 1 << 6
	case FaultPilot:
		return 1 << 7
	case FaultSafetyInput:
		return 1 << 8
	case FaultJournal:
		return 1 << 9
	case FaultLock:
		return 1 << 11
	case FaultSelfTest:
		return 1 << 12
	case FaultOther:
	}
	return 1 << 10
}
