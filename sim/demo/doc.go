// Package demo runs the whole network in this process, through the same app.Run
// as the real programs: embedded MQTT and Kafka brokers (or external ones), the
// bridge, Central with its page, charging points with simulated hardware, and
// drivers that send requests.
//
// All data is kept in one folder. A later demo on the folder continues where
// the last one ended, also after a kill. A lock prevents two demos on one
// folder.
//
// # Order
//
// The parts start at the same time; none needs another to have started. At the
// end the drivers stop first, then the charging points, the bridge and Central,
// and the brokers last, so that records in flight still arrive. What does not
// arrive stays in the charging points' journals and is sent in the next run.
//
// # Concurrency
//
// Run owns every goroutine that it starts, and returns when all have ended. The
// one exception is Keys, whose goroutine waits for the next key.
package demo
