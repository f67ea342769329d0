// Package app connects the components of Central: configuration, the database,
// the writer (package ingest), Kafka, the outbox, and the page (package web). Run
// is a whole Central; the program and the one-process network call it alike.
//
// Only the configuration, the database and the address of the page are needed to
// start. Kafka may come later, or never: until then the page shows the state of
// the database, and what is being waited for.
//
// # Starting
//
// A Central must not act while another one does. So it starts in steps
// (kafkaIO.run): it waits for Kafka; reads the latest records of monitor-events
// and cp-commands for epochs of other Centrals, and waits until those are silent
// (waitToJoin); makes the writer active (ingest.Writer.Join); reads what
// Centrals have published to its end, answers and tickets; and only then reads
// records of charging points and drivers' requests.
//
// # Goroutines
//
// components.run starts one goroutine for the writer, its pulse, the outbox, the
// Kafka side, health and the page each, and the Kafka side one more per partition
// that is read. If one component fails for good, all are stopped.
//
// The adapters in this package (ingestStore, live, operatorAPI, archive) convert
// between the types of store, ingest and web, which do not import each other.
package app
