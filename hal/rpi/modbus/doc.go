// Package modbus reads electricity meters over Modbus RTU: SDM120, SDM630,
// PZEM-004T version 3, and any other by a Map, which is data.
//
// A Port is one serial line with all meters on it: one exchange at a time, a
// silence before each. A Meter is one slave of a Port and implements hal.Meter.
//
// # What a reading promises
//
//   - It is of this request: an answer carries no number and no address of a
//     register, so one that arrives late would pass for the next one's. What has
//     arrived before a request is dropped, and after a failed exchange the line
//     must be silent for a whole Timeout.
//   - It is complete and plausible, or hal.ErrUnreadable with the register and the
//     reason: a frame cut short, a bad CRC, another slave, an exception, a value
//     that is no number, negative or absurd.
//   - It is of now: a register that stands still while the meter shows power is
//     stale, and so unreadable.
//
// After an exchange that failed in any way but by an exception the device is
// closed, and opened again for the next one: adapters have been seen to fail for
// good after weeks, and to come back under the same name.
//
// # Registers
//
// A register that ends at its range and continues at zero (Map.Wrap) is continued,
// if the energy over the step could have flowed since the reading before.
// Any other decrease is passed on as the meter shows it, since it may be another
// meter: the caller reports it. The identity is read again before the first reading
// behind a failure counts, for a meter is not replaced without one.
//
// A float32 in kWh has 24 bits: above 8,192 kWh its steps are 1 Wh, above
// 16,384 kWh 2 Wh, above 131,072 kWh 16 Wh. The register still never goes down,
// and the error of a session is at most one step.
//
// # Concurrency
//
// Port and Meter are safe for concurrent use and have no goroutine. Every wait ends
// with the caller's context.
package modbus
