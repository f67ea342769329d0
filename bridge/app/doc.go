// Package app wires the bridge: the MQTT side hands what it takes to the Kafka
// side, and the Kafka side publishes what Central orders through the MQTT side.
// It is importable, so that a whole network can run in one process.
package app
