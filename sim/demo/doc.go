// Package demo runs the whole network in this process, by the same app.Run as
// in the real programs: embedded MQTT and Kafka brokers (or external ones),
// the bridge, Central with its page, charging points with simulated hardware,
// and drivers who ask by themselves.
//
// All of it is kept in one data folder; a second demo on it goes on where the
// first one was, also after a kill. A lock keeps two demos apart.
//
// # Order
//
// Everything is started at once and in no order that matters. At the stop the
// drivers go first, then the charging points, the bridge and Central, and the
// brokers last, so that what can still be said is said; what cannot is kept on
// the charging points' disks and said at the next start.
//
// Run owns every goroutine it starts and returns when all have ended.
package demo
