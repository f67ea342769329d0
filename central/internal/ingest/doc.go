// Package ingest turns what Kafka delivers, what operators ask and what time
// brings into the state of the network.
//
// One goroutine, the writer, owns that state: the charging points of the
// ledger and what is wanted of orders. It takes what is there, applies it,
// writes everything that changed with the Kafka offsets in one transaction,
// and only then lets acknowledgements, commands, answers and the live view
// out. So whatever is seen outside is on disk. If the transaction fails, the
// state is thrown away and loaded again, and the same input is tried again: at
// once one by one if a row was refused, later if the disk is full or locked.
// Input that can never be written becomes a dead letter, so that nobody waits
// behind it.
//
// Beside the writer run: one reader per partition (package kafkalink), which
// hand their batches to Take and wait until the writer has them; the pulse,
// which says each second that this Central lives and what each session costs
// so far; and whoever reads Live, which is a cache with a mutex.
//
// A Central is one of three: it joins (looks whether another one is alive, and
// what it must call itself), it is active, or it is fenced because a later one
// spoke. Only an active one reads records and drivers' requests, orders,
// acknowledges and makes tickets.
package ingest
