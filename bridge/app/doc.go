// Package app configures a bridge and wires its parts: the MQTT side passes what it
// receives to the Kafka side, and the Kafka side publishes what Central sends
// through the MQTT side. Both report their state to one observe.Server, for health
// and metrics.
//
// It is a package of its own so that a whole network can run in one process.
package app
