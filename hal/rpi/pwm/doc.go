// Package pwm is the control pilot of IEC 61851-1 on a Raspberry Pi: the kernel's
// PWM offers a current, an MCP3004 on SPI measures the vehicle's answer, and the
// coding resistor of the cable.
//
// # Front end
//
// The PWM (1 kHz) drives an amplifier of ±12 V, which reaches the vehicle through
// 1 kΩ. A divider brings −12…+12 V of the pilot into the range of the converter.
//
//   - No offer: +12 V without pauses (X1).
//   - An offer: ±12 V, whose high part is the current that the vehicle may draw.
//   - State F, the charging point out of order, is not driven: +12 V is safe
//     enough, since the contactor decides.
//
// # Measuring
//
// A burst of some hundred conversions covers about ten periods; its highest value
// is the level that the vehicle sets, its lowest must be −12 V while there is an
// offer, because a vehicle has a diode. Run takes one burst each tick of the safety
// loop, and State returns what it found: it never waits for the bus. A state
// counts when three bursts agree, some 30 ms, so one during which the vehicle or the
// offer changed decides nothing. Of an offer above 63 A the low part is so short that
// bursts may miss it.
//
// # What is unreadable, and what is state E
//
//   - Levels that no vehicle makes, and a −12 V that is missing without a vehicle or
//     there without an offer, are defects of the front end: hal.ErrUnreadable.
//   - With a vehicle and an offer, a missing −12 V is a missing diode: state E. It
//     ends charging, as it must: there may be no vehicle at all.
//
// # Concurrency
//
// Pilot, Proximity and ADC are safe for concurrent use. Run is the one goroutine.
package pwm
