// Package mqttside is the bridge's connection to MQTT. It receives what charging
// points publish and publishes what Central sends to them.
//
// Receiving. There is one supervised connection with a persistent session. A
// message is acknowledged when the core of the bridge does so, which is after Kafka
// has it, so that the broker redelivers what a killed bridge held. The core bounds
// what is in flight by a high-water mark, in two steps of backpressure:
//
//  1. The handler blocks, so that paho reads no more from the connection, for less
//     than the ping time-out in sum.
//  2. After that the bridge disconnects and leaves the messages with the broker.
//     It connects again below the low-water mark, which is half the high one.
//
// An event is never dropped.
//
// Publishing. Messages are published with QoS 1 on the present connection only. The
// caller publishes again on the next connection what was not confirmed.
//
// Goroutines: Run owns them all. The handler runs on the connection's reader; it
// decides and passes messages on, and never waits except for backpressure.
package mqttside
