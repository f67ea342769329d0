// Package connector is the state machine of one connector: reservation, start
// order, session, faults and availability, from the events of the hardware and
// the orders of Central to what must be switched and written down.
//
// It is pure. Step is total and deterministic, time comes in with the events,
// and a State is a value that shares no memory with anybody. The shell
// (agent/app) has one goroutine per connector that owns the State, performs
// the effects in their order and feeds what came of them back as events.
//
// # What is written down
//
// Every change is a record, and Replay folds the records back into what a new
// boot must know (Saved). There is no other memory: what the journal says is
// what holds.
//
// # Power
//
// CloseContactor is only ever emitted while a grant is durable: by the step
// that receives Appended for the record that authorized the session, or by a
// later one. It is a permission, which the safety loop may decline at any time.
// OpenContactor is the first effect of its step and waits for nothing.
package connector
