// Package app is the shell around the agent's pure parts: it wires hardware,
// journal, state machines and uplink, and holds the goroutines that run them.
//
// The decisions are elsewhere: agent/connector is the state machine of a
// connector, agent/safety holds the rules of the control loop, agent/delivery
// decides what to send. This package feeds them with events and performs their
// effects.
//
// # Data flow
//
//	hal ──► control loop ─┐                       ┌─► contactor (open at once)
//	hal ──► meter reader ─┼─► machine ─► Step ────┼─► recorder ─► journal ─► uplink ─► MQTT
//	MQTT ► uplink ► command handler ┘             └─► permission, read by the control loop
//
// A machine asks for records to be written and goes on; the recorder reports
// when they are durable. Only then does the state machine permit power.
//
// # Goroutines
//
// All are owned by Agent.Run, which returns when they have ended.
//   - the control loop (agent/internal/control), one per board: reads the safety
//     inputs every tick, is
//     the only one that closes a contactor, and kicks the keeper;
//   - one machine per connector: owns its connector.State;
//   - one meter reader per connector;
//   - the recorder: makes records durable, in groups and in one order;
//   - the command handler: performs the actions at simulated hardware that take
//     time;
//   - housekeeping, the health checks and their page;
//   - the uplink's own.
//
// They talk by inboxes that never block the sender. What others read (a
// machine's view, counters) is atomic.
//
// # Safety
//
// Opening waits for nothing: not for the disk, the network or the machine. The
// board is in its safe state before Run returns, whatever ended it. While the
// disk is full every contactor is open and the records wait in memory. When the
// journal fails, everything opens and Run returns an error: the process is
// started again and recovers.
//
// # Stopping
//
// When its context ends, the agent accepts no more commands, lets the machines
// end or suspend their sessions, makes that durable, waits up to
// Config.StopWithin for Central to acknowledge it, and frees hardware and
// journal. Nothing depends on this order: a killed agent loses nothing either.
package app
