package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Live is the present state of the network. Its methods are safe for
// concurrent use and cheap enough to be called several times a second.
type Live interface {
	// Network returns a snapshot that the caller may keep and must not change.
	Network() Network
	// Changed returns a channel that is closed at the next change of a state; a
	// change of numbers alone (power, energy) does not close it.
	Changed() <-chan struct{}
	// Facts returns the facts after number n, oldest first, and the number of the
	// last one. Only the latest are kept; n = 0 returns the last few.
	Facts(n uint64) ([]Fact, uint64)
}

// Network is the whole network at one moment. It is the body of GET /network, and
// the stream is made from it.
type Network struct {
	At      charge.Time `json:"at"`
	Central string      `json:"central"` // its epoch
	Demo    bool        `json:"demo"`    // the page offers to cut and restore parts
	Parts   []Part      `json:"parts"`
	Bridges []Part      `json:"bridges"` // each bridge, by name; one that stands by is "standby"
	Books   Books       `json:"books"`
	CPs     []CP        `json:"cps"` // sorted by id
}

// Part is one part of the pipeline between charging points and this page.
type Part struct {
	Name   string      `json:"name"`  // "mqtt", "bridge", "kafka", "central"; in bridges the name of a bridge
	State  string      `json:"state"` // "up", "down", "unknown"; of a bridge also "standby"
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason,omitempty"` // a text for operators, unless up
}

// Books are the totals of the whole network: journal records and energy since
// Central's database was made. The sum of the three energies is what all meters
// have measured.
type Books struct {
	Announced   int64 `json:"announced"`    // records that charging points have written, as far as they reported it
	Applied     int64 `json:"applied"`      // records in Central's database
	Unacked     int64 `json:"unacked"`      // announced and not yet applied
	Duplicates  int64 `json:"duplicates"`   // deliveries of records that were applied before
	OutOfOrder  int64 `json:"out_of_order"` // deliveries dropped because the record before is not known yet; the agent retries
	DeadLetters int64 `json:"dead_letters"` // messages that could not be used
	Lost        int64 `json:"lost"`         // records missing in gaps
	Twice       int64 `json:"twice"`        // open alarms about energy on two tickets or sessions: must be 0
	Alarms      int64 `json:"alarms"`       // open alarms

	Billed      charge.WattHours `json:"billed_wh"`      // energy on tickets
	Running     charge.WattHours `json:"running_wh"`     // energy of open sessions
	Unaccounted charge.WattHours `json:"unaccounted_wh"` // energy measured outside of sessions
}

// CP is one charging point.
//
// Link is whether Central receives anything from it. "unknown" means that the
// pipeline itself is down or has not caught up, so that silence means nothing.
// Unacked is how many of its records are not in Central's database. Agent is the
// version of its firmware.
type CP struct {
	ID         charge.CPID `json:"cp_id"`
	Name       string      `json:"name,omitempty"`
	Place      string      `json:"place,omitempty"`
	Admitted   bool        `json:"admitted"`
	Simulated  bool        `json:"simulated"`
	Link       string      `json:"link"` // "online", "offline", "unknown"
	LinkSince  charge.Time `json:"link_since,omitzero"`
	LastSeenAt charge.Time `json:"last_seen_at,omitzero"` // last message, by Central's clock; 0: none since Central's start
	Unacked    int64       `json:"unacked"`
	Alarm      string      `json:"alarm,omitempty"`
	Agent      string      `json:"agent,omitempty"`
	Connectors []Connector `json:"connectors"`
}

// Connector is one connector as it is shown: its state follows from records, its
// power, register, energy and cost from the latest telemetry.
//
// The two differ in how far they can be trusted. Records arrive completely and in
// order, but perhaps late; telemetry is as fresh as ValuesAt, may be lost, and is
// never billed. Session, username and reservation are empty if there is none.
type Connector struct {
	Connector     charge.ConnectorID   `json:"connector"`
	Status        charge.Status        `json:"status"`    // as reported; with CP.Link "offline" it may be outdated
	Available     bool                 `json:"available"` // as ordered by the operator
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	ReservedUntil charge.Time          `json:"reserved_until,omitzero"`
	WaitsFor      string               `json:"waits_for,omitempty"` // an order that its charging point has not confirmed: "start", "stop", "reserve", "cancel", "availability"
	WaitsSince    charge.Time          `json:"waits_since,omitzero"`
	Faults        []charge.Fault       `json:"faults,omitempty"`
	Rated         charge.Watts         `json:"rated_w"`
	Power         charge.Watts         `json:"power_w"`
	Register      charge.WattHours     `json:"register_wh"`
	Energy        charge.WattHours     `json:"energy_wh"`      // of the running session
	Cost          string               `json:"cost,omitempty"` // of the running session, provisional; decimal in the main unit of Currency
	Currency      string               `json:"currency,omitempty"`
	ValuesAt      charge.Time          `json:"values_at,omitzero"` // when Power … Cost were received
}

// Fact is an event that the stream sends once to each page: a ticket, the end of a
// command, a fault, an alarm.
type Fact struct {
	N    uint64      `json:"n"` // grows by one with each fact, from 1 at Central's start
	At   charge.Time `json:"at"`
	Kind string      `json:"kind"` // "ticket", "session", "reservation", "command", "fault", "alarm", "link"
	CPID charge.CPID `json:"cp_id,omitempty"`
	Text string      `json:"text"`

	SessionID charge.SessionID `json:"session_id,omitempty"` // the session it is about
}

// ErrUnderWay is the error of Orders when an order was accepted for execution and
// its result is not known in time: it may or may not be committed. After any
// other error the order has had no effect.
var ErrUnderWay = errors.New("the order is under way")

// Orders executes what an operator orders. Each method returns once the order is
// committed to the database, or with an error if it could not be. A refusal by
// the rules of the domain is not an error but an Answer with Accepted false.
//
// If the context carries an Idempotency (see IdempotencyOf) whose key was used
// for the same request before, the method returns the answer of then and has no
// second effect.
type Orders interface {
	Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username) (Answer, error) // cp "" picks one
	Cancel(ctx context.Context, id charge.ReservationID) (Answer, error)
	Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username) (Answer, error)
	Stop(ctx context.Context, id charge.SessionID) (Answer, error)
	SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, available bool) (Answer, error) // cp "" means all, n 0 all of it
	Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action string, f charge.Fault) (Answer, error)
	Admit(ctx context.Context, cp charge.CPID) (Answer, error)
	PassNext(ctx context.Context, cp charge.CPID) (Answer, error)        // declare the one record that blocks it a gap
	Release(ctx context.Context, cp charge.CPID) (Answer, error)         // end its quarantine
	Settle(ctx context.Context, id charge.SessionID) (Answer, error)     // end a session without its charging point
	Explain(ctx context.Context, gap int64, note string) (Answer, error) // add a note to a gap, clear its alarm
	Lift(ctx context.Context) (Answer, error)                            // end the fencing of this Central
}

// Answer is the result of an order. A refusal has Reason, a stable word for
// programs, and Message, a text for people; the other fields are those of an
// accepted order. CPID and Connector are where it is executed, also when Central
// chose them; ReservationID and SessionID are what it made.
type Answer struct {
	Accepted      bool                 `json:"accepted"`
	Reason        string               `json:"reason,omitempty"` // of a refusal: a key of kinds
	Message       string               `json:"message,omitempty"`
	CPID          charge.CPID          `json:"cp_id,omitempty"`
	Connector     charge.ConnectorID   `json:"connector,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	Commands      []charge.CommandID   `json:"commands,omitempty"` // written for it so far
	Count         int                  `json:"count,omitempty"`    // how many charging points it concerns
}

// Query selects a page of a list, newest first. A zero field does not restrict.
type Query struct {
	CPID     charge.CPID
	Username charge.Username
	State    string      // a state of the items; empty for lists whose items have none
	From, To charge.Time // From <= time of the item < To
	After    string      // the key of the last item of the page before; empty for the first page
	Limit    int
}

// Archive reads history from the database. For an unknown id a method returns
// (nil, nil); a list returns ErrGone when the row Query.After does not exist.
type Archive interface {
	Sessions(ctx context.Context, q Query) ([]Session, error)
	Session(ctx context.Context, id charge.SessionID) (*Session, error)
	Tickets(ctx context.Context, q Query) ([]Ticket, error)
	Ticket(ctx context.Context, id string) (*Ticket, error)
	Reservations(ctx context.Context, q Query) ([]Reservation, error)
	Reservation(ctx context.Context, id charge.ReservationID) (*Reservation, error)
	Commands(ctx context.Context, q Query) ([]Command, error)
	Command(ctx context.Context, id charge.CommandID) (*Command, error)
	Records(ctx context.Context, q Query) ([]Record, error)
	Gaps(ctx context.Context, q Query) ([]Gap, error)
	Gap(ctx context.Context, id int64) (*Gap, error)
	Alarms(ctx context.Context, q Query) ([]Alarm, error)
	Alarm(ctx context.Context, id int64) (*Alarm, error)
}

// Session is the accounted record from grant to stop.
//
// Its energy is Last less Start, both readings of the connector's meter in Wh.
// AuthorizedAt is the grant, StartedAt the moment from which energy flowed,
// StoppedAt its end. A session is "orphaned" when its charging point booted again
// without it: late records can still end it, or an operator settles it.
type Session struct {
	ID            charge.SessionID     `json:"session_id"`
	CPID          charge.CPID          `json:"cp_id"`
	Connector     charge.ConnectorID   `json:"connector"`
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	State         string               `json:"state"` // "open", "closed", "orphaned"
	Reason        charge.StopReason    `json:"reason,omitempty"`
	Start         charge.WattHours     `json:"register_start_wh"`
	Last          charge.WattHours     `json:"register_wh"`
	AuthorizedAt  charge.Time          `json:"authorized_at,omitzero"`
	StartedAt     charge.Time          `json:"started_at,omitzero"`
	StoppedAt     charge.Time          `json:"stopped_at,omitzero"`
	Settled       bool                 `json:"settled"` // an operator ended it without its charging point
}

// Ticket is a priced, immutable session. A session has one ticket; one that was
// settled may have a second ticket that corrects the first. The sum of both is then
// the price of the whole session, so energy and cost of a correction may be
// negative.
type Ticket struct {
	ID          string               `json:"ticket_id"`
	SessionID   charge.SessionID     `json:"session_id"`
	CPID        charge.CPID          `json:"cp_id"`
	Connector   charge.ConnectorID   `json:"connector"`
	Username    charge.Username      `json:"username,omitempty"`
	Energy      charge.WattHours     `json:"energy_wh"`
	Cost        string               `json:"cost"` // decimal in the main unit, with the decimals of the currency: "3.42", "342", "3.420"
	Currency    string               `json:"currency"`
	DurationSec int64                `json:"duration_sec"`
	Reason      charge.StopReason    `json:"reason"`
	Tariff      charge.TariffVersion `json:"tariff"`
	StoppedAt   charge.Time          `json:"stopped_at,omitzero"` // of a settled session: when it was settled
	Settled     bool                 `json:"settled"`             // by an operator, up to the last register known then
	Corrects    string               `json:"corrects,omitempty"`  // ticket_id of the settled session's ticket; this one holds the difference
}

// Reservation is a connector that is kept for a driver, or was ordered to be.
type Reservation struct {
	ID        charge.ReservationID `json:"reservation_id"`
	CPID      charge.CPID          `json:"cp_id"`
	Connector charge.ConnectorID   `json:"connector"`
	Username  charge.Username      `json:"username"`
	State     string               `json:"state"` // at the time of the request: "pending", "active", "used", "ended"
	Reason    string               `json:"reason,omitempty"`
	MadeAt    charge.Time          `json:"made_at"`
	ExpiresAt charge.Time          `json:"expires_at"`
}

// Command is one command to a charging point, with the times of its states. A time
// is absent if the command was never in that state.
//
// The states in order: "written" in the database, "sent" to Kafka, "accepted" by
// the charging point, and one of the final states: "done" or "failed" after it was
// accepted, "rejected" by the charging point, "superseded" by a later command,
// "expired" at ExpiresAt without an answer.
type Command struct {
	ID         charge.CommandID   `json:"command_id"`
	CPID       charge.CPID        `json:"cp_id"`
	Connector  charge.ConnectorID `json:"connector"`
	Type       string             `json:"type"`
	State      string             `json:"state"` // "written", "sent", "accepted", "done", "failed", "rejected", "superseded", "expired"
	Reason     string             `json:"reason,omitempty"`
	WrittenAt  charge.Time        `json:"written_at"`
	SentAt     charge.Time        `json:"sent_at,omitzero"`
	AcceptedAt charge.Time        `json:"accepted_at,omitzero"`
	EndedAt    charge.Time        `json:"ended_at,omitzero"`
	ExpiresAt  charge.Time        `json:"expires_at"`
}

// Ended reports whether the command is in a final state.
func (c *Command) Ended() bool { return c.EndedAt != 0 }

// Record is one journal record as it was received.
type Record struct {
	CPID       charge.CPID      `json:"cp_id"`
	Journal    charge.JournalID `json:"journal"`
	Seq        charge.Seq       `json:"seq"`
	Type       string           `json:"type"`
	At         charge.Time      `json:"at"`
	ReceivedAt charge.Time      `json:"received_at"`
	Body       string           `json:"body"` // the bytes, as text
	Cursor     string           `json:"-"`    // the key of the record in a cursor
}

// Range is the records First to Last of a journal; Last 0 means its unknown end.
type Range struct {
	First charge.Seq `json:"first"`
	Last  charge.Seq `json:"last"`
}

// Gap is a range of records that Central passed without having them: the charging
// point lost them, or an operator passed them.
type Gap struct {
	ID          int64            `json:"gap_id"`
	CPID        charge.CPID      `json:"cp_id"`
	Journal     charge.JournalID `json:"journal,omitempty"`
	First       charge.Seq       `json:"first"`
	Last        charge.Seq       `json:"last"`           // 0: the end of the journal, which is not known
	Cause       string           `json:"cause"`          // "forgotten", "damaged", "dead_letter"
	Detail      string           `json:"detail"`         // for operators, with the note of Orders.Explain
	Missing     []Range          `json:"missing"`        // without the records that came late
	Unaccounted charge.WattHours `json:"unaccounted_wh"` // measured between the registers before and after the gap
	At          charge.Time      `json:"at"`             // when it was detected
	Filled      bool             `json:"filled"`         // all of its records came late
}

// Alarm is a condition that an operator should look at. Kind is a stable word for
// programs, Text describes the case. An alarm about Central itself has no CPID.
type Alarm struct {
	ID   int64       `json:"alarm_id"`
	CPID charge.CPID `json:"cp_id,omitempty"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
	At   charge.Time `json:"at"`
	// State is "open", or "cleared" when the condition is over or an operator
	// explained it.
	State string `json:"state" enum:"open,cleared"`
}

// Breaker cuts and restores parts of the demo, to show what happens then.
type Breaker interface {
	// Cut stops "mqtt", "kafka" or "bridge"; Restore starts it again. An unknown
	// part is an error.
	Cut(part string) error
	Restore(part string) error
}

// Config holds the settings of a Server.
type Config struct {
	Insecure bool // accept any name in the Host header
	// PublicURL is the address under which browsers reach the server through a
	// reverse proxy, with the path below which it is served there. nil: there is no
	// proxy.
	PublicURL *url.URL
	// TrustedProxies are the addresses from which X-Forwarded-Host and
	// X-Forwarded-Proto are accepted; from others they are ignored.
	TrustedProxies []netip.Prefix
	Tick           time.Duration // interval of the live stream's frames; 0: one second
	// Observe serves /livez, /readyz and /metrics; nil: they are not served here.
	Observe http.Handler
}
