// Package point is the core of a charging point: everything that an agent
// decides between its hardware, its disk and Central. It is pure: Step takes an
// event and returns effects, time and randomness come in with it, and the agent
// (agent/app) and the simulation (sim/world) perform the effects.
//
//	hardware ─► control loop ─► PilotChanged, ContactChanged, …─┐            ┌─► OpenContactor, Permit, OfferPower
//	            meter reader ─► MeterRead ──────────────────────┤            ├─► ReadMeter, Operate
//	disk ─────► writer ───────► Appended, PositionSaved ────────┼─► Step ────┼─► Append, SavePosition
//	MQTT ─────► uplink ───────► Connected, AckReceived, …───────┤            ├─► Send, Publish…, Reconnect
//	time ─────► timer ────────► TimerFired ─────────────────────┘            └─► SetTimer
//
// It puts together agent/connector, of which it owns every State, and
// agent/delivery, and adds what lies between them: which records wait for the
// disk, which command concerns which connector, and what is published when. The
// fast control loop with agent/safety is beside it: it opens a contactor by
// itself, and closes one only while Permit holds.
//
// # A record
//
// A connector asks for records in one step. They wait in the order of the steps
// (records.go) until the disk is free, and leave as a Batch with all others that
// wait. While the batch is written, it gives each record its number and hash
// (batch.go). Appended then reaches the connector, which may permit power, and
// delivery, which asks for Send.
//
// # The disk
//
// One batch or one position is under way at a time, and no step waits for it. So
// a slow disk makes batches larger, and delays neither a contactor nor a message.
package point
