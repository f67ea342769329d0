// Package rpi is a charging point on the pins and buses of a Raspberry Pi. A
// Config, usually a board file, names each part and where it is connected:
//
//   - contacts: plug and charge request, contactor feedback, emergency stop, trips,
//     the lock's feedback, buttons;
//   - outputs: the relay that drives the contactor's coil, lock, test and reset of a
//     residual current device, lights, keeper;
//   - meters: Modbus RTU (package modbus) or S0 pulses;
//   - the control pilot by PWM and ADC, and the proximity contact (package pwm);
//   - card readers (package cards), temperature sensors, watchdog, clock.
//
// Pins are found by name ("GPIO17") through the kernel's GPIO device; nothing
// touches registers behind the kernel's back.
//
// # Wiring
//
// Every contact connects its pin to ground when it is closed; the pin is pulled
// up. So a cut wire reads as unplugged, as not asking for power, and, emergency
// stop and trip contacts being normally closed, as pressed or tripped. An output
// that acts when it is high is on GPIO9 to GPIO27, which the chip pulls down at
// reset, but not on GPIO14 and GPIO15, the console's.
//
// # Pitfalls of the driver, and what is done about them
//
//   - Reading an output makes it an input: outputs are never read. What the
//     contactor does is seen on its feedback contact only.
//   - A requested output is low until it is written: right for an active-high
//     relay. An active-low one is energised for that moment at every start,
//     and must be on GPIO2 to GPIO8, or it would be from reset on too.
//   - A released output keeps its level unless the system sets
//     dtparam=strict_gpiod (StrictGPIOD): every opening is an explicit, checked
//     write, and Close writes before it releases. A process that was killed
//     writes nothing, so a keeper outside is needed where power is switched.
//   - A single line's Read returns low on any error: lines are read in sets, which
//     return errors. Inputs, and each output, are sets of their own, so that
//     nothing waits for another output's lock or for an input's.
//   - Edges get lost and have no time: contacts are polled. A level counts once
//     Samples readings in a row, at least 5 ms apart, agree; the driver's own
//     debounce is not used.
//
// # Concurrency
//
// A Board is safe for concurrent use. The contacts of the safety loop are read on
// its own goroutine, and a relay's lock is held for one write of its pin, as the
// driver's own is: an opening waits for nothing else. Parts that need it have a
// goroutine, which New starts last and Close ends: pulses and buttons together,
// blinking lights, the temperatures of each connector, each pilot by PWM, the card
// reader.
package rpi
