// Package kafkalink is the bridge's and Central's way to Kafka, over kafka-go:
// a keeper that makes and watches the topics, a producer with one lane per
// partition, and a reader of one partition.
//
// Everything is built without any I/O and waits for Kafka as long as it takes,
// at the start and later; nothing is a condition of starting.
//
//   - Client: one connection pool per process.
//   - Keeper: makes the topics this part writes, learns the real partition
//     counts, knows whether Kafka answers, and wakes all who wait the moment it
//     does again.
//   - Producer: bounded queues, one per partition the topic really has, one
//     produce outstanding in each, the same batch again until Kafka has it. So
//     the order within a partition holds, and an accepted record is written at least once, is
//     isolated as one that Kafka can never take, or is still held when the
//     process ends; its owner is told of the first two.
//   - PartitionReader: batches in the order of the log, each until it is
//     handled; it notices a log that was replaced by another one.
//   - TopicReader: a PartitionReader for each partition a topic really has.
//   - Troubles: what cannot be written or read although Kafka answers, since when
//     and why, for whoever shows it.
//
// The pieces of kafka-go that are used are Transport and Client alone. Its
// Writer goes on to the next batch when one has failed for good, and so breaks
// the order. Its Reader works with a hidden goroutine that reconnects by its own
// rules, hands over single messages without the end of the log, jumps over what
// it cannot find, and may take minutes to close; Client.Fetch is one request
// with one answer: it gives a whole batch with the high-water mark, an
// out-of-range offset as an error, and ends with its context.
//
// What kafka-go's Transport does, and what is done about it:
//   - Metadata is answered from a cache, for ever without an error once it was
//     filled. So the keeper asks for the broker's API versions, which is not
//     cached, and drops the pool when that fails; a new pool asks at once.
//   - A leader that moved is learned with the next refresh (up to a second).
//     Whoever meets such an error tells the keeper, which drops the pool.
//   - A cancelled request leaves its connection busy until its deadline. Client
//     keeps count of the connections it dialled, and Close ends them all.
//
// A topic's max.message.bytes bounds a batch, not a record; batches of a topic
// whose bound is configured are kept below it.
package kafkalink
