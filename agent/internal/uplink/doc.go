// Package uplink is the agent's end of MQTT: it publishes what the core
// (agent/point) asks for, and passes what comes as events to the core. It decides
// nothing.
//
// Goroutines: Run owns all of them and returns when they have ended. Each
// connection has one sender, which reads the records from the journal and waits
// where the network is slow, so that no step of the core ever does. When a
// connection ends, its sender ends with it.
//
// A PUBACK moves nothing: brokers lose what they have acknowledged, and
// acknowledge what an access rule forbids. Only Central's acknowledgement lets
// the agent forget.
package uplink
