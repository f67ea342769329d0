// Package bench measures the network: throughput of bridge and Central, latency
// from a charging point to Central and back, size and memory of the agent, and
// the recovery after an outage of Kafka. Each figure is compared with a target,
// and where possible with a yardstick that was measured on the same machine
// within the same minutes: on a shared machine a ratio means more than a
// figure.
//
// A measurement and its yardstick run alternately, in rounds, and the medians
// of the rounds are compared: one slow round changes nothing. All measured code
// is production code; brokers are embedded, or processes that end with the
// measurement.
//
// Statistics and table are pure functions. Everything else starts and stops
// whole parts of the network; nothing runs after Run has returned.
package bench
