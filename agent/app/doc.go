// Package app is the agent: it wires hardware, journal, state machines and
// uplink, and nothing else does.
//
// # Goroutines
//
// All are owned by Agent.Run, which returns when they have ended.
//   - the control loop: one per board; reads the safety inputs every tick, is
//     the only one that closes a contactor, and kicks the keeper;
//   - one machine per connector: owns its connector.State;
//   - one meter reader per connector;
//   - the recorder: makes records durable, in groups, in one order;
//   - the desk: performs what takes time at simulated hardware;
//   - the uplink's own;
//   - on simulated hardware the crowd: the people who come and go.
//
// # Safety
//
// Opening waits for nothing: neither for the disk, nor the network, nor the
// machine. The board is driven to its safe state before Run returns, whatever
// ended it. While the disk is full everything is open, and the records wait in
// memory. When the journal takes no more records, everything opens and Run
// returns an error: the process is restarted and recovers.
//
// # Stopping
//
// When its context ends, the agent takes no more orders, lets the machines end
// or suspend their sessions, makes that durable, waits a little for Central to
// hear it, and gives up the hardware and the journal. Nothing depends on it: a
// killed agent loses nothing either.
package app
