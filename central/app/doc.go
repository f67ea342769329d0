// Package app wires Central: configuration, the database, the writer, Kafka,
// the outbox, the page. Run is a whole Central; the program and the one-process
// network call it alike.
//
// Nothing is a condition of starting but the configuration, the database and
// the address of the page: Kafka may come later, or never.
package app
