package orders

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Config holds what can be different. The zero value of a field means its
// default.
type Config struct {
	ReservationLife time.Duration        // default 15 min
	PerDriver       int                  // active reservations of one driver, default 1
	ConfirmTimeout  time.Duration        // what each charging point asked gets, default 1.5 s
	MaxTried        int                  // charging points asked for one request, default 3
	StartTimeout    time.Duration        // a START without a reservation waits so long for the plug, default 2 min
	Tariff          charge.TariffVersion // named in RESERVE and START; "" names none
	Drivers         []charge.Username    // who may ask; nil: anybody
}

// Target names one connector, or with Connector 0 a whole charging point.
type Target struct {
	CPID      charge.CPID
	Connector charge.ConnectorID
}

// Reservation keeps a connector for a driver. It is active while EndedAt is
// zero and the moment is before Until: "reserved" is never stored.
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
	ConfirmedAt charge.Time      // when the charging point said it holds it; zero: not confirmed
	EndedAt     charge.Time      // zero: not ended
	Reason      string           // why it ended: a charge.ReservationEnd, "used", or the refusal of the charging point
	SessionID   charge.SessionID // that used it
	Adopted     bool             // learned from the charging point, not made by this Central
	Released    bool             // ended, and the charging point is known not to hold it (any more)
	Announced   bool             // the driver knows of it, so its end is told
	MessageID   string           // of the request of Username it was made for; "" for an operator's
}

// Active reports whether the reservation keeps its connector at the moment now.
func (r *Reservation) Active(now charge.Time) bool { return r.EndedAt == 0 && now < r.Until }

// EndUsed is the Reason of a reservation that a session used.
const EndUsed = "used"

// DesiredKind says what is wanted.
type DesiredKind string

// The kinds of wishes; what is wanted of reservations stands in Reservation.
const (
	DesiredStart        DesiredKind = "start"        // of session SessionID
	DesiredStop         DesiredKind = "stop"         // of session SessionID
	DesiredAvailability DesiredKind = "availability" // of a connector, of all of a charging point (0), or of the network (CPID "")
)

// Desired is something wanted until it is so, or until it ends. Its key is
// (Kind, CPID, Connector, SessionID).
type Desired struct {
	Kind          DesiredKind
	CPID          charge.CPID
	Connector     charge.ConnectorID
	SessionID     charge.SessionID
	Username      charge.Username
	ReservationID charge.ReservationID
	Tariff        charge.TariffVersion
	Available     bool
	RequestedAt   charge.Time
	Until         charge.Time // zero: until it is so
	EndedAt       charge.Time // zero: wanted
	Outcome       string      // how it ended, in a word: "done", or a reason
}

// CommandState is where a command stands.
type CommandState string

// The life of a command.
const (
	Written    CommandState = "written"
	Sent       CommandState = "sent"
	Accepted   CommandState = "accepted"
	Rejected   CommandState = "rejected"
	Superseded CommandState = "superseded" // by a later order, or its boot is over
	Expired    CommandState = "expired"
	Done       CommandState = "done"
	Failed     CommandState = "failed"
)

// Open reports whether the command may still have its effect or its result.
func (s CommandState) Open() bool { return s == Written || s == Sent || s == Accepted }

// Command is one order and its life.
type Command struct {
	ID            charge.CommandID
	N             uint64
	Central       charge.Epoch // with which it speaks to the charging point
	Journal       charge.JournalID
	CPID          charge.CPID
	Connector     charge.ConnectorID
	Type          wire.CommandType
	Data          json.RawMessage
	ReservationID charge.ReservationID // it is about; "" when none
	SessionID     charge.SessionID     // it is about; "" when none
	IssuedAt      charge.Time
	ExpiresAt     charge.Time
	State         CommandState
	Reason        string      // of its end
	ChangedAt     charge.Time // when State became so
	SendCount     int
	NextSendAt    charge.Time // of the next sending; zero: none
	MessageID     string      // names what asked for it, for SIMULATE: event_id of the answer to a driver, or of its own
}

// Message is the command as it is sent at the moment now. By a clock that was
// set back since, it is sent when it was written: its life never grows.
func (c *Command) Message(now charge.Time) wire.Command {
	return wire.Command{
		V: wire.Version, ID: c.ID, N: c.N, Central: c.Central, Journal: c.Journal, CPID: c.CPID, Connector: c.Connector,
		Type: c.Type, IssuedAt: c.IssuedAt, SentAt: max(now, c.IssuedAt), ExpiresAt: c.ExpiresAt, Data: c.Data,
	}
}

// RequestKey names a request: each driver chooses message_ids of its own.
type RequestKey struct {
	Username  charge.Username
	MessageID string
}

// Request is one request of a driver, by its key. While Answer is nil it
// runs; afterwards it is kept as long as the topic, so that a repeat repeats
// the answer.
type Request struct {
	MessageID     string
	EventType     wire.DriverEventType
	Username      charge.Username
	ClientID      string
	CPID          charge.CPID // "": any
	ReadAt        charge.Time
	AnswerBy      charge.Time
	Tried         []Target             // in order; the last one is being asked
	TriedAt       charge.Time          // when the last one was asked; with none asked: when one was last looked for
	ReservationID charge.ReservationID // being confirmed for it
	Answer        *wire.CentralEvent   // nil: running; for one that is never answered see Silent
	Ignored       bool                 // recorded, never to be answered
}

// Key names the request.
func (q *Request) Key() RequestKey { return RequestKey{q.Username, q.MessageID} }

// Finished reports whether the request is answered, or never will be.
func (q *Request) Finished() bool { return q.Answer != nil || q.Ignored }

// hasType reports whether the request was of this type. One that is known by its
// answer alone has no type of its own.
func (q *Request) hasType(t wire.DriverEventType) bool {
	if q.EventType == "" && q.Answer != nil {
		return answerType(t) == q.Answer.EventType
	}
	return q.EventType == t
}

// View reads the ledger and the database. Nothing it returns is changed or kept
// by Step.
type View interface {
	// CP is one charging point, nil if unknown.
	CP(id charge.CPID) *ledger.CP
	// CPs are all charging points, in any order.
	CPs() iter.Seq[*ledger.CP]
	// Liveness says whether a charging point is there at the moment now.
	Liveness(id charge.CPID, now charge.Time) ledger.Liveness
	// Session finds a session, ended ones too.
	Session(id charge.SessionID) (ledger.Session, bool)
	// Reservation finds a reservation that State does not hold any more.
	Reservation(id charge.ReservationID) (Reservation, bool)
	// Command finds a command that State does not hold any more.
	Command(id charge.CommandID) (Command, bool)
}

// Now is the moment of an event and its source of new ids.
type Now struct {
	At  charge.Time
	IDs func() string // a new id at each call
}

// Event is what happened.
//
//sumtype:decl
type Event interface{ event() }

// DriverRequestReceived is one message of driver-events. The shell has looked up its
// message_id; for a message without one it makes it of topic, partition, offset
// and checksum.
type DriverRequestReceived struct {
	Now
	Request       wire.DriverRequest // MessageID is set
	InvalidReason string             // why it cannot be used; Request holds what could be read, its Timestamp 0 if not that
	NameError     string             // why Username cannot name a driver; "" if it can
	Previous      *Request           // the finished request of the same key; nil: none
	// LoggedAt is when it came into Kafka, by the clock of its sender or of Kafka.
	LoggedAt charge.Time
	// LoggedAfter is a moment at which it had not yet come into Kafka, as Central itself
	// knows; zero: not known.
	LoggedAfter charge.Time
}

// AnswerReceived is an answer that stands on central-events and that an earlier
// life of Central gave, or another Central. A database that was restored from a
// backup does not have it.
type AnswerReceived struct {
	Now
	Answer wire.CentralEvent // MessageID is set
	Known  bool              // the request is finished here
}

// OperatorRequestReceived is one request of an operator.
type OperatorRequestReceived struct {
	Now
	Request OperatorRequest
}

// RecordReceived is one record that the ledger has taken in (any verdict).
type RecordReceived struct {
	Now
	CPID    charge.CPID
	Record  wire.Record
	Outcome ledger.Outcome
	Changes []ledger.Change
}

// PresenceReceived says that a presence of the charging point was folded in, or that
// it is back after silence.
type PresenceReceived struct {
	Now
	CPID    charge.CPID
	NewBoot bool // the present journal became another
	Changes []ledger.Change
}

// CommandSent says that a command left for the charging point.
type CommandSent struct {
	Now
	CPID      charge.CPID
	CommandID charge.CommandID
}

// OtherCentralSeen says that another Central wrote, after the start of this one, to
// a topic that only Centrals write. One with a higher epoch fences this one.
type OtherCentralSeen struct {
	Now
	Central charge.Epoch // its own
}

// Tick says that time went on: at NextDeadline or later.
type Tick struct{ Now }

func (DriverRequestReceived) event()   {}
func (AnswerReceived) event()          {}
func (OperatorRequestReceived) event() {}
func (RecordReceived) event()          {}
func (PresenceReceived) event()        {}
func (CommandSent) event()             {}
func (OtherCentralSeen) event()        {}
func (Tick) event()                    {}

// OperatorRequest is what an operator asks for. Each is answered by exactly one Reply in
// the same step.
//
//sumtype:decl
type OperatorRequest interface{ operatorRequest() }

// OperatorReserve reserves a connector (0: any of the charging point; CPID "": any
// at all) for a driver.
type OperatorReserve struct {
	Target
	Username charge.Username
}

// OperatorCancel ends a reservation.
type OperatorCancel struct{ ReservationID charge.ReservationID }

// OperatorStart starts a session: by the driver's reservation there if there is one.
type OperatorStart struct {
	Target
	Username charge.Username
}

// OperatorStop stops a session, running or waiting for its plug.
type OperatorStop struct{ SessionID charge.SessionID }

// OperatorAvailability takes out of service or back: a connector, a charging point
// (connector 0), or the network (CPID ""), now and whoever joins later.
type OperatorAvailability struct {
	Target
	Available bool
}

// OperatorSimulate moves the hands at a simulated charging point.
type OperatorSimulate struct {
	Target
	Action wire.SimulateAction
	Fault  charge.Fault
}

// OperatorAdmitted says that the operator admitted a charging point or took that
// back (the ledger has it already); taking back frees its reservations.
type OperatorAdmitted struct {
	CPID     charge.CPID
	Admitted bool
}

// OperatorSettled says that the operator settled a session (the ledger has it
// already): nothing is wanted of its connector any more but its availability.
type OperatorSettled struct {
	Target
	SessionID charge.SessionID
}

// OperatorLiftFence ends the fencing of this Central.
type OperatorLiftFence struct{}

func (OperatorReserve) operatorRequest()      {}
func (OperatorCancel) operatorRequest()       {}
func (OperatorStart) operatorRequest()        {}
func (OperatorStop) operatorRequest()         {}
func (OperatorAvailability) operatorRequest() {}
func (OperatorSimulate) operatorRequest()     {}
func (OperatorAdmitted) operatorRequest()     {}
func (OperatorSettled) operatorRequest()      {}
func (OperatorLiftFence) operatorRequest()    {}

// Effect is what is to be done, in order.
//
//sumtype:decl
type Effect interface{ effect() }

// SaveReservation replaces the row of a reservation.
type SaveReservation struct{ Reservation Reservation }

// SaveDesired replaces the row of a wish. Those with EndedAt zero load again.
type SaveDesired struct{ Desired Desired }

// SaveCommand replaces the row of a command. Open ones load again.
type SaveCommand struct{ Command Command }

// SaveRequest replaces the row of a driver's request. Those that run load again.
type SaveRequest struct{ Request Request }

// SaveFence keeps which higher epoch fenced this Central; zero for none.
type SaveFence struct{ By charge.Epoch }

// SendCommand publishes a command after the commit; losing it is harmless.
type SendCommand struct{ Command wire.Command }

// PublishEvent is said on central-events: a row of the outbox. The same EventID may be
// told again.
type PublishEvent struct{ Event wire.CentralEvent }

// CountRefusal says that a driver's message could not be used: it is counted.
type CountRefusal struct {
	Reason string // a wire.Refused… word, or Unanswered
}

// Unanswered is the reason of what was refused without telling the driver: it was
// too old, or the driver was told often.
const Unanswered = "unanswered"

// Refusals are all reasons of Refused.
func Refusals() []string {
	return []string{wire.RefusedInvalid, wire.RefusedStale, wire.RefusedReused, wire.RefusedUnknownDriver, Unanswered}
}

// Reply answers an operator after the commit.
type Reply struct {
	Refused       string // why not, one of the Refused… words; "" when it was taken
	ReservationID charge.ReservationID
	SessionID     charge.SessionID
	CommandID     charge.CommandID
	Target        Target
}

func (SaveReservation) effect() {}
func (SaveDesired) effect()     {}
func (SaveCommand) effect()     {}
func (SaveRequest) effect()     {}
func (SaveFence) effect()       {}
func (SendCommand) effect()     {}
func (PublishEvent) effect()    {}
func (CountRefusal) effect()    {}
func (Reply) effect()           {}

// Refusals of an operator's request, beside the wire.Refused… words.
const (
	RefusedFenced             = "fenced"              // another Central took over
	RefusedUnknownConnector   = "unknown_connector"   // the charging point has no such connector
	RefusedUnknownSession     = "unknown_session"     // nobody knows it
	RefusedUnknownReservation = "unknown_reservation" // nobody knows it
	RefusedSessionEnded       = "session_ended"       // there is nothing to stop
	RefusedSessionOrphaned    = "session_orphaned"    // its charging point does not know it any more
	RefusedReservationEnded   = "reservation_ended"   // there is nothing to cancel
	RefusedNotSimulated       = "not_simulated"       // the hardware is real
	RefusedOffline            = "cp_offline"          // its present boot is not known
)
