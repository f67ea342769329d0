// Package sim is a charging point without hardware: every device of package hal,
// with vehicles to plug in, cards to present, buttons to press, faults to inject
// (hal.Simulator) and devices to break (Defect).
//
// # Structure
//
// outlet is the physics of one connector, physics that of the board; both know
// neither clock nor lock. Board adds these and returns the devices. Package
// hal/sim/board offers a Board to another process.
//
// # Time and randomness
//
// Everything is a function of the seed, of the calls and of their times; how
// often the board is observed changes nothing. Time is read through Config.Now,
// and each call first advances the physics to it, event by event. So a contact
// that moved or a keeper that tripped between two calls has its true time.
// Nothing runs in the background: the package starts no goroutine.
//
// # Energy
//
// Power is constant between two events of the physics and the register sums
// power × time in integers (milliwatt-nanoseconds), so the register is exactly
// the integral of power. Power flows only while the contact is closed and the
// vehicle requests it. The register never goes down; the wrong value that an
// injected meter fault shows is kept apart from it.
//
// # Heat and current
//
// The contacts follow the ambient temperature and the power with a time constant
// of a minute. A steered vehicle draws no more than its pilot signals; a fault
// injected as overcurrent is shown by the meter and draws nothing more.
//
// # Concurrency
//
// A Board is safe for concurrent use. One mutex guards the physics; it is held
// for arithmetic only, never across a wait, so no opening path waits for a
// closing one, for a slow meter or for anything outside the process.
package sim
