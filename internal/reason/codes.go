package reason

import "slices"

// Code names a reason, for programs. A code never changes its meaning. A new one
// stands here with its text in English; the API lists all, and the page has a text
// for each in each of its languages, or its type check fails.
type Code string

// Reported is a reason that another program or device gave in words: Detail.
const Reported Code = "reported"

// Why a part of the network is not up, or of what it warns.
const (
	Starting         Code = "starting"
	NotAsked         Code = "not_asked"
	KafkaDown        Code = "kafka_down"
	MQTTDown         Code = "mqtt_down"
	MQTTPaused       Code = "mqtt_paused"
	MQTTUnknown      Code = "mqtt_unknown"
	StandbyNone      Code = "standby_none_active"
	StandbyStarts    Code = "standby_starts"
	Standby          Code = "standby"
	NoneActive       Code = "none_active"
	NoHeartbeatYet   Code = "no_heartbeat_yet"
	NoHeartbeats     Code = "no_heartbeats"
	Replaced         Code = "no_heartbeats_replaced"
	HeartbeatsBehind Code = "heartbeats_behind_kafka"
	HeartbeatsUnread Code = "heartbeats_unread"
	WaitsForKafka    Code = "waits_for_kafka"
	LooksForCentral  Code = "looks_for_central"
	OtherCentral     Code = "other_central"
	Fenced           Code = "fenced"
	CannotWrite      Code = "cannot_write"
	CannotRead       Code = "cannot_read"
	TopicMissing     Code = "topic_missing"
	TopicDiffers     Code = "topic_differs"
)

// Why Kafka does not accept or return records.
const (
	KafkaSilent      Code = "kafka_silent"
	KafkaUnreachable Code = "kafka_unreachable"
	TopicAbsent      Code = "topic_absent"
	PartitionUnknown Code = "partition_unknown"
	NoLeader         Code = "no_leader"
	TooFewCopies     Code = "too_few_copies"
	BrokerDisk       Code = "broker_disk"
	BrokerTimeout    Code = "broker_timeout"
	ClockAhead       Code = "clock_ahead"
	TopicDenied      Code = "topic_denied"
	ClusterDenied    Code = "cluster_denied"
	LoginRefused     Code = "login_refused"
	RecordTooLarge   Code = "record_too_large"
	RecordInvalid    Code = "record_invalid"
	NotYet           Code = "not_yet"
)

// Why the database cannot be used.
const (
	DatabaseRow         Code = "database_row"
	DatabaseLocked      Code = "database_locked"
	DatabaseFull        Code = "database_full"
	DatabaseDisk        Code = "database_disk"
	DatabaseFile        Code = "database_file"
	DatabaseMemory      Code = "database_memory"
	DatabaseInterrupted Code = "database_interrupted"
	DatabaseDamaged     Code = "database_damaged"
	DatabaseNone        Code = "database_none"
	DatabaseSchema      Code = "database_schema"
	DatabaseTooLarge    Code = "database_too_large"
	DatabaseOther       Code = "database_other"
	DatabaseUnusable    Code = "database_unusable"
)

// Why records are missing.
const (
	GapOf            Code = "gap"
	GapBeforeRecord  Code = "gap_before_record"
	GapBeforeStart   Code = "gap_before_start"
	GapUnreadable    Code = "gap_unreadable"
	GapPassed        Code = "gap_passed"
	StorageReplaced  Code = "storage_replaced"
	StorageSetBack   Code = "storage_set_back"
	NotFollowing     Code = "not_following"
	NotFitting       Code = "not_fitting"
	OtherBytes       Code = "other_bytes"
	OtherBytesFork   Code = "other_bytes_fork"
	NotFollowingFork Code = "not_following_fork"
	BothGrow         Code = "both_grow"
)

// What alarms report of sessions, energy and messages.
const (
	Quarantined       Code = "quarantined"
	PointFault        Code = "cp_fault"
	SessionOrphaned   Code = "session_orphaned"
	SessionSilent     Code = "session_silent"
	TicketsOverlap    Code = "tickets_overlap"
	EnergyTwice       Code = "energy_twice"
	EnergyUnaccounted Code = "energy_unaccounted"
	TicketDiffers     Code = "ticket_differs"
	TicketStays       Code = "ticket_stays"
	TicketTwice       Code = "ticket_twice"
	RegisterJumped    Code = "register_jumped"
	RegisterJumpedIn  Code = "register_jumped_in_session"
	RegisterReturned  Code = "register_jumped_to_before"
	RegisterFell      Code = "register_fell"
	RegisterRolled    Code = "register_rolled_over"
	RegisterContinues Code = "register_fell_to_before"
	Anomaly           Code = "anomaly"
	RecordUnusable    Code = "record_unusable"
	EpochAtItsEnd     Code = "epoch_at_its_end"
	EpochNotBelieved  Code = "epoch_not_believed"
	MessageUnusable   Code = "message_unusable"
	BridgeDeadLetters Code = "bridge_dead_letters"
)

// Why a message is not for the part that received it, or had no effect.
const (
	Retained         Code = "retained"
	TopicNames       Code = "topic_names_other"
	KeyNames         Code = "key_names_other"
	NotFromPoints    Code = "not_from_points"
	TopicUnread      Code = "topic_unread"
	NotWritten       Code = "not_written"
	KafkaRefuses     Code = "kafka_refuses"
	RegisteredLater  Code = "registered_later"
	SessionElsewhere Code = "session_elsewhere"
	SessionConnector Code = "session_connector"
	SessionUnnamed   Code = "session_unnamed"
	SessionBegan     Code = "session_began"
	CommandOfOther   Code = "command_of_other"
)

// Codes returns all codes, sorted.
func Codes() []Code {
	return slices.Sorted(func(yield func(Code) bool) {
		for _, t := range []map[Code]string{texts, messageTexts} {
			for code := range t {
				if !yield(code) {
					return
				}
			}
		}
	})
}

// text returns the text of a code in English; "" if it is not known.
func (c Code) text() string {
	if t, ok := messageTexts[c]; ok {
		return t
	}
	return texts[c]
}

// texts has the text of each other code in English. What stands in braces is the value
// of that name.
//
//nolint:gochecknoglobals // a table of constants
var texts = map[Code]string{
	Reported: "{detail}",

	Starting:         "starting",
	NotAsked:         "not asked yet",
	KafkaDown:        "waiting for Kafka",
	MQTTDown:         "waiting for MQTT at {address}",
	MQTTPaused:       "staying away from MQTT at {address}: messages wait for Kafka; new messages wait at the broker",
	MQTTUnknown:      "only the bridge knows, and it sends no heartbeats",
	StandbyNone:      "stands by: no bridge with this client id is active yet",
	StandbyStarts:    "stands by: takes over",
	Standby:          "stands by: bridge {other} is active",
	NoneActive:       "stands by, and none is active",
	NoHeartbeatYet:   "no heartbeat received yet",
	NoHeartbeats:     "no heartbeats any more",
	Replaced:         "no heartbeats any more; another one has its work",
	HeartbeatsBehind: "Kafka is down, so heartbeats of the bridge cannot be received",
	HeartbeatsUnread: "this Central cannot read the heartbeats of the bridge in {topic}",
	WaitsForKafka:    "waits for Kafka",
	LooksForCentral:  "looks whether another Central is alive",
	OtherCentral:     "another Central ({central}) is alive: waits until it has been silent for {count} s; --take-over does not wait",
	Fenced:           "another Central took over: this one is read-only",
	CannotWrite:      "cannot write {topic}",
	CannotRead:       "cannot read {topic}",
	TopicMissing:     "topic {topic} does not exist",
	TopicDiffers:     "topic {topic} has {count} partitions and {wanted} are configured: it is used with those it has",

	KafkaSilent:      "Kafka does not answer",
	KafkaUnreachable: "Kafka cannot be reached",
	TopicAbsent:      "the topic does not exist",
	PartitionUnknown: "the topic or the partition does not exist",
	NoLeader:         "the partition has no leader: a broker is away",
	TooFewCopies:     "too few copies of the partition are in step (min.insync.replicas): a broker is away",
	BrokerDisk:       "the broker's disk fails",
	BrokerTimeout:    "the broker does not answer in time",
	ClockAhead:       "this machine's clock is ahead of Kafka's: Kafka refuses the timestamps",
	TopicDenied:      "Kafka denies access to the topic: an access rule (ACL) is missing",
	ClusterDenied:    "Kafka denies access to the cluster: an access rule (ACL) is missing",
	LoginRefused:     "Kafka refuses the login",
	RecordTooLarge:   "a record is larger than the topic allows (max.message.bytes)",
	RecordInvalid:    "the topic's settings refuse a record as invalid",
	NotYet:           "not yet",

	DatabaseRow:         "the database refused a row",
	DatabaseLocked:      "another program holds the database locked",
	DatabaseFull:        "the disk of the database is full: free some space",
	DatabaseDisk:        "the disk of the database reports errors",
	DatabaseFile:        "the file of the database cannot be written: check that it exists, its owner and its mode",
	DatabaseMemory:      "out of memory",
	DatabaseInterrupted: "a statement of the database was interrupted",
	DatabaseDamaged:     "the database is damaged: stop Central, keep a copy of the file, then restore a backup or rebuild it",
	DatabaseNone:        "the file is not a database: stop Central, check database.path, then restore a backup or rebuild it",
	DatabaseSchema:      "another program changed the tables of the database: stop Central and check which version wrote the file",
	DatabaseTooLarge:    "this system cannot hold a file as large as the database: move it to another one",
	DatabaseOther:       "the database does not do what this program asks of it: stop Central and check which version wrote the file",
	DatabaseUnusable:    "the database cannot be used: stop Central and verify it",

	GapOf:            "records {first} to {last} of journal {journal} are missing",
	GapBeforeRecord:  "the charging point holds nothing before record {count}",
	GapBeforeStart:   "the charging point holds nothing before its start",
	GapUnreadable:    "what the journal follows cannot be read",
	GapPassed:        "passed by an operator",
	StorageReplaced:  "the charging point came back with an empty storage",
	StorageSetBack:   "record {journal}/{first} has two continuations: the storage went back to an older state",
	NotFollowing:     "record {journal}/{first} does not follow the record known before it: dropped",
	NotFitting:       "record {journal}/{first}, which was missing, does not fit the records known beside it: dropped",
	OtherBytes:       "record {journal}/{first} came with other bytes than before: dropped",
	OtherBytesFork:   "record {journal}/{first} came with other bytes than before, and both follow the same record",
	NotFollowingFork: "record {journal}/{first} does not follow the record known before it, and nothing else came for ten minutes",
	BothGrow:         "journals {journal} and {other} both grow",

	Quarantined:     "identity quarantined",
	PointFault:      "fault: {fault}",
	SessionOrphaned: "the charging point came back without session {session_id}: {energy_wh} Wh up to its last register are unaccounted",
	SessionSilent: "the charging point has been silent since {since} during session {session_id} of {username}: " +
		"{energy_wh} Wh up to its last register",
	TicketsOverlap:    "the tickets of sessions {other} and {session_id} hold the same energy",
	EnergyTwice:       "tickets and sessions hold {energy_wh} Wh more than went through the meter",
	EnergyUnaccounted: "{energy_wh} Wh went through the meter outside of sessions",
	TicketDiffers:     "a late record would change the ticket of session {session_id}",
	TicketStays:       "the ticket of session {session_id} was published before the database was restored, and stays; the records known here state another one",
	TicketTwice:       "another Central published another ticket of session {session_id} too",
	RegisterJumped:    "the register went from {from_wh} Wh to {to_wh} Wh, more than can have flowed; the step is not counted",
	RegisterJumpedIn:  "the register went from {from_wh} Wh to {to_wh} Wh, more than can have flowed; session {session_id} counts it",
	RegisterReturned: "the register went from {from_wh} Wh to {to_wh} Wh, more than can have flowed; " +
		"it continues from {energy_wh} Wh, which it showed before",
	RegisterFell:      "the register went from {from_wh} Wh back to {to_wh} Wh",
	RegisterRolled:    "the register went from {from_wh} Wh back to {to_wh} Wh; it rolled over at {energy_wh} Wh",
	RegisterContinues: "the register went from {from_wh} Wh back to {to_wh} Wh; it continues from {energy_wh} Wh, which it showed before",
	Anomaly:           "the charging point reports an anomaly",
	RecordUnusable:    "the record cannot be used",
	EpochAtItsEnd: "presences name the epoch {central}, which Central cannot exceed; if it obeys that epoch, " +
		"the charging point ignores this Central: delete its position file, or give it an empty storage",
	EpochNotBelieved:  "a Central of the epoch {central} wrote to Kafka, more than {count} starts above this one: it is ignored",
	MessageUnusable:   "a record at {topic}/{other} cannot be used",
	BridgeDeadLetters: "dead letters of bridge {other} since its start: {count}, kept in {topic}; the last",

	Retained:         "is retained; events and telemetry are not",
	TopicNames:       "the topic names {value}, the message names {allowed}",
	KeyNames:         "the key names {value}, the message names {allowed}",
	NotFromPoints:    "{value} is not sent by charging points",
	TopicUnread:      "topic {value} has no reader",
	NotWritten:       "could not be written to the database",
	KafkaRefuses:     "refused by Kafka",
	RegisteredLater:  "cp_registered is record 1 of a journal and no other",
	SessionElsewhere: "session {session_id} belongs to another charging point",
	SessionConnector: "session {session_id} is at connector {value}, not at {allowed}",
	SessionUnnamed:   "a record of a session needs session_id and connector",
	SessionBegan:     "session {session_id} began at {from_wh} Wh, and its stop states that it began at {to_wh} Wh",
	CommandOfOther:   "command_accepted repeats a command that is not for this charging point",
}
