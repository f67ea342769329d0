// Package sim is a charging point without hardware: contactors, meters,
// pilots, an emergency stop and a dead-man device behind the interfaces of
// package hal, with a vehicle on each cable and the hands of a saboteur.
//
// # Time and chance
//
// All that happens is a function of the seed, of the calls and of the times at
// which they came; how often the board is looked at changes nothing. Time is
// read through Config.Now and the physics is brought up to it before each
// call, event by event, so a contact that moved or a keeper that tripped while
// nobody looked carries its true time. Nothing runs in the background: the
// package starts no goroutine.
//
// # Energy
//
// Power is constant between two events of the physics and the register sums
// power × time in integers (milliwatt-nanoseconds), so the register is exactly
// the integral of power. Power flows only while the contact is closed and the
// vehicle asks for it. The register never goes down; what an injected meter
// fault shows is a lie about it, kept apart from it.
//
// # Concurrency
//
// A Board is safe for concurrent use. One mutex guards the physics; it is held
// for arithmetic only, never across a wait, so no opening path waits for a
// closing one, for a slow meter or for anything outside the process.
package sim
