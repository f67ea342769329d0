// Package kafkaside is the bridge's end of Kafka: it writes what came by MQTT,
// and reads what Central orders.
//
// Up. Each partition has a lane with one produce outstanding, so the order of a
// charging point holds; a record is tried until Kafka has it, and only then is
// its message acknowledged to MQTT. Of telemetry, presence and the bridge's own
// sign of life the latest value is enough. What Kafka refuses for good becomes
// a dead letter. The Books always add up.
//
// Down. The place in cp-commands is in memory: after a start the log is read
// from two minutes back. Of what lay in the log then, only commands that have
// not expired and the last acknowledgement per charging point are published.
// The place moves on after the broker has confirmed.
//
// Goroutines: Run owns them all.
package kafkaside
