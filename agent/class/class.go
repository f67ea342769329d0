// Package class ranks the types of records by what may be lost first when the
// space for them is scarce. It is pure.
package class

import "github.com/carga-ev/carga/internal/wire"

// Class is the priority of records when space is scarce; a higher class is
// refused later.
type Class int

// The classes of records.
const (
	// Sample is refused first, when nine tenths of the space are used.
	Sample Class = iota
	// Normal is refused when the quota or the disk is used up.
	Normal
	// Final ends something: it may exceed the quota and use the reserve.
	Final
)

// Of is the class of a type of record. Final is what a driver pays for or Central
// waits for. That a session begins is final too: whether it may is decided
// before.
func Of(t wire.RecordType) Class {
	switch t {
	case wire.TypeMeterRead:
		return Sample
	case wire.TypeRegistered, wire.TypeAuthorized, wire.TypeChargingStarted, wire.TypeChargingStopped,
		wire.TypeReservationEnded, wire.TypeFaultRaised, wire.TypeCommandFinished:
		return Final
	case wire.TypeStatusChanged, wire.TypePluggedIn, wire.TypeUnplugged, wire.TypeAuthRequested, wire.TypeCommandAccepted,
		wire.TypeSuspended, wire.TypeResumed, wire.TypeFaultCleared, wire.TypeAnomalySeen:
	}
	return Normal
}
