// Package kafkalink connects the bridge and Central to Kafka, over kafka-go: a
// watcher of the topics, a producer with one lane per partition, and readers of
// partitions.
//
// Constructors do no I/O. Everything waits for Kafka as long as it takes, at the
// start and later: that Kafka answers is never a condition of starting.
//
//   - Client: one connection pool per process.
//   - TopicWatcher: creates the topics that this program writes, learns the real
//     numbers of partitions, knows whether Kafka answers, and wakes all waiters as
//     soon as it answers again.
//   - Producer: one queue per partition that the topic really has, one batch in
//     flight in each, retried until it succeeds. So the order within a partition
//     holds. The batches for one broker share a request. An accepted record is
//     written at least once, or reported as one that Kafka never accepts, or still
//     held when the process ends.
//   - PartitionReader: batches in the order of the log, each repeated until it is
//     handled. It detects a log that was replaced by another one.
//   - TopicReader: a PartitionReader for each partition that a topic really has.
//   - Troubles: what cannot be written or read although Kafka answers, since when
//     and why, for health checks and heartbeats.
//
// Only Transport and Client of kafka-go are used. Its Writer continues with the
// next batch after one has failed for good, and so breaks the order. Its Reader
// has a hidden goroutine that reconnects by its own rules, delivers single
// messages without the end of the log, skips what it cannot find, and may need
// minutes to close. Client.Fetch is one request with one response: it returns a
// whole batch with the high watermark, returns an out-of-range offset as an error,
// and ends with its context.
//
// Properties of kafka-go's Transport, and what this package does about them:
//   - It answers metadata requests from a cache, without an error for ever once
//     that was filled. So the watcher requests the broker's API versions, which
//     are not cached, and drops the pool when that fails; a new pool sends
//     requests at once.
//   - It learns of a moved leader with its next refresh, after up to a second.
//     Every lane and reader reports such an error to the watcher, which drops the
//     pool.
//   - A cancelled request keeps its connection busy until its deadline. Client
//     tracks the connections that it dialled, and Close ends them all.
//
// A topic's max.message.bytes limits a batch, not a record. Where it is
// configured, batches are kept below it.
//
// Concurrency: exported methods may be called concurrently unless their
// comment excludes it. Run owns all goroutines of its receiver.
package kafkalink
