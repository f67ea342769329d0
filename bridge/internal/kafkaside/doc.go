// Package kafkaside is the bridge's connection to Kafka. It writes what was received
// by MQTT, and reads what Central sends to charging points.
//
// Up. Each partition has a lane with one batch in flight, so that the
// order of a charging point holds. A record is retried until Kafka has it, and
// only then is its message acknowledged to MQTT. An event that is received again
// meanwhile is held once (dedup). Of telemetry, presence and the bridge's own
// heartbeat the latest value is enough. A record that Kafka refuses for good
// becomes a dead letter: the core of the bridge decides that.
//
// Down. The offsets of cp-commands are kept in memory only. After a start the log
// is read from two minutes back: the records that it contains then are the
// backlog. Of the backlog only commands that have not expired and the last
// acknowledgement per charging point are published. The offset moves on after the
// MQTT broker has confirmed a batch.
//
// Goroutines: Run owns them all.
package kafkaside
