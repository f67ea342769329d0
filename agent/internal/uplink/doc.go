// Package uplink is the agent's end of MQTT: it publishes the journal's records,
// the presence and the telemetry, and receives acknowledgements and commands.
// What to send and which command is valid is decided by package delivery; this
// is its shell.
//
// Goroutines: Run owns all of them and returns when they have ended. One loop
// owns the state of delivery, and events reach it through the inbox. Each
// connection has one sender, which reads the records and waits where the network
// is slow, so that the loop never does. When a connection ends, its sender ends
// with it; only the state of delivery remains.
//
// A PUBACK moves nothing: brokers lose what they have acknowledged, and
// acknowledge what an access rule forbids. Only Central's acknowledgement lets
// the agent forget.
package uplink
