// Package rpi is a charging point on the pins of a Raspberry Pi: a relay that
// drives the contactor's coil, its feedback contact, a plug and a
// charge-request contact for each connector, and one emergency stop. Pins are
// found by name ("GPIO17") through the kernel's GPIO device; nothing touches
// registers behind the kernel's back.
//
// # Wiring
//
// Every contact connects its pin to ground when it is closed; the pin is pulled
// up. So a cut wire reads as unplugged, as not asking for power, and, the
// emergency stop being normally closed, as pressed. A relay on an active-high
// driver sits on GPIO9 to GPIO27, which the chip pulls down at reset.
//
// # Pitfalls of the driver, and what is done about them
//
//   - Reading an output makes it an input: outputs are never read. What the
//     contactor does is seen on its feedback contact only.
//   - A requested output is low until it is written: right for an active-high
//     relay. An active-low one is energised for that moment at every start,
//     and must be on GPIO2 to GPIO8, or it would be from reset on too.
//   - A released output keeps its level unless the system sets
//     dtparam=strict_gpiod: every opening is an explicit, checked write, and
//     Close writes before it releases. A process that was killed writes
//     nothing, so a dead-man device outside is needed where power is switched.
//   - A single line's Read returns low on any error: lines are read in sets, which
//     return errors. Inputs, and each relay, are sets of their own, so that
//     nothing waits for another relay's lock or for an input's.
//   - Edges get lost: inputs are polled, on the goroutine of the caller. A level
//     counts once Samples readings in a row, at least 5 ms apart, agree; the
//     driver's own debounce is not used.
//
// # Concurrency
//
// A Board is safe for concurrent use and has no goroutine. A relay's lock is
// held for one write of its pin, as the driver's own is; an opening waits for
// nothing else.
//
// There is no meter yet: Meter returns hal.ErrNotFitted.
package rpi
