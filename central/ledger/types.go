package ledger

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// CP is all that Central keeps in memory of one charging point. Point, and each
// value of the maps, is one database row.
//
// Invariant: every record of a journal from 1 to Last is known or is in the
// Missing ranges of one of Gaps.
// Invariant: every session in Sessions is open or orphaned; ended ones are
// looked up through Env.
//
// Journals holds only the journals that the next records are likely to name. The
// others are rows; Env.Journal reads one back when a record names it.
type CP struct {
	Point
	Journals          map[charge.JournalID]*Journal
	Connectors        map[charge.ConnectorID]*Connector // in the current boot
	PendingConnectors map[charge.ConnectorID]*Connector // in the pending boot
	Meters            map[charge.ConnectorID]*Meter     // across boots
	Sessions          map[charge.SessionID]*Session     // not ended
	Gaps              map[string]*Gap                   // with something missing or unmeasured

	// KnownRecords counts the records up to Last over all journals, in memory or
	// not, those in gaps included. It is kept as a sum because the rows are too
	// many to add up.
	KnownRecords int64

	lastGrown charge.JournalID // the last to get a new record; provesFork compares with it instead of searching
	farClaim  farClaim         // an epoch that presences name and Central does not believe yet; zero: none
}

// Point is the row of one charging point.
type Point struct {
	ID          charge.CPID
	Admitted    bool // may be reserved and commanded; set by an operator or a setting
	Name        string
	Place       string
	Agent       string // version of the firmware
	Simulated   bool
	FirstSeenAt charge.Time // by Central's clock

	CurrentJournal   charge.JournalID // of the current boot, whose records change Connectors
	PendingJournal   charge.JournalID // of the pending boot: registered, but not named by presence yet; "": none
	AnnouncedJournal charge.JournalID // named by the latest presence
	NewestJournal    charge.JournalID // of the newest boot by the records: the accounts follow it, whatever presences name
	Conn             uint64           // connection number of the latest presence; the agent increases it with each connection of a boot
	Online           bool             // in the latest presence; false after the agent's last will
	PresenceAt       charge.Time      // when the latest presence arrived, by Central's clock
	First            wire.Position    // first record the agent holds; zero when unknown
	Next             wire.Position    // first record not acknowledged
	Last             wire.Position    // last record it holds
	Position         charge.Epoch     // of the Central that acknowledged what precedes Next
	// EpochLead is added to the number of Central's epoch in messages to this
	// charging point: see Epoch.
	EpochLead uint64
	Faults    []charge.Fault // of the charging point as a whole, in the current boot

	SilentSince charge.Time // start of the silence for which the alarm silent_session is open; zero: no such alarm

	ForkedAt charge.Time   // when the identity was quarantined; zero: it is not
	Fork     reason.Reason // what proved it

	BlockedSince charge.Time // since when all records of a series did not fit the chain; zero: records are applied
	MismatchAt   charge.Time // when the last record arrived that did not fit; zero once none has for forkAfter
}

// Forked reports whether the identity is quarantined because two devices use it.
// Nothing is applied or billed until an operator releases it.
func (p *Point) Forked() bool { return p.ForkedAt != 0 }

// Journal is what is known of the journal of one boot.
type Journal struct {
	ID             charge.JournalID
	Registered     bool                // its record 1 is known and was decoded
	LastFollowed   charge.Seq          // greatest record that another journal follows; 0: none does
	Last           charge.Seq          // position: every record up to and including it is known or in a gap
	Hash           string              // of record Last; "" when it is in a gap and no record names its hash
	After          wire.Position       // the record that record 1 follows; zero for a root, or when record 1 is not known
	Root           bool                // record 1 is known and follows nothing
	Reported       []charge.SessionID  // sessions that record 1 reports as open
	Conn           uint64              // greatest connection number in a presence
	OpenedAt       charge.Time         // when its first record was applied, by Central's clock
	FirstWrittenAt charge.Time         // `at` of its first record applied, by the agent's clock
	Clock          charge.ClockQuality // of that moment; unset if it was far ahead of the reception
	GrownAt        charge.Time         // when its last new record was applied, by Central's clock
	Boot           BootTime            // when the boot began, by the clock of the charging point
}

// Connector is one connector in one boot, as its records report it.
type Connector struct {
	Journal   charge.JournalID // of the boot
	ID        charge.ConnectorID
	Rated     charge.Watts
	Most      charge.MilliAmps // that it can ever have, per phase; 0: not reported
	Safe      charge.MilliAmps // without a SET_LIMIT; 0: it belongs to no group
	Plugged   bool
	Available bool             // as last commanded and accepted
	Reported  charge.Status    // in the last connector_status_changed or cp_registered
	Faults    []charge.Fault   // present ones
	Session   charge.SessionID // open here; "" when none
	Phase     charge.Status    // charging, suspended_ev or suspended_evse while Session is open
	Finishing bool             // a session ended and the vehicle is still plugged in
	Held      Held             // reservation the charging point holds; zero when none
	Register  charge.WattHours // last known
	IdleSince charge.Time      // since when it is neither used nor reserved, by Central's clock
}

// Held is a reservation that the charging point reports it holds.
type Held struct {
	ID       charge.ReservationID
	Username charge.Username
	Until    charge.Time
	Tariff   charge.TariffVersion
}

// Meter is the account of one connector's register across boots. Within a span
// of readings the register only rises. A new span begins when the register falls,
// or rises by more than can have flowed since it was last read: the meter was
// replaced, set back, or failed.
//
// Invariant: Unaccounted + Billed + Running = Last − First, summed over all spans.
// Invariant: Last − First is at most the energy that can flow between the readings.
type Meter struct {
	Connector charge.ConnectorID
	Known     bool             // a register was read
	First     charge.WattHours // lowest register of the span; below 0 if the register rolled over to 0 in it
	Last      charge.WattHours // highest register of the span
	FirstAt   charge.Time      // when First was read, by the charging point's clock; zero: its clock was not set
	LastRead  ReadAt           // latest reading of Last
	Previous  PreviousSpan     // the span before this one
	Carried   charge.WattHours // Last − First of earlier spans
	Billed    charge.WattHours // on tickets
	Running   charge.WattHours // of open sessions, up to their last register

	// What the newest boot reports. Presences do not change it: the accounts follow
	// from the records alone.
	Rated    charge.Watts     // power of the connector; 0: not reported
	Register charge.WattHours // latest register that is not late
	Boot     charge.JournalID // which Register continues in; "": the next register need not continue it
	Session  charge.SessionID // open at the connector; "" when none
}

// ReadAt is when a register was read, by the charging point's wall clock and by
// its monotonic clock.
type ReadAt struct {
	At       charge.Time      // zero: its clock was not set
	Journal  charge.JournalID // of the boot that UptimeMS belongs to; "": not known
	UptimeMS int64            // since the start of that boot
}

// PreviousSpan is the span of registers before the one of Meter. It is kept
// because a meter that showed wrong values for a while continues from it.
type PreviousSpan struct {
	Known    bool
	Last     charge.WattHours // its highest register
	LastRead ReadAt
	Counted  charge.WattHours // the part of Meter.Carried that it contributed
}

// Unaccounted is the energy that went through the meter and is neither on a
// ticket nor in a running session. It is shown, never billed. Below zero,
// tickets overlap, which raises an alarm.
func (m *Meter) Unaccounted() charge.WattHours {
	return m.Carried + m.Last - m.First - m.Billed - m.Running
}

// SessionState is a stage in the life of a session.
type SessionState string

// The states of a session.
const (
	SessionOpen     SessionState = "open"
	SessionOrphaned SessionState = "orphaned" // open, but the newest boot does not know it
	SessionEnded    SessionState = "ended"    // has its ticket
)

// Session is the accounted record of one charge, from the grant to the stop.
type Session struct {
	ID            charge.SessionID
	CPID          charge.CPID
	Connector     charge.ConnectorID
	State         SessionState
	Username      charge.Username
	ReservationID charge.ReservationID
	Tariff        charge.TariffVersion // named by the grant; "" when it names none
	By            wire.Grant
	Start         charge.WattHours // register at the grant
	StartKnown    bool             // false while only records after the grant are known
	Register      charge.WattHours // last known one; once ended, that of the stop
	Started       bool             // the contactor closed
	AuthorizedAt  charge.Time      // by the charging point's clock; zero when not known
	StartedAt     charge.Time      // by the charging point's clock; zero before
	EndedAt       charge.Time      // by the charging point's clock; zero before
	FirstSeenAt   charge.Time      // when its first record arrived, by Central's clock; no part of the ticket
	Reason        charge.StopReason
	Limit         charge.SessionLimit // as the grant names it
	Card          charge.TokenHash    // that began it; "": no card, or not known
	Settled       bool                // ended by an operator; its later records lead to a correction ticket
	Spans         []Span              // one for each journal with records of it, in the order of arrival
}

// Energy is what the session used so far; 0 while its start is not known.
func (s *Session) Energy() charge.WattHours {
	if !s.StartKnown || s.Register < s.Start {
		return 0
	}
	return s.Register - s.Start
}

// Span is the part of a session that lies in one journal: the uptimes of the
// first and the last of its records there. Its JSON is stored.
type Span struct {
	Journal charge.JournalID
	FirstMS int64
	LastMS  int64
	// Uptimes of the last pause by the vehicle, of the last record that shows that
	// it did not pause, and of the stop. 0: none is known.
	PausedMS int64 `json:",omitzero"`
	ActiveMS int64 `json:",omitzero"`
	StopMS   int64 `json:",omitzero"`
	// Uptimes of the grant and of the start of charging, and the worst quality of the
	// clock at these and at the stop, if it was not synchronised: see CorrectTimes.
	GrantMS int64               `json:",omitzero"`
	StartMS int64               `json:",omitzero"`
	Clock   charge.ClockQuality `json:",omitzero"`
}

// Ticket is the priced, immutable result of a session, or the correction of one.
type Ticket struct {
	ID            string // TicketID, or CorrectionID for a correction
	SessionID     charge.SessionID
	CPID          charge.CPID
	Connector     charge.ConnectorID
	Username      charge.Username
	ReservationID charge.ReservationID
	Tariff        charge.TariffVersion // version that priced it
	Start         charge.WattHours
	Stop          charge.WattHours
	Energy        charge.WattHours
	Cost          money.Amount
	DurationSec   int64
	IdleSec       int64 // of DurationSec; 0 if the tariff has no price for it
	Started       bool
	AuthorizedAt  charge.Time
	EndedAt       charge.Time
	Reason        charge.StopReason
	SettledAt     charge.Time   // when an operator settled the session, by Central's clock; zero: charging_stopped ended it
	SettledAfter  wire.Position // the record applied last when it was settled; zero: not known, or not settled
	Corrects      string        // id of the ticket that this one corrects; "" for the ticket of the session
	// Adopted: an earlier run of Central published it with another bill than the
	// records known here have; see Env.Published. Registers and times are of these; if
	// the register of the start is not known here, Start and Stop are the last one.
	Adopted bool
}

// GapCause is the reason why records are missing.
type GapCause string

// The causes of a gap.
const (
	GapForgotten  GapCause = "forgotten"   // the agent no longer has them
	GapDamaged    GapCause = "damaged"     // the agent cannot read them from its storage
	GapDeadLetter GapCause = "dead_letter" // Central could not decode the message; passed by an operator
)

// Gap is a range of records that Central passed without knowing them.
type Gap struct {
	ID         string // charging point "." journal "." first; in rows of older versions without the first part
	CPID       charge.CPID
	Journal    charge.JournalID
	First      charge.Seq
	Last       charge.Seq // 0: to the end of the journal, which is not known
	Cause      GapCause
	Detail     string        // Why in English, with the notes of operators
	Why        reason.Reason // zero in rows of older versions
	DetectedAt charge.Time
	Missing    []Range          // what has not turned up since; empty: filled
	Energy     charge.WattHours // register after the gap − register before it, over all connectors; the part on no ticket is unaccounted
	Unmeasured []GapRegister    // connectors whose first register after the gap is not known yet
}

// Range is the records First … Last of a journal. Last 0 means to the end of the
// journal; First 0 as well means a journal of which nothing is known. Its JSON is
// stored.
type Range struct {
	First charge.Seq
	Last  charge.Seq
}

// GapRegister is the last register of a connector before a gap. Its JSON is
// stored.
type GapRegister struct {
	Connector charge.ConnectorID
	Before    charge.WattHours
}

// AlarmKind names what an operator should look at.
type AlarmKind string

// The kinds of alarms of the ledger.
const (
	AlarmGap         AlarmKind = "gap"
	AlarmRolledBack  AlarmKind = "storage_rolled_back" // two continuations of one record
	AlarmReplaced    AlarmKind = "storage_replaced"    // two roots
	AlarmFork        AlarmKind = "identity_fork"
	AlarmMismatch    AlarmKind = "record_mismatch" // a record that does not fit the chain was dropped
	AlarmOrphaned    AlarmKind = "session_orphaned"
	AlarmMeterBack   AlarmKind = "meter_set_back"
	AlarmMeterJumped AlarmKind = "meter_jumped" // the register rose by more than can have flowed
	AlarmOverlap     AlarmKind = "sessions_overlap"
	AlarmTicket      AlarmKind = "ticket_differs" // a late record would have changed a ticket
	AlarmAnomaly     AlarmKind = "anomaly_seen"   // reported by the charging point
	AlarmUnusable    AlarmKind = "record_unusable"
	AlarmEpoch       AlarmKind = "epoch_at_its_end"   // presences name an epoch that Central cannot exceed
	AlarmUnaccounted AlarmKind = "energy_unaccounted" // energy went through a meter outside of sessions
	AlarmSilent      AlarmKind = "silent_session"     // silent for too long while a session is open
)

// AlarmKinds returns the kinds of alarms of the ledger.
func AlarmKinds() []AlarmKind {
	return []AlarmKind{
		AlarmGap, AlarmRolledBack, AlarmReplaced, AlarmFork, AlarmMismatch, AlarmOrphaned, AlarmMeterBack, AlarmMeterJumped,
		AlarmOverlap, AlarmTicket, AlarmAnomaly, AlarmUnusable, AlarmEpoch, AlarmUnaccounted, AlarmSilent,
	}
}

// Alarm is something an operator should look at. Raising one with a known ID
// replaces it; Cleared withdraws it.
type Alarm struct {
	ID        string
	Kind      AlarmKind
	CPID      charge.CPID
	Connector charge.ConnectorID
	At        charge.Time   // by Central's clock
	Detail    string        // Why in English, with the notes of operators
	Why       reason.Reason // zero in rows of older versions
	Cleared   bool
}

// Change is one row to insert, replace by its key, or delete. Values are copies.
// The changes of one call are to be written in one transaction, in their order.
//
//sumtype:decl
type Change interface{ change() }

// PointChanged replaces the row of a charging point.
type PointChanged struct{ Point Point }

// JournalChanged replaces the row (cp, journal).
type JournalChanged struct {
	CPID    charge.CPID
	Journal Journal
}

// ConnectorChanged replaces the row (cp, journal, connector). Rows of the current
// boot load into CP.Connectors, those of the pending one into
// CP.PendingConnectors.
type ConnectorChanged struct {
	CPID      charge.CPID
	Connector Connector
}

// BootDeleted deletes the connector rows of a boot that ended.
type BootDeleted struct {
	CPID    charge.CPID
	Journal charge.JournalID
}

// MeterChanged replaces the row (cp, connector) of the account.
type MeterChanged struct {
	CPID  charge.CPID
	Meter Meter
}

// SessionChanged replaces the row of a session.
type SessionChanged struct{ Session Session }

// TicketMade inserts a ticket; a second one with the same ID is an error. A
// session has one ticket, and at most one more that corrects it.
type TicketMade struct {
	Ticket    Ticket
	Published bool // an earlier run published it; the row of TicketPublished is deleted
}

// TicketPublished replaces the row of a published ticket that the database lacks.
type TicketPublished struct{ Ticket Ticket }

// GapChanged replaces the row of a gap.
type GapChanged struct{ Gap Gap }

// AlarmRaised replaces the row of an alarm.
type AlarmRaised struct{ Alarm Alarm }

func (PointChanged) change()     {}
func (JournalChanged) change()   {}
func (ConnectorChanged) change() {}
func (BootDeleted) change()      {}
func (MeterChanged) change()     {}
func (SessionChanged) change()   {}
func (TicketMade) change()       {}
func (TicketPublished) change()  {}
func (GapChanged) change()       {}
func (AlarmRaised) change()      {}

// Env is what Apply reads and does not keep: the time, the settings, and the
// database. The functions must see the changes that earlier calls of the same
// transaction returned. A nil function finds nothing.
type Env struct {
	Now      charge.Time  // Central's clock
	Central  charge.Epoch // of this Central
	Active   bool         // this Central acknowledges and commands charging points; a standby does not
	Default  Tariff       // prices a session that names no known version, if none was valid at its grant
	AdmitNew bool         // admit a charging point at its first message

	// Journal finds the row of a journal of this charging point. If it is nil, all
	// journals stay in memory; otherwise at most 2 × KeepJournals do, and those
	// that every record or presence needs.
	Journal      func(charge.JournalID) (Journal, bool)
	KeepJournals int
	// JournalEnding finds the journal of this charging point whose record Last has
	// the hash. It is called only for a record 1 that cannot be decoded.
	JournalEnding func(hash string) (charge.JournalID, bool)
	// Session finds a session by id, ended ones too.
	Session func(charge.SessionID) (Session, bool)
	// Ticket finds a ticket by id. It is called for settled sessions and for published
	// tickets only.
	Ticket func(id string) (Ticket, bool)
	// Published finds a published ticket that this database lacks, by id: an earlier
	// run of Central made it, and the database was restored from a backup of before. It
	// is known by then, since what is published is read before any record. The session
	// ends with this ticket, whatever its records state now.
	Published func(id string) (Ticket, bool)
	// HashOf finds the hash of a record of this charging point that is still
	// stored, PrevOf the hash that it names for the record before it.
	HashOf, PrevOf func(charge.JournalID, charge.Seq) (string, bool)
	// Billed finds a session of this charging point with a ticket over energy
	// between two registers of a connector.
	Billed func(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool)
	// Tariff finds one version of the prices, TariffAt the one that was valid at a
	// moment.
	Tariff   func(charge.TariffVersion) (Tariff, bool)
	TariffAt func(charge.Time) (Tariff, bool)
	// LogRead reports whether every record has been applied that was in any
	// partition of the log when the latest presence of this charging point was
	// received. An agent deletes a record only after a Central acknowledged it, so
	// it is in the log by then; but a record that is read first may lie in another
	// partition than those before it, if the topic got partitions. nil: always.
	LogRead func() bool
}

// Input is one record as delivered.
type Input struct {
	Raw    []byte      // the bytes as journalled; the hash is taken over them
	Record wire.Record // the same, decoded
	// ReceivedAt is when the bridge received the message, by its clock; 0 if unknown.
	// Copies of one message that a bridge retried have the same one.
	ReceivedAt charge.Time
}

// Verdict is how Apply classified a record.
type Verdict string

// The verdicts.
const (
	Applied    Verdict = "applied"      // next in its journal, or filled a gap
	Duplicate  Verdict = "duplicate"    // known already: no effect
	OutOfOrder Verdict = "out_of_order" // what it follows is not known: dropped, the agent sends it again
	Mismatched Verdict = "mismatched"   // its bytes do not fit the chain: dropped, alarm
	Forked     Verdict = "forked"       // the identity is quarantined: dropped; the raw bytes are kept for an operator
)

// Outcome is the result for one record or presence.
type Outcome struct {
	Verdict  Verdict
	Hash     string        // of the record's bytes
	Payload  wire.Payload  // nil: unknown type, not decodable, or not applied
	Command  *wire.Command // of command_accepted: the command that the record quotes
	Unusable error         // why its content could not be used; the record is applied without effect and counted
	Current  bool          // it belongs to the current boot and changed its state
	Late     bool          // it filled a gap, or belongs to a boot that ended
	NewBoot  bool          // it made another boot the current one
	// AwaitsLog: out of order only until the log has been read, see Env.LogRead.
	AwaitsLog bool
}
