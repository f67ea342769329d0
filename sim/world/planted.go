package world

// Bug is a known way of misbehaving, for the tests of the checkers.
type Bug string

// The planted bugs. All but one live in the shells of this package; which
// checker sees which is proven by a test.
const (
	BugCloseBeforeSync Bug = "contactor_before_the_grants_fsync"
	BugNoSync          Bug = "journal_without_fsync"
	BugSyncErrorLost   Bug = "fsync_error_ignored"
	BugForgetAtPuback  Bug = "forget_at_puback"
	BugCommandTwice    Bug = "command_executed_again_on_redelivery"
	BugIgnoreBoot      Bug = "command_of_another_boot_obeyed"
	BugWallClock       Bug = "expiry_by_wall_clock_only"
	BugPlugFromJournal Bug = "plug_state_taken_from_the_journal"
	BugNoRewind        Bug = "position_never_goes_back"
	BugNoProbe         Bug = "no_probe"
	BugFullDiskCharges Bug = "power_while_nothing_can_be_written"
	BugAckBeforeKafka  Bug = "mqtt_ack_before_the_kafka_ack"
	BugDropWhenFull    Bug = "bridge_drops_when_full"
	BugSkipFailed      Bug = "bridge_skips_what_failed"
	BugDeadLetterStays Bug = "dead_letter_unacknowledged"
	BugAckBeforeCommit Bug = "ack_before_commit"
	BugNoDedupe        Bug = "deduplication_off"
	BugOffsetOutside   Bug = "offset_outside_the_transaction"
	BugOffsetsBlind    Bug = "replaced_log_not_noticed"
	BugGapApplied      Bug = "gap_applied"
	BugStoredStatus    Bug = "reserved_stored_as_a_word"
	BugNoFence         Bug = "older_central_goes_on"
	BugClaimRaises     Bug = "presence_raises_centrals_own_epoch"
	BugTicketOutside   Bug = "ticket_told_outside_the_transaction"
	BugForeignSession  Bug = "session_of_another_charging_point_unknown"
	BugForgedForks     Bug = "one_wrong_prev_quarantines"
	BugDriversClock    Bug = "request_judged_by_the_drivers_clock_alone"
	BugRepeatReserves  Bug = "repeated_message_id_served_again"
	BugAddedUnread     Bug = "added_partition_unread"
	BugKeeperDead      Bug = "contactor_stays_closed_when_the_agent_dies"
)

// Bugs are all planted bugs.
func Bugs() []Bug {
	return []Bug{
		BugCloseBeforeSync, BugNoSync, BugSyncErrorLost, BugForgetAtPuback, BugCommandTwice, BugIgnoreBoot, BugWallClock, BugPlugFromJournal,
		BugNoRewind, BugNoProbe, BugFullDiskCharges, BugAckBeforeKafka, BugDropWhenFull, BugSkipFailed, BugDeadLetterStays,
		BugAckBeforeCommit, BugNoDedupe, BugOffsetOutside, BugOffsetsBlind, BugGapApplied, BugStoredStatus, BugNoFence, BugClaimRaises,
		BugForgedForks, BugForeignSession,
		BugDriversClock, BugTicketOutside, BugRepeatReserves, BugKeeperDead, BugAddedUnread,
	}
}
