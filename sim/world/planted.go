package world

import "github.com/carga-ev/carga/agent/point"

// Bug is a known bug that can be planted, to test the checks.
type Bug string

// The planted bugs of an agent's core. planted_test.go states for each bug under
// which faults and by which check it must be found.
const (
	BugCloseBeforeSync = Bug(point.BugCloseBeforeSync)
	BugForgetAtPuback  = Bug(point.BugForgetAtPuback)
	BugCommandTwice    = Bug(point.BugCommandTwice)
	BugIgnoreBoot      = Bug(point.BugIgnoreBoot)
	BugWallClock       = Bug(point.BugWallClock)
	BugNoRewind        = Bug(point.BugNoRewind)
	BugNoProbe         = Bug(point.BugNoProbe)
	BugFullDiskCharges = Bug(point.BugFullDiskCharges)
	BugLimitByWall     = Bug(point.BugLimitByWall)
)

// The bugs of the disk and of the shells.
const (
	BugNoSync        Bug = "journal_without_fsync" // no sync reaches the medium
	BugSyncErrorLost Bug = "fsync_error_ignored"   // a failed sync reports success
	// After a boot the journal's pilot counts, not the hardware's.
	BugPlugFromJournal Bug = "plug_state_taken_from_the_journal"
	// The bridge acknowledges what Kafka may not get.
	BugAckBeforeKafka Bug = "mqtt_ack_before_the_kafka_ack"
	// The bridge acknowledges and drops instead of pausing.
	BugDropWhenFull Bug = "bridge_drops_when_full"
	BugSkipFailed   Bug = "bridge_skips_what_failed" // a failed produce call is not retried
	// The broker then delivers out of order what it has queued.
	BugAckOutOfOrder Bug = "mqtt_ack_out_of_order"
	// The broker delivers it again and again.
	BugDeadLetterStays Bug = "dead_letter_unacknowledged"
	// Central acknowledges before its transaction is durable.
	BugAckBeforeCommit Bug = "ack_before_commit"
	// Central applies a record that it knows.
	BugNoDedupe      Bug = "deduplication_off"
	BugOffsetOutside Bug = "offset_outside_the_transaction" // offsets are durable before the rows
	// Offsets of one log are used in another.
	BugOffsetsBlind Bug = "replaced_log_not_noticed"
	// A record is applied though its predecessors are missing.
	BugGapApplied Bug = "gap_applied"
	// The page shows a stored status instead of a computed one.
	BugStoredStatus Bug = "reserved_stored_as_a_word"
	BugNoFence      Bug = "older_central_goes_on" // a Central ignores a later one
	// Any charging point can exhaust the epochs.
	BugClaimRaises Bug = "presence_raises_centrals_own_epoch"
	// Drivers learn of tickets that are never committed.
	BugTicketOutside Bug = "ticket_published_outside_the_transaction"
	// A session id of another charging point looks new.
	BugForeignSession Bug = "session_of_another_charging_point_unknown"
	// A single forged record quarantines a charging point.
	BugForgedForks Bug = "one_wrong_prev_quarantines"
	// The time at which Kafka got a request is not considered.
	BugDriversClock   Bug = "request_decided_by_the_drivers_clock"
	BugRepeatReserves Bug = "repeated_message_id_served_again" // a repeated request is decided again
	BugAddedUnread    Bug = "added_partition_unread"           // partitions added later are not read
	// A restored Central bills sessions again that an earlier one has billed.
	BugTicketsUnread Bug = "published_tickets_unread"
	BugKeeperDead    Bug = "contactor_stays_closed_when_the_agent_dies"
)

// Bugs returns all planted bugs.
func Bugs() []Bug {
	return []Bug{
		BugCloseBeforeSync, BugNoSync, BugSyncErrorLost, BugForgetAtPuback, BugCommandTwice, BugIgnoreBoot, BugWallClock, BugPlugFromJournal,
		BugNoRewind, BugNoProbe, BugFullDiskCharges, BugLimitByWall, BugAckBeforeKafka, BugDropWhenFull, BugSkipFailed, BugDeadLetterStays, BugAckOutOfOrder,
		BugAckBeforeCommit, BugNoDedupe, BugOffsetOutside, BugOffsetsBlind, BugGapApplied, BugStoredStatus, BugNoFence, BugClaimRaises,
		BugForgedForks, BugForeignSession,
		BugDriversClock, BugTicketOutside, BugRepeatReserves, BugKeeperDead, BugAddedUnread,
		BugTicketsUnread,
	}
}
