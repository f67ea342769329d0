// Package app is the shell around the core of a charging point, agent/point: it
// wires hardware, journal and uplink, and holds the goroutines that run them.
//
// The decisions are elsewhere: in agent/point, and, for the control loop, in
// agent/safety. This package feeds the core with events and performs its effects.
//
// # Data flow
//
//	hal ──► control loop ─┐                  ┌─► contactor (open at once), permission
//	hal ──► meter reader ─┼─► inbox ─► core ─┼─► writer ─► journal ─► Appended
//	MQTT ─► uplink ───────┘                  └─► uplink: sender ─► MQTT
//
// The core asks for records to be written and goes on; the writer reports when
// they are durable. Only then does the core permit power.
//
// # Goroutines
//
// All are owned by Agent.Run, which returns when they have ended.
//   - the control loop (agent/internal/control), one per board: reads the safety
//     inputs every tick, is the only one that closes a contactor, and kicks the
//     keeper;
//   - the core: owns point.State and performs its effects in order;
//   - the writer: makes batches durable and saves positions, one at a time;
//   - the flight recorder: writes what the core did and what the control loop measured
//     before a trip, and is never waited for;
//   - one meter reader per connector;
//   - the operator: performs actions at simulated hardware, which take time;
//   - housekeeping, the health checks and their page;
//   - the uplink's own.
//
// They post to the inbox of the core, which never blocks the sender. What others
// read (the core's view, counters) is atomic.
//
// # Safety
//
// Opening waits for nothing: not for the disk, the network or the core. The board
// is in its safe state before Run returns, whatever ended it. While the disk is
// full every contactor is open and the records wait in memory. When the journal
// fails, everything opens and Run returns an error: the process is started again
// and recovers.
//
// # Stopping
//
// When its context ends, the agent accepts no more commands, ends or suspends its
// sessions, makes that durable, waits up to Config.StopWithin for Central to
// acknowledge it, and frees hardware and journal. Nothing depends on this order: a
// killed agent loses nothing either.
package app
