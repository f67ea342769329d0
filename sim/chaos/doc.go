// Package chaos runs the network as processes, as in the field, and injects
// faults: it kills, restarts and freezes agents, the bridge, Central, an MQTT
// broker and a Kafka, cuts the connections between them, and fills the disks of
// journals and of the database. Simulated drivers use the network meanwhile.
//
// At the end Reconcile compares three sources that do not depend on each other:
// the agents' journals on disk, the boards' registers and relays, and Central's
// database. A record that was journalled and not applied, a Wh of a register
// that is neither on a ticket nor shown as unaccounted, and a contactor that
// was closed without an authorized session are violations.
//
// A run is planned by its seed: which fault happens to which process, in which
// order, for how long. When it happens depends on the machine.
//
// # Ownership
//
// A Network starts and stops processes; each Process has one owner at a time: a
// fault locks its target while it lasts and until the process has recovered.
// All processes end with this one: Close ends them, and on Linux the kernel
// ends them when this process dies.
package chaos
