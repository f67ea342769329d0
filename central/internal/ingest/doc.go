// Package ingest applies records from Kafka, operators' requests and the
// passing of time to the state of the network.
//
// # One writer
//
// One goroutine, Writer.Run, owns that state: the charging points of package
// ledger and the State of package orders. It loops over four steps:
//
//  1. collect a batch: everything that waits, up to 2,000 inputs;
//  2. apply each input to the state in memory, which adds rows to a unit;
//  3. commit the unit: all rows, the Kafka offsets and the outbox in one
//     transaction;
//  4. publish: acknowledgements, commands, replies, and the live view.
//
// Step 4 starts only after the commit, so everything visible outside is on
// disk. If a commit fails, the writer discards the changed state, loads it from
// the database, and applies the same batch again. The error decides how
// (Remedy): a refused row is isolated by halving the batch, and its input
// becomes a dead letter, so that the inputs behind it are not blocked; a full
// or locked disk is retried; a damaged database stops all writing.
//
// An input is therefore applied once or more, and committed at most once. Its
// apply method must depend only on the state, the database and the input.
//
// # Beside the writer
//
//   - One reader per partition (package kafkalink) decodes its records and
//     passes them to Writer.Submit, which blocks until the writer accepts them.
//     That is the backpressure: a reader holds one batch.
//   - Writer.Pulse runs once per second: it publishes this Central's heartbeat
//     and the cost of each running session, and checks which charging points
//     became silent. It needs no database, so a locked one does not stop it.
//   - HTTP handlers read Live, a cache guarded by a mutex, and call
//     Writer.Execute.
//
// # Which Central may act
//
// A Central is in one of three states. While joining it looks for other
// Centrals (package app). Then it is active. It becomes fenced when a Central
// with a higher epoch writes to Kafka. Only an active Central reads records and
// drivers' requests, sends commands, acknowledges and makes tickets; the page
// and operators' read requests work in all three.
package ingest
