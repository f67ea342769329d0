// Package uplink is the agent's end of MQTT: it says the journal's records,
// the presence and the telemetry, and hears acknowledgements and commands. What
// to send and what to obey is decided by package delivery; this is its shell.
//
// Goroutines: Run owns all of them and returns when they have ended. One loop
// owns the state. Each connection has one sender, which reads the records and
// waits where the line is slow, so that the loop never does. No state outlives
// a connection but that of delivery.
//
// A PUBACK moves nothing: brokers lose what they have acknowledged, and
// acknowledge what an access rule forbids. Only Central's acknowledgement lets
// the agent forget.
package uplink
