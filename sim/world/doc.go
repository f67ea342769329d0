// Package world is the whole network as a deterministic simulation: the same
// seed gives the same run, event by event, so that whatever goes wrong can be
// seen again.
//
//	hands,              ┌────────┐        ┌──────┐        ┌───────┐        ┌────────────┐
//	vehicles ──► outlet │ agent  │◄──────►│broker│◄──────►│bridge │◄──────►│kafka       │
//	(outlet.go)         │connector        └──────┘        │route  │        │logs, readers
//	                    │safety  │      retained, wills,  └───────┘        └─────▲──────┘
//	                    │delivery│      a kept session                           │
//	                    │journal ├─► disk               drivers ────────────►┌───▼────────┐
//	                    └────────┘   synced | unsynced  operators ──────────►│central      │
//	                                                                         │ledger orders├─► db
//	                                                                         └─────────────┘ rows
//
// # What is real and what is not
//
// Every box decides with the code of the product: agent/connector, agent/safety,
// agent/delivery, agent/journal (over a disk of memory), bridge/route,
// central/ledger, central/orders and the encoders of internal/wire. What stands
// between them, which in the product are goroutines around a socket or a
// database, is written here a second time, as small as it can be: agent*.go
// follow agent/app and agent/internal/uplink, bridge.go follows bridge/internal,
// central*.go follow central/internal/ingest and outbox. Brokers and disks are
// models that can do what real ones do at their worst.
//
// # Time and chance
//
// One heap of events ordered by (time, number), one virtual clock, and one
// source of chance per box, all seeded (sched.go). No goroutine, no clock, no
// map order reaches a decision. Signs of life, telemetry and idle meter readings
// have longer intervals than the product's, so that a day costs little; limits
// that count in them are scaled alike (paces.go).
//
// # A run
//
// A Plan (plan.go) is drawn from the seed: who comes when, and which faults
// happen when (nemesis.go). Most lives are hurried and last for hours; every
// eighth is an ordinary one of days, with outages as long. Run plays it, then heals everything and lets the
// network come to rest. Checkers (check*.go) look after every event (safety)
// and at the end (liveness). A failed run is shrunk by leaving parts of its plan
// out while it still fails the same way (shrink.go).
//
// # Planted bugs
//
// With the build tag planted, the shells here can be told to misbehave in one
// known way (planted.go), which proves that the checkers see it.
package world
