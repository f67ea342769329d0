package obs

// Keys are all keys that a log line may have beside time, level and msg, and
// what each means: one who searches logs searches for these. A new line takes
// one of them; a new key is added here on purpose.
func Keys() map[string]string {
	return map[string]string{
		// Whose and which. Those that a line has are all it is about.
		"cp_id":          "the charging point",
		"connector":      "the number of a connector of it",
		"session_id":     "a session; it is also the trace from the order to the ticket",
		"reservation_id": "a reservation",
		"command_id":     "a command",
		"username":       "a driver",
		"journal":        "the journal, which is one boot, of a charging point",
		"seq":            "the place of a record in its journal",
		"central_seq":    "the place in it that Central names",
		"central":        "a run of Central: its epoch",
		"topic":          "an MQTT or Kafka topic",
		"partition":      "a Kafka partition",
		"offset":         "a place in a partition",
		"was":            "the place before",
		"part":           "the program, where several run in one process",

		// What it is.
		"type":      "the type of a record or a message",
		"kind":      "the kind of a fact",
		"status":    "of a connector",
		"state":     "of a part of the hardware",
		"verdict":   "what was made of a command",
		"action":    "done to simulated hardware, or asked for",
		"deed":      "of a simulated driver",
		"operation": "of the API",
		"word":      "said to the service manager",
		"close":     "whether a contactor was to close",
		"offer":     "whether power was to be offered",
		"full":      "whether something is full",

		// Why.
		"err":     "an error, as the program says it",
		"reason":  "why, as a page says it",
		"detail":  "more about the reason",
		"trouble": "what is wrong with the database, in words",
		"alarm":   "what somebody should look at, in words",
		"text":    "a fact in words",
		"since":   "when it became so",
		"panic":   "what a rule of the program was broken by",
		"stack":   "where",
		"omitted": "lines like this that were left out before it",

		// Where.
		"addr":    "an address that is served",
		"broker":  "an MQTT broker",
		"conn":    "the number of a connection to it",
		"mqtt":    "the MQTT broker of a bridge",
		"kafka":   "the Kafka brokers of a bridge",
		"socket":  "of a board",
		"board":   "the model of a board",
		"segment": "a file of the journal",

		// How many.
		"records":      "journal records",
		"bytes":        "size",
		"inputs":       "of a transaction",
		"connectors":   "of a charging point",
		"partitions":   "of a topic",
		"configured":   "partitions of a topic as configured",
		"real":         "partitions of a topic as they are",
		"accepted":     "messages a bridge took",
		"forwarded":    "of them to Kafka",
		"dead_letters": "of them as dead letters",
		"left":         "of them neither",
	}
}
