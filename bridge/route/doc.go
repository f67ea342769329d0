// Package route decides what becomes of a message: up, from MQTT to a Kafka
// record or a dead letter; down, from a Kafka record to an MQTT message or a
// dead letter. It is pure: it keeps nothing, and time comes in with the
// message. Everything here may be called concurrently.
//
// The bytes of a message are never changed. A message that cannot be used
// becomes a dead letter with its reason, never an error and never silence: the
// one that sent it is not stopped by it, nor is any other charging point.
package route
