package ledger

import (
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/wire"
)

// CP is all that Central keeps in memory of one charging point. Point, and each
// value of the maps, is one row.
//
// Invariant: a journal is known without gap from 1 to Last, except for what a
// hole of Holes names as missing. Journals holds the few that records may still
// concern soon; the others are rows, read back through Env when one is named.
// Invariant: every session in Sessions is open or orphaned; ended ones are
// looked up through Env.
type CP struct {
	Point
	Journals          map[charge.JournalID]*Journal
	Connectors        map[charge.ConnectorID]*Connector // as the present boot says
	PendingConnectors map[charge.ConnectorID]*Connector // as the boot WaitingJournal says, which presence has not named yet
	Meters            map[charge.ConnectorID]*Meter     // across boots
	Sessions          map[charge.SessionID]*Session     // not ended
	Gaps              map[string]*Gap                   // with something missing or waited for

	// KnownRecords is the number of records known over all journals, those in holes
	// included: the sum of Last over all rows, kept as it grows.
	KnownRecords int64

	lastGrown charge.JournalID // that grew last; a hint, so that two growing ones are seen without a search
}

// Point is the row of one charging point.
type Point struct {
	ID          charge.CPID
	Admitted    bool // may be reserved and ordered; set by an operator or a setting
	Name        string
	Place       string
	Agent       string // version of the firmware
	Simulated   bool
	FirstSeenAt charge.Time // by Central's clock

	CurrentJournal   charge.JournalID // the boot whose records change the present state
	PendingJournal   charge.JournalID // registered, but not named by presence yet; "" when none
	AnnouncedJournal charge.JournalID // by the latest presence
	Conn             uint64           // of the latest presence of Named
	Online           bool             // as the latest presence of Named says; false after its last will
	PresenceAt       charge.Time      // when it was heard, by Central's clock
	First            wire.Position    // first record the agent holds; zero when unknown
	Next             wire.Position    // first record not acknowledged
	Last             wire.Position    // last record it holds
	Position         charge.Epoch     // of the Central that acknowledged what precedes Next
	// EpochLead is how far the number of the epoch with which Central speaks to this
	// charging point is above its own: see Epoch.
	EpochLead uint64
	Faults    []charge.Fault // of the charging point as a whole, in the present boot

	SilentSince charge.Time // since when it is silent while sessions are open, once that is an alarm; zero: it is none

	ForkedAt   charge.Time // zero: not quarantined
	ForkReason string      // why, in words

	BlockedSince charge.Time // since when records that do not fit the chain keep others from coming; zero: they do not
	MismatchAt   charge.Time // when the last such record came; zero once none came for a while
}

// Forked reports whether the identity is quarantined: nothing of it is applied
// or billed until an operator releases it.
func (p *Point) Forked() bool { return p.ForkedAt != 0 }

// Journal is what is known of the log of one boot.
type Journal struct {
	ID             charge.JournalID
	Registered     bool               // its record 1 is known and was understood
	LastFollowed   charge.Seq         // greatest record of it that another journal follows; 0: none does
	Last           charge.Seq         // known without gap up to and with it, holes included
	Hash           string             // of record Last; "" when it is in a hole and nobody named its hash
	After          wire.Position      // what record 1 follows; zero for a root, or when record 1 is not known
	Root           bool               // record 1 is known and follows nothing
	Reported       []charge.SessionID // sessions that record 1 said are still open
	Conn           uint64             // greatest connection heard of
	OpenedAt       charge.Time        // when its first record was applied, by Central's clock
	FirstWrittenAt charge.Time        // `at` of its first record applied, by the agent's clock
	Clock          charge.ClockQuality
	GrownAt        charge.Time // when its last new record was applied, by Central's clock
}

// Connector is one connector in one boot, as the records say.
type Connector struct {
	Journal   charge.JournalID // the boot that says so
	ID        charge.ConnectorID
	Rated     charge.Watts
	Plugged   bool
	Available bool             // as last ordered and accepted
	Reported  charge.Status    // the word of the last connector_status_changed or cp_registered
	Faults    []charge.Fault   // raised and not cleared
	Session   charge.SessionID // open here; "" when none
	Phase     charge.Status    // charging, suspended_ev or suspended_evse while Session is open
	Finishing bool             // a session ended and the vehicle is still plugged in
	Held      Held             // reservation the charging point holds; zero when none
	Register  charge.WattHours // last known
	IdleSince charge.Time      // by Central's clock: since then nobody used or reserved it
}

// Held is a reservation that the charging point says it holds.
type Held struct {
	ID       charge.ReservationID
	Username charge.Username
	Until    charge.Time
	Tariff   charge.TariffVersion
}

// Meter is the account of one connector's register across boots. A register
// that falls, or rises by more than can have flowed since it was last read,
// begins a new span of registers; within a span the register only rises.
//
// Invariant: Unaccounted + Billed + Running = Last − First summed over the spans.
// Invariant: Last − First is not more than could flow between the readings.
type Meter struct {
	Connector charge.ConnectorID
	Known     bool             // a register was read at all
	First     charge.WattHours // lowest register of the present span; below 0 if it began anew at its end
	Last      charge.WattHours // highest register of the present span
	FirstAt   charge.Time      // when First was read, by the charging point's clock; zero: it had none
	LastRead  ReadAt           // when Last was read, for the last time
	Previous  PreviousSpan     // the span that this one replaced
	Carried   charge.WattHours // Last − First of earlier spans
	Billed    charge.WattHours // on tickets
	Running   charge.WattHours // of sessions that are open, up to their last register
}

// ReadAt is when a register was read, by the clocks of the charging point.
type ReadAt struct {
	At       charge.Time      // zero: its clock was not set
	Journal  charge.JournalID // the boot whose uptime counts; "": not known
	UptimeMS int64
}

// PreviousSpan is an earlier span of a meter's registers. A meter that showed
// something else for a while goes on from it.
type PreviousSpan struct {
	Known    bool
	Last     charge.WattHours // its highest register
	LastRead ReadAt
	Counted  charge.WattHours // what Meter.Carried holds of it
}

// Unaccounted is the energy that went through the meter and is on no ticket and
// in no running session: shown, never billed. Below zero the tickets overlap,
// which raises an alarm.
func (m *Meter) Unaccounted() charge.WattHours {
	return m.Carried + m.Last - m.First - m.Billed - m.Running
}

// SessionState is where a session stands.
type SessionState string

// The states of a session.
const (
	SessionOpen     SessionState = "open"
	SessionOrphaned SessionState = "orphaned" // open, but the present boot does not know it
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
	Tariff        charge.TariffVersion // as the grant names it; "" when it names none
	By            wire.Grant
	Start         charge.WattHours // register at the grant
	StartKnown    bool             // false while only later records are known
	Register      charge.WattHours // last known; at the end the stop register
	Started       bool             // the contactor closed
	AuthorizedAt  charge.Time      // by the charging point's clock; zero when not known
	StartedAt     charge.Time      // by the charging point's clock; zero before
	EndedAt       charge.Time      // by the charging point's clock; zero before
	FirstSeenAt   charge.Time      // when Central first heard of it, by Central's clock; not accounted by
	Reason        charge.StopReason
	Settled       bool   // ended by an operator; what its records say later makes a correction ticket
	Spans         []Span // one for each journal with records of it, in the order of their first hearing
}

// Energy is what the session used so far.
func (s *Session) Energy() charge.WattHours {
	if !s.StartKnown || s.Register < s.Start {
		return 0
	}
	return s.Register - s.Start
}

// Span is the part of a session that lies in one journal, by its uptime.
type Span struct {
	Journal charge.JournalID
	FirstMS int64
	LastMS  int64
}

// Tariff is one immutable version of the prices.
type Tariff struct {
	Version  charge.TariffVersion
	StartFee money.Price // due once if charging started
	PerKWh   money.Price
	Currency money.Currency
}

// Ticket is the priced, immutable session.
type Ticket struct {
	ID            string // "t." and the session's id; of a correction with ".1" behind it
	SessionID     charge.SessionID
	CPID          charge.CPID
	Connector     charge.ConnectorID
	Username      charge.Username
	ReservationID charge.ReservationID
	Tariff        charge.TariffVersion // that priced it
	Start         charge.WattHours
	Stop          charge.WattHours
	Energy        charge.WattHours
	Cost          money.Amount
	DurationSec   int64
	Started       bool
	AuthorizedAt  charge.Time
	EndedAt       charge.Time
	Reason        charge.StopReason
	SettledAt     charge.Time // when an operator settled the session, by Central's clock; zero: its records ended it
	Corrects      string      // id of the ticket that this one corrects; "" for the ticket of the session
}

// GapCause says why records are missing.
type GapCause string

// The causes of a hole.
const (
	GapForgotten  GapCause = "forgotten"   // the agent does not hold them any more
	GapDamaged    GapCause = "damaged"     // its storage could not be read
	GapDeadLetter GapCause = "dead_letter" // could not be used; passed by an operator
)

// Gap is a range of records that Central passed without knowing them.
type Gap struct {
	ID         string // charging point "." journal "." first; of older versions without the first part
	CPID       charge.CPID
	Journal    charge.JournalID
	First      charge.Seq
	Last       charge.Seq // 0: not known, to the end of that journal
	Cause      GapCause
	Detail     string
	DetectedAt charge.Time
	Missing    []Range          // what did not turn up later; empty: filled
	Energy     charge.WattHours // register after the hole − register before it, over all connectors; what no ticket has of it is unaccounted
	Unmeasured []GapRegister    // connectors whose first register after the hole is not known yet
}

// Range is records First … Last; Last 0: to the end of the journal.
type Range struct {
	First charge.Seq
	Last  charge.Seq
}

// GapRegister is the last register of a connector before a hole.
type GapRegister struct {
	Connector charge.ConnectorID
	Before    charge.WattHours
}

// AlarmKind says what an operator should look at.
type AlarmKind string

// The kinds of alarms of the ledger.
const (
	AlarmGap         AlarmKind = "hole"
	AlarmRolledBack  AlarmKind = "storage_rolled_back" // two continuations of one record
	AlarmReplaced    AlarmKind = "storage_replaced"    // two roots
	AlarmFork        AlarmKind = "identity_fork"
	AlarmMismatch    AlarmKind = "record_mismatch" // a record that does not fit the chain was dropped
	AlarmOrphaned    AlarmKind = "session_orphaned"
	AlarmMeterBack   AlarmKind = "meter_set_back"
	AlarmMeterJumped AlarmKind = "meter_jumped" // the register rose by more than can have flowed
	AlarmOverlap     AlarmKind = "sessions_overlap"
	AlarmTicket      AlarmKind = "ticket_differs" // a late record would have changed a ticket
	AlarmAnomaly     AlarmKind = "anomaly_seen"   // the charging point says so itself
	AlarmUnusable    AlarmKind = "record_unusable"
	AlarmEpoch       AlarmKind = "epoch_at_its_end"   // the charging point obeys an epoch that cannot be exceeded
	AlarmUnaccounted AlarmKind = "energy_unaccounted" // energy went through a meter outside of sessions
	AlarmSilent      AlarmKind = "silent_session"     // not heard for too long while a session is open
)

// Alarm is something an operator should look at. The same ID again is the same
// alarm; Cleared takes it back.
type Alarm struct {
	ID        string
	Kind      AlarmKind
	CPID      charge.CPID
	Connector charge.ConnectorID
	At        charge.Time // by Central's clock
	Detail    string
	Cleared   bool
}

// Change is one thing that Apply, Heard or an operator changed: one row to
// insert or replace by its key. Values are copies.
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

// ConnectorChanged replaces the row (cp, journal, connector). Those of the
// present boot load into CP.Connectors, those of WaitingJournal into CP.Waiting.
type ConnectorChanged struct {
	CPID      charge.CPID
	Connector Connector
}

// BootDeleted deletes the connector rows of a boot that is over.
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

// TicketMade inserts a ticket; a second one of the same ID is a fault. A session
// has one ticket, and at most one more that corrects it.
type TicketMade struct{ Ticket Ticket }

// GapChanged replaces the row of a hole.
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
func (GapChanged) change()       {}
func (AlarmRaised) change()      {}

// Env is what Apply needs and does not keep. The functions read the database as
// it will be when the changes so far are in; nil functions know nothing.
type Env struct {
	Now      charge.Time  // Central's clock
	Central  charge.Epoch // of this Central
	Active   bool         // this Central answers charging points: it is active
	Default  Tariff       // prices when a session names no version, or an unknown one
	AdmitNew bool         // a charging point that is heard for the first time is admitted

	// Journal finds the row of a journal of this charging point. Where it is nil
	// all journals stay in memory; otherwise at most 2 × KeepJournals, and those
	// that each record or presence needs.
	Journal      func(charge.JournalID) (Journal, bool)
	KeepJournals int
	// JournalEnding finds the journal of this charging point whose record Last has
	// the hash. It is asked only for a record 1 that cannot be read.
	JournalEnding func(hash string) (charge.JournalID, bool)
	// Session finds one session by id, ended ones too.
	Session func(charge.SessionID) (Session, bool)
	// Ticket finds one ticket by its id. It is asked for settled sessions only.
	Ticket func(id string) (Ticket, bool)
	// HashOf is the hash of one record of this charging point that is still held,
	// PrevOf what it names as the hash of the record before it.
	HashOf, PrevOf func(charge.JournalID, charge.Seq) (string, bool)
	// Billed finds a session of this charging point whose ticket holds energy
	// between two registers of a connector.
	Billed func(id charge.ConnectorID, from, to charge.WattHours) (charge.SessionID, bool)
	// Tariff finds one version of the prices.
	Tariff func(charge.TariffVersion) (Tariff, bool)
}

// Input is one record as delivered.
type Input struct {
	Raw    []byte      // the bytes as journalled; the hash is taken over them
	Record wire.Record // the same, decoded
}

// Verdict is what became of a record.
type Verdict string

// The verdicts.
const (
	Applied    Verdict = "applied"
	Duplicate  Verdict = "duplicate"  // known already: no effect
	OutOfOrder Verdict = "gap"        // what it follows is not known: dropped, the agent says it again
	Mismatched Verdict = "mismatched" // its bytes do not fit the chain: dropped, shown
	Forked     Verdict = "forked"     // the identity is quarantined: dropped, kept for the operator as raw bytes
)

// Outcome is what became of a record, and how it was understood.
type Outcome struct {
	Verdict  Verdict
	Hash     string        // of the record's bytes
	Payload  wire.Payload  // nil: unknown type, unusable, or not applied
	Command  *wire.Command // with command_accepted: the command it repeats
	Unusable error         // what the record tells could not be used: applied as opaque, counted
	Current  bool          // it changed the present state
	Late     bool          // it filled a hole, or came from a boot that is over
	NewBoot  bool          // with it, the present journal became another
}
