// Package route decides what becomes of each message that the bridge receives.
//
//   - Up, from MQTT: a Kafka record (event, presence, telemetry) or a dead letter.
//   - Down, from Kafka: an MQTT message or a dead letter.
//   - Dedup: which events are in flight, so that a repeated one is held once.
//
// The package is pure: it does no I/O and reads no clock; time comes in with the
// message. Router has no state and may be used concurrently; Dedup may not.
//
// The bytes of a message are never changed. A message that cannot be used becomes
// a dead letter with its reason. It never becomes an error and is never dropped
// silently, so that it stops neither its sender nor any other charging point.
package route
