package logs

// Keys returns all keys that a log line may have beside time, level and msg,
// with their meanings. Operators search logs by them. A new line uses one of
// them if it can; a test finds keys that are not listed here.
func Keys() map[string]string {
	return map[string]string{
		// What the line is about.
		"cp_id":          "the charging point",
		"connector":      "the number of a connector of it",
		"session_id":     "a session; it is also the trace from the order to the ticket",
		"reservation_id": "a reservation",
		"command_id":     "a command",
		"journal":        "the journal, which is one boot, of a charging point",
		"seq":            "the number of a record in its journal",
		"central_seq":    "the number of the last record that Central has applied",
		"central":        "the epoch of a run of Central",
		"topic":          "an MQTT or Kafka topic",
		"partition":      "a Kafka partition",
		"offset":         "an offset in a partition",
		"was":            "the offset before",
		"part":           "the program, where several run in one process",

		// What it is.
		"type":      "the type of a record or a message",
		"kind":      "the kind of a fact",
		"status":    "of a connector",
		"state":     "of a part of the hardware",
		"verdict":   "how a command was decided",
		"action":    "an action of simulated hardware, or a request for one",
		"event":     "what happened to the connection of a simulated board",
		"operation": "of the API",
		"word":      "a notification to the service manager",
		"output":    "of the hardware: contactor, lock, pilot, keeper",
		"delay":     "how long it lasts",
		"offer":     "whether power was to be offered",
		"full":      "whether something is full",

		// Why.
		"err":        "the text of an error",
		"reason":     "why, in the words of the page",
		"detail":     "more about the reason",
		"setup_code": "with which the first account is made, once",
		"until":      "when a certificate expires",
		"trouble":    "what is wrong with the database, in words",
		"alarm":      "what an operator should look at, in words",
		"text":       "a fact in words",
		"since":      "when that began",
		"panic":      "the value of a Go panic",
		"stack":      "the stack of the goroutine",
		"omitted":    "how many lines with the same message were omitted before this one",

		// Where.
		"addr":      "an address that is served",
		"broker":    "an MQTT broker",
		"conn":      "the number of a connection to it",
		"client_id": "the MQTT client id that bridges share",
		"mqtt":      "the MQTT broker of a bridge",
		"kafka":     "the Kafka brokers of a bridge",
		"socket":    "of a board",
		"board":     "the model of a board",
		"segment":   "a file of the journal",

		// How many.
		"records":      "journal records",
		"bytes":        "size",
		"inputs":       "of a transaction",
		"connectors":   "of a charging point",
		"partitions":   "of a topic",
		"configured":   "partitions of a topic as configured",
		"real":         "partitions of a topic as they are",
		"accepted":     "messages that a bridge received from MQTT",
		"forwarded":    "of them written to Kafka",
		"dead_letters": "of them written as dead letters",
		"left":         "of them still in memory at the end",
	}
}
