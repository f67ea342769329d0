// Package lease decides which of several bridges with one MQTT session is active.
// The others stand by: they are not connected to MQTT.
//
// The bridges share a client id, so the broker keeps one connection of them and one
// queue, and gives what was not acknowledged to the one that connected last. This
// alone keeps order and loses nothing, also when two bridges believe to be active:
// what each writes to Kafka begins with what is not acknowledged, in the order of
// receipt. Which one is active is decided only so that two bridges do not disconnect
// each other in turn, and so that one is always active.
//
// They decide by their heartbeats, which are in one Kafka partition, so that all read
// them in the same order:
//
//   - A bridge that stands by takes over when Patience of its own heartbeats are in
//     the log and none of the active one between them. A slow Kafka delays both, so
//     it is no reason to take over; no clock is compared.
//   - A claim has a term, one above all before it. The highest term is active; of two
//     claims with one term the first in the log.
//   - Before each connection to MQTT, except the first after a claim, an active bridge
//     waits until a heartbeat that it sends then comes back. So one that was
//     disconnected because another took over reads that claim first, and one that
//     cannot reach Kafka does not connect.
//   - An active bridge that is not connected for Idle of its heartbeats gives up, and
//     lets the others try first.
//
// State is pure: no I/O, clock or goroutine. bridge/app gives it one caller at a time.
package lease
