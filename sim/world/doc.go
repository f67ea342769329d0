// Package world simulates the whole network deterministically: the same seed
// gives the same run, event by event, so that every failure can be reproduced.
//
//	people,             ┌────────┐        ┌──────┐        ┌───────┐        ┌────────────┐
//	vehicles ──► outlet │ agent  │◄──────►│broker│◄──────►│bridge │◄──────►│kafka       │
//	(outlet.go)         │connector        └──────┘        │route  │        │logs, readers
//	                    │safety  │      retained, wills,  └───────┘        └─────▲──────┘
//	                    │delivery│      a kept session                           │
//	                    │journal ├─► disk               drivers ────────────►┌───▼────────┐
//	                    └────────┘   synced | unsynced  operators ──────────►│central      │
//	                                                                         │ledger orders├─► db
//	                                                                         └─────────────┘ database
//
// # What is real and what is modelled
//
// All decisions are made by the code of the product: agent/point over
// agent/connector and agent/delivery, agent/safety, agent/journal (over a disk in
// memory), bridge/route, bridge/forward, central/ledger, central/orders and the
// encoders of internal/wire. These packages are pure, but for the journal: events
// go in, effects come out.
//
// An agent here is that core, with models of what surrounds it:
//
//	agent.go    the process: it boots, dies and is started again
//	shell.go    performs the effects of the core: disk, connection to the broker
//	control.go  the control loop around agent/safety, and the meters
//	outlet.go   contactor, meter and vehicle
//
// The code around the other cores (in the product: goroutines around a socket or a
// database) is the shell. It is written here a second time, as small as possible:
//
//	bridge.go                          follows bridge/internal
//	central.go, input.go, unit.go,     follow central/internal/ingest and
//	publish.go, epochs.go              central/internal/outbox, central/app
//	db.go                              follows central/internal/store
//
// A shell here has to be changed together with the product's shell that it
// follows; a bug in the product's shell is found by sim/e2e and sim/chaos, not here.
//
// Engines are models that behave as badly as real ones may: disk.go tears
// unsynced sectors (agent/journal/journaltest), mqtt.go drops the messages of full sessions, kafka.go loses
// its tail or is replaced, line.go loses, duplicates, delays and reorders.
//
// # Time and randomness
//
// There is one heap of events ordered by (time, number), one virtual clock, and
// one random source per component, all derived from the seed (sched.go). No
// goroutine, no real clock and no order of map iteration influences a decision;
// iteration goes through sortedKeys wherever its order could matter. Heartbeats,
// telemetry and idle meter readings have longer intervals than in the product,
// so that a simulated day costs little; the limits that depend on these
// intervals are scaled alike (timing.go).
//
// Random sources are seeded from the seed of the run and a name. These names,
// which include kinds of steps and ids of charging points, must not change:
// with another name every recorded seed would give another run.
//
// # A run
//
// Draw makes a Plan from a seed (plan.go): what people do when (steps.go,
// drivers.go), and which faults are injected when (nemesis.go). Most plans are
// hurried and last for hours; every eighth is an ordinary one of days, with
// outages as long. Run plays the plan, ends all faults (World.heal), and gives
// the network time to deliver everything (World.quiesce). Shrink reduces a plan
// that failed: it removes steps while the same check still fails (shrink.go).
//
// # Checks
//
// Checks of safety (S) run after every event, write or message; checks of
// liveness (V) run after the heal. A check compares the product's state with
// groundTruth: what the simulation itself observed at the hardware and the disk.
//
//	S1  Power flows only during a session whose grant is durable, while vehicle and hardware permit it.
//	S2  No contactor stays closed, or closes, without an agent.
//	S3  A connector has at most one open session, at the agent and at Central; tickets do not overlap.
//	S4  A session has one ticket, and one correction if it was settled; it bills what flowed.
//	S5  All energy through a meter is on tickets or shown as unaccounted.
//	S6  Nothing is acknowledged, and nothing deleted from a journal, that no Central has committed.
//	S7  A record never changes: Central applies only bytes that the charging point wrote.
//	S8  Records are applied in order; a gap is passed only if its records are lost for good.
//	S9  A record is applied once, and a repeated request gets the same answer.
//	S10 A reservation ends in time, at the agent, in the database and on the page.
//	S11 A reserved connector starts sessions of the reservation's driver only.
//	S12 A command takes effect at most once, in the boot it was sent to, before it expires.
//	S13 A charging point is quarantined only if its storage was lost.
//	S14 An older Central stops when a later one publishes; claims of charging points do not
//	    exhaust epochs; tickets never change; the ledger is a function of the records.
//	S15 Malformed or nonsensical messages block nothing, and no row breaks a constraint of the database.
//	S16 What the bridge acknowledged to MQTT is in Kafka.
//	S20 A driver's clock that is up to a minute wrong changes no answer.
//	G1  The connectors behind one fuse may at no moment draw more than it carries.
//	V1  After the heal all records, requests, commands and outbox rows are processed.
//	V3  After the heal every component runs, and one Central is active.
//	V5  No event loop runs without letting time pass.
//
// The check "shell" means that the simulation itself is wrong, "panic" that any
// code panicked.
//
// # Planted bugs
//
// With the build tag planted, the agent's core and the shells here can be given one
// known bug (planted.go). A test proves that the checks find each of them.
package world
