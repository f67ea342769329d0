package orders

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Config holds the settings. The zero value of a field means its default.
type Config struct {
	ReservationLife time.Duration        // default 15 min
	PerDriver       int                  // active reservations of one driver, default 1
	ConfirmTimeout  time.Duration        // for a charging point to confirm a RESERVE before the next is tried, default 1.5 s
	MaxTried        int                  // connectors tried for one request, default 3
	StartTimeout    time.Duration        // for the plug, after a START without a reservation, default 2 min
	Tariff          charge.TariffVersion // named in RESERVE and START; "" names none
	Drivers         []charge.Username    // drivers that are served; nil: all
}

// Target names one connector, or with Connector 0 a whole charging point.
type Target struct {
	CPID      charge.CPID
	Connector charge.ConnectorID
}

// Reservation keeps a connector for a driver. It is active while EndedAt is zero
// and the moment is before Until; "reserved" is computed and never stored.
//
// A reservation ends for Central at once, but its charging point may still hold
// it: until Released it stays in memory, and reconcile cancels it there.
//
// Invariant: at most one is active per connector.
type Reservation struct {
	ID          charge.ReservationID
	CPID        charge.CPID
	Connector   charge.ConnectorID
	Username    charge.Username
	Tariff      charge.TariffVersion
	MadeAt      charge.Time
	Until       charge.Time
	ConfirmedAt charge.Time      // when the charging point confirmed that it holds it; zero: not confirmed
	EndedAt     charge.Time      // zero: not ended
	Reason      string           // why it ended: a charge.ReservationEnd, EndUsed, or the refusal of the charging point
	SessionID   charge.SessionID // of the session that used it
	Adopted     bool             // reported by the charging point; not made by this Central, or lost with its database
	Released    bool             // ended, and the charging point is known not to hold it
	Announced   bool             // its driver was informed of it, so its end is published
	MessageID   string           // of the driver's request it was made for; "" for an operator's
}

// Active reports whether the reservation keeps its connector at the moment now.
func (r *Reservation) Active(now charge.Time) bool { return r.EndedAt == 0 && now < r.Until }

// Why Central ends a command: Command.Reason, beside those that charging points give.
const (
	EndReboot       = "reboot"                     // the boot that it was for is over
	EndUnwanted     = "unwanted"                   // nothing asks for it any more
	EndSettled      = "settled"                    // an operator settled its session
	EndClockSetBack = "clock_set_back"             // of Central: the command could not be encoded any more
	EndNoResult     = "no_result"                  // its time passed
	EndUnfinished   = "no_result_after_acceptance" // the same, and it was accepted
)

// EndUsed is the Reason of a reservation that a session used.
const EndUsed = "used"

// DesiredKind is the kind of a desired state.
type DesiredKind string

// The kinds of desired state; for reservations the Reservation itself is it.
const (
	DesiredStart        DesiredKind = "start"        // of session SessionID
	DesiredStop         DesiredKind = "stop"         // of session SessionID
	DesiredAvailability DesiredKind = "availability" // of a connector, of all of a charging point (0), or of the network (CPID "")
)

// Desired is one item of the desired state: a session to start or to stop, or the
// availability of connectors. Commands are issued for it until the records report
// it, or until it ends. Its key is (Kind, CPID, Connector, SessionID).
type Desired struct {
	Kind          DesiredKind
	CPID          charge.CPID
	Connector     charge.ConnectorID
	SessionID     charge.SessionID
	Username      charge.Username
	ReservationID charge.ReservationID
	Tariff        charge.TariffVersion
	Available     bool
	Limit         charge.SessionLimit // of a session to start
	RequestedAt   charge.Time
	Until         charge.Time // zero: no limit
	EndedAt       charge.Time // zero: still desired
	Outcome       string      // how it ended: "done", or a reason
}

// LocalList is the list of cards that one boot of a charging point holds. If Journal
// is not that of the current boot, it is not known.
type LocalList struct {
	CPID    charge.CPID
	Journal charge.JournalID
	Kept    bool // false: this boot keeps no list
	Limits  bool // it keeps the limits of cards: wire.CapabilityCardLimits
	State   wire.ListState
}

// CommandState is a stage in the life of a command.
type CommandState string

// The life of a command: written → sent → accepted → done, or an end before that.
const (
	Written    CommandState = "written"    // in the database; Kafka has not acknowledged it
	Sent       CommandState = "sent"       // Kafka acknowledged it
	Accepted   CommandState = "accepted"   // a record of the charging point accepts it
	Rejected   CommandState = "rejected"   // a record of the charging point refuses it
	Superseded CommandState = "superseded" // by a later command, or its boot ended
	Expired    CommandState = "expired"    // without a result in its time
	Done       CommandState = "done"
	Failed     CommandState = "failed"
)

// Open reports whether the command may still have an effect or a result.
func (s CommandState) Open() bool { return s == Written || s == Sent || s == Accepted }

// Command is a command to one boot of one charging point, and its life.
//
// Invariant: it is sent only before ExpiresAt, which never moves.
type Command struct {
	ID            charge.CommandID
	N             uint64           // increases per connector within a run; the agent executes none twice
	Central       charge.Epoch     // the epoch in the message: ledger.Point.Epoch when it was issued
	Journal       charge.JournalID // of the boot it is for; another boot ignores it
	CPID          charge.CPID
	Connector     charge.ConnectorID
	Type          wire.CommandType
	Data          json.RawMessage
	ReservationID charge.ReservationID // that it concerns; "": none
	SessionID     charge.SessionID     // that it concerns; "": none
	IssuedAt      charge.Time
	ExpiresAt     charge.Time
	State         CommandState
	Reason        string      // of its end; "" while open and when done
	ChangedAt     charge.Time // when State changed last
	SendCount     int
	NextSendAt    charge.Time // when it is sent next; zero: not again
	MessageID     string      // of AUTHORIZE: the request; of SIMULATE: the event_id of the answer to the driver, or an id of the operator's request
}

// Message returns the command as it is sent at the moment now. SentAt is never
// before IssuedAt, so a clock that was set back does not lengthen its life.
func (c *Command) Message(now charge.Time) wire.Command {
	return wire.Command{
		V: wire.Version, ID: c.ID, N: c.N, Central: c.Central, Journal: c.Journal, CPID: c.CPID, Connector: c.Connector,
		Type: c.Type, IssuedAt: c.IssuedAt, SentAt: max(now, c.IssuedAt), ExpiresAt: c.ExpiresAt, Data: c.Data,
	}
}

// RequestKey names a request. The driver is part of it, because two drivers may
// choose the same message_id.
type RequestKey struct {
	Username  charge.Username
	MessageID string
}

// Request is one request of a driver. It is pending while Answer is nil. An
// answered one is kept in the database as long as Kafka keeps the topic, so that
// a repeated message gets the same answer and has no second effect.
type Request struct {
	MessageID string
	EventType wire.DriverEventType
	Username  charge.Username
	ClientID  string
	CPID      charge.CPID // "": any
	ReadAt    charge.Time
	AnswerBy  charge.Time
	Tried     []Target // in order; the last one has not confirmed yet
	// TriedAt is when the last of Tried got its RESERVE; if none did, when a connector
	// was last looked for. Zero: see sharesReservation.
	TriedAt       charge.Time
	ReservationID charge.ReservationID // that it waits for
	Answer        *wire.CentralEvent   // nil: pending, or Ignored
	Ignored       bool                 // recorded without an answer, because it was too old
}

// Key names the request.
func (q *Request) Key() RequestKey { return RequestKey{q.Username, q.MessageID} }

// Finished reports whether the request is answered, or never will be.
func (q *Request) Finished() bool { return q.Answer != nil || q.Ignored }

// sharesReservation reports whether the request waits for a reservation that another
// request of its driver made: nothing is tried for it meanwhile.
func (q *Request) sharesReservation() bool { return q.TriedAt == 0 }

// hasType reports whether the request was of this type. A request that is known by
// its answer alone has no type; then the type of the answer decides.
func (q *Request) hasType(t wire.DriverEventType) bool {
	if q.EventType == "" && q.Answer != nil {
		return answerType(t) == q.Answer.EventType
	}
	return q.EventType == t
}

// View reads the ledger and the database, with all changes of the current
// transaction. Step neither changes nor keeps what it returns.
type View interface {
	// CP returns a charging point, nil if unknown.
	CP(id charge.CPID) *ledger.CP
	// CPs iterates over all charging points, in any order.
	CPs() iter.Seq[*ledger.CP]
	// Liveness returns whether a charging point can be reached at the moment now.
	Liveness(id charge.CPID, now charge.Time) ledger.Liveness
	// TariffOf returns the prices of a session by the version it names and the moment of
	// its grant.
	TariffOf(named charge.TariffVersion, grantedAt charge.Time) ledger.Tariff
	// Running returns what an open session is priced by now.
	Running(s *ledger.Session) ledger.Usage
	// Session finds a session, also an ended one.
	Session(id charge.SessionID) (ledger.Session, bool)
	// Reservation finds the row of a reservation that State no longer holds.
	Reservation(id charge.ReservationID) (Reservation, bool)
	// Command finds the row of a command that State no longer holds.
	Command(id charge.CommandID) (Command, bool)
}

// Now is the moment of an event, by Central's clock, and its source of new ids.
type Now struct {
	At     charge.Time
	IDs    func() string        // a new id at each call
	Tariff charge.TariffVersion // valid at At; "": the one of Config
}

// Event is what happened.
//
//sumtype:decl
type Event interface{ event() }

// DriverRequestReceived is one message of the topic driver-events. The caller has
// looked up its message_id; for a message without one it derives one from topic,
// partition, offset and checksum.
type DriverRequestReceived struct {
	Now
	Request       wire.DriverRequest // MessageID is set
	InvalidReason string             // why it cannot be used, "" if it can; Request holds what could be decoded, with a Timestamp of 0 if that could not
	NameError     string             // why Username cannot name a driver; "" if it can
	Previous      *Request           // the finished request with the same key; nil: none
	// LoggedAt is when it was written to Kafka, by the clock of its sender or of
	// Kafka.
	LoggedAt charge.Time
	// LoggedAfter is a moment at which Kafka did not have it yet, by Central's own
	// clock; zero: not known, as when a log is read again.
	LoggedAfter charge.Time
}

// AnswerReceived is an answer on central-events that an earlier run of Central or
// another Central gave. A database that was restored from a backup does not have
// it.
type AnswerReceived struct {
	Now
	Answer wire.CentralEvent // MessageID is set
	Known  bool              // this database has the answer
}

// OperatorRequestReceived is one request to the operator API.
type OperatorRequestReceived struct {
	Now
	Request OperatorRequest
}

// RecordReceived is one record after ledger.Apply, with any verdict.
type RecordReceived struct {
	Now
	CPID    charge.CPID
	Record  wire.Record
	Outcome ledger.Outcome
	Changes []ledger.Change
}

// PresenceReceived reports that ledger.ApplyPresence applied a presence of the
// charging point, or that the charging point is back after a silence.
type PresenceReceived struct {
	Now
	CPID    charge.CPID
	NewBoot bool // another boot became the current one
	Changes []ledger.Change
}

// CommandSent reports that Kafka acknowledged a command.
type CommandSent struct {
	Now
	CPID      charge.CPID
	CommandID charge.CommandID
}

// OtherCentralSeen reports that another Central wrote, after the start of this
// one, to a topic that only Centrals write. A higher epoch fences this Central.
type OtherCentralSeen struct {
	Now
	Central charge.Epoch // of the other one
}

// Tick reports that NextDeadline has passed.
type Tick struct{ Now }

func (DriverRequestReceived) event()   {}
func (AnswerReceived) event()          {}
func (OperatorRequestReceived) event() {}
func (RecordReceived) event()          {}
func (PresenceReceived) event()        {}
func (CommandSent) event()             {}
func (OtherCentralSeen) event()        {}
func (Tick) event()                    {}

// OperatorRequest is a request to the operator API. Each is answered by exactly one
// Reply in the same step.
//
//sumtype:decl
type OperatorRequest interface{ operatorRequest() }

// OperatorReserve reserves a connector for a driver. Connector 0 means any of the
// charging point, CPID "" any of the network.
type OperatorReserve struct {
	Target
	Username charge.Username
}

// OperatorCancel ends a reservation.
type OperatorCancel struct{ ReservationID charge.ReservationID }

// OperatorStart starts a session, by the driver's reservation there if there is
// one.
type OperatorStart struct {
	Target
	Username charge.Username
	Limit    charge.SessionLimit
}

// OperatorCharge reserves a connector for a driver and starts a session there, which
// begins when the driver plugs in. Connector 0 means any of the charging point, CPID
// "" any of the network.
type OperatorCharge struct {
	Target
	Username charge.Username
	Limit    charge.SessionLimit
}

// OperatorStop stops a session that is running or waits for its plug.
type OperatorStop struct{ SessionID charge.SessionID }

// OperatorAvailability takes out of service, or back into service: a connector, a
// charging point (Connector 0), or the network (CPID ""). It applies to charging
// points that join later as well.
type OperatorAvailability struct {
	Target
	Available bool
}

// OperatorSimulate plugs, unplugs, breaks or repairs a simulated charging point, or
// holds a card to its reader.
type OperatorSimulate struct {
	Target
	Order wire.Simulate
}

// OperatorOnSite orders RESET, UNLOCK or IDENTIFY: once, without a desired state.
type OperatorOnSite struct {
	Target
	Order wire.Order
}

// OperatorAdmitted reports that an operator admitted a charging point or withdrew
// that, after ledger.Admit. Withdrawing ends its reservations.
type OperatorAdmitted struct {
	CPID     charge.CPID
	Admitted bool
}

// OperatorSettled reports that an operator settled a session, after
// ledger.Settle. Everything desired of its connector ends, except availability.
type OperatorSettled struct {
	Target
	SessionID charge.SessionID
}

// OperatorIssueCard adds a card, or replaces the deleted one with the same hash.
type OperatorIssueCard struct{ Card cards.Card }

// OperatorChangeCard changes a card; nil leaves it as it is.
type OperatorChangeCard struct {
	ID        cards.ID
	Blocked   *bool
	ExpiresAt *charge.Time // 0: never
	Offline   *bool
	Label     *string
	// Limits of each session; 0: none.
	LimitEnergy *charge.WattHours
	LimitAmount *int64
	Delete      bool
}

// OperatorSaveGroup adds a group, with ID "", or changes one. It is refused unless the
// group still has the version that the operator saw.
type OperatorSaveGroup struct{ Group Group }

// OperatorDeleteGroup deletes a group that still has the version that the operator saw.
type OperatorDeleteGroup struct {
	ID      GroupID
	Version int64
}

// OperatorLiftFence ends the fencing of this Central.
type OperatorLiftFence struct{}

func (OperatorReserve) operatorRequest()      {}
func (OperatorCancel) operatorRequest()       {}
func (OperatorStart) operatorRequest()        {}
func (OperatorCharge) operatorRequest()       {}
func (OperatorStop) operatorRequest()         {}
func (OperatorAvailability) operatorRequest() {}
func (OperatorSimulate) operatorRequest()     {}
func (OperatorOnSite) operatorRequest()       {}
func (OperatorAdmitted) operatorRequest()     {}
func (OperatorSettled) operatorRequest()      {}
func (OperatorIssueCard) operatorRequest()    {}
func (OperatorChangeCard) operatorRequest()   {}
func (OperatorSaveGroup) operatorRequest()    {}
func (OperatorDeleteGroup) operatorRequest()  {}
func (OperatorLiftFence) operatorRequest()    {}

// Effect is what the caller has to do, in order.
//
//sumtype:decl
type Effect interface{ effect() }

// SaveReservation replaces the row of a reservation.
type SaveReservation struct{ Reservation Reservation }

// SaveDesired replaces the row of a desired state. Rows with EndedAt zero are
// loaded at the start.
type SaveDesired struct{ Desired Desired }

// SaveCommand replaces the row of a command. Open ones are loaded at the start.
type SaveCommand struct{ Command Command }

// SaveRequest replaces the row of a driver's request. Pending ones are loaded at
// the start.
type SaveRequest struct{ Request Request }

// SaveCard replaces the row of a card.
type SaveCard struct{ Card cards.Card }

// SaveLocalList replaces the row of the list that a charging point holds.
type SaveLocalList struct{ List LocalList }

// SaveGroup replaces the row of a group.
type SaveGroup struct{ Group Group }

// SaveGroupMember replaces the row of a connector of a group.
type SaveGroupMember struct{ Member GroupMember }

// SaveFence stores which higher epoch fenced this Central; zero: none.
type SaveFence struct{ By charge.Epoch }

// SendCommand publishes a command after the commit. Losing it is harmless: it is
// sent again until it is accepted or expires.
type SendCommand struct{ Command wire.Command }

// PublishEvent publishes an event on central-events: a row of the outbox. An event
// may be published several times; its EventID stays the same.
type PublishEvent struct{ Event wire.CentralEvent }

// CountRefusal counts a driver's message that could not be used.
type CountRefusal struct {
	Reason string // one of Refusals
}

// Unanswered is the reason of a refusal without an answer: the message was too
// old, or the driver got too many refusals within a minute.
const Unanswered = "unanswered"

// Refusals returns all reasons of CountRefusal.
func Refusals() []string {
	return []string{wire.RefusedInvalid, wire.RefusedStale, wire.RefusedReused, wire.RefusedUnknownDriver, Unanswered}
}

// Reply answers an operator after the commit.
type Reply struct {
	Refused       string // why not, one of the Refused… reasons; "": accepted
	ReservationID charge.ReservationID
	SessionID     charge.SessionID
	CommandID     charge.CommandID
	CardID        cards.ID
	GroupID       GroupID `json:",omitzero"`
	Detail        string  `json:",omitzero"` // of a refusal, in words; "": the reason is enough
	Target        Target
}

func (SaveReservation) effect() {}
func (SaveDesired) effect()     {}
func (SaveCommand) effect()     {}
func (SaveRequest) effect()     {}
func (SaveCard) effect()        {}
func (SaveLocalList) effect()   {}
func (SaveGroup) effect()       {}
func (SaveGroupMember) effect() {}
func (SaveFence) effect()       {}
func (SendCommand) effect()     {}
func (PublishEvent) effect()    {}
func (CountRefusal) effect()    {}
func (Reply) effect()           {}

// Refusals of an operator's request, in addition to the wire.Refused… reasons.
const (
	RefusedFenced             = "fenced"              // another Central took over
	RefusedUnknownConnector   = "unknown_connector"   // the charging point has no such connector
	RefusedUnknownSession     = "unknown_session"     // there is no such session
	RefusedUnknownReservation = "unknown_reservation" // there is no such reservation
	RefusedSessionEnded       = "session_ended"       // there is nothing to stop
	RefusedSessionOrphaned    = "session_orphaned"    // its charging point no longer knows it
	RefusedReservationEnded   = "reservation_ended"   // there is nothing to cancel
	RefusedLimitTooSmall      = "limit_too_small"     // the amount does not buy 1 Wh
	RefusedLimitDiffers       = "limit_differs"       // the session was asked for with another limit
	RefusedUnknownCard        = "unknown_card"        // there is no such card
	RefusedCardExists         = "card_exists"         // the card is issued already
	RefusedManyCards          = "too_many_cards"      // the local list is full
	RefusedUnknownGroup       = "unknown_group"       // there is no such group
	RefusedGroupChanged       = "group_changed"       // the group has another version than the operator saw
	RefusedInGroup            = "in_other_group"      // a charging point is in another group
	RefusedNoSafe             = "no_safe_current"     // the safe current of a connector is not known
	RefusedSafeSum            = "safe_above_limit"    // the safe currents are above the limit of the group
	RefusedGroupSize          = "group_too_large"     // the group has too many connectors
	RefusedNotSimulated       = "not_simulated"       // the hardware is real
	RefusedOffline            = "cp_offline"          // the charging point cannot be reached, or its current boot is not known
)
