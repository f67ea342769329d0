// Package connector is the state machine of one connector: reservation, pending
// start, session, faults and availability. Events of the hardware and commands
// of Central go in; effects come out: switch, record, read the meter.
//
// It is pure. Step is total and deterministic, time comes in with the events,
// and a State is a value that shares no memory with its caller. The core of the
// charging point (agent/point) owns the State, passes the effects on in their order
// and returns their results as events.
//
// # A session
//
// A START, or a plug where a policy suffices, becomes a PendingStart. It waits
// for the plug, and then for a reading of the meter. With that register the
// session is authorized: the record is the grant. When it is durable, power is
// permitted. A session ends for a reason (Ending): the contactor opens, the meter
// is read once more, and charging_stopped closes the account.
//
// # Records
//
// Every change is a record, and Replay folds the records into what a new boot
// needs (Saved). There is no other memory: after a restart the journal and the
// hardware decide.
//
// # Power
//
// CloseContactor is emitted only while a grant is durable: by the step that
// receives Appended for the record that authorized the session, or by a later
// one. It is a permission, which the safety loop may withhold at any time.
// OpenContactor is the first effect of its step and waits for nothing.
package connector
