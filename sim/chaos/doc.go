// Package chaos runs the network as processes, as it runs in the field, and
// kills them: agents with their boards, the bridge, Central, an MQTT broker and
// a Kafka. At the end Reconcile compares what three witnesses that do not know
// each other say: the agents' journals on disk, the boards' registers and
// relays, and Central's database.
//
// A Network starts and stops processes; each Process has one owner at a time.
// What is started here is ended here: a Network that is closed, or whose
// process dies, leaves nothing running (on Linux; elsewhere a killed one does).
package chaos
