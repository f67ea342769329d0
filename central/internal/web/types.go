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
	// Changed is closed and replaced whenever a state (not only a number)
	// changed since it was handed out.
	Changed() <-chan struct{}
	// Facts returns what happened after the fact with number n, oldest first, and
	// the number of the last one. Only so many are kept; n 0 asks for the latest
	// few.
	Facts(n uint64) ([]Fact, uint64)
}

// Network is the whole network at one moment.
type Network struct {
	At      charge.Time `json:"at"`
	Central string      `json:"central"` // its epoch
	Demo    bool        `json:"demo"`    // parts may be cut from the page
	Parts   []Part      `json:"parts"`
	Books   Books       `json:"books"`
	CPs     []CP        `json:"cps"` // sorted by id
}

// Part is one link of the chain between charging points and this page.
type Part struct {
	Name   string      `json:"name"`  // "mqtt", "bridge", "kafka", "central"
	State  string      `json:"state"` // "up", "down", "unknown"
	Since  charge.Time `json:"since"`
	Reason string      `json:"reason,omitempty"` // in words, when not up
}

// Books count journal records since Central's database was made.
type Books struct {
	Announced   int64 `json:"announced"`    // records that charging points say they hold or held
	Applied     int64 `json:"applied"`      // records in Central's database
	Unacked     int64 `json:"unacked"`      // announced and not yet applied
	Duplicates  int64 `json:"duplicates"`   // deliveries of records known already
	OutOfOrder  int64 `json:"gaps"`         // deliveries dropped because what they follow is not known yet
	DeadLetters int64 `json:"dead_letters"` // what could not be used
	Lost        int64 `json:"lost"`         // records in holes
	Twice       int64 `json:"twice"`        // alarms that are open about energy on two tickets or sessions: must be 0
	Alarms      int64 `json:"alarms"`       // open alarms

	Billed      charge.WattHours `json:"billed_wh"`      // energy on tickets
	Running     charge.WattHours `json:"running_wh"`     // energy of open sessions
	Unaccounted charge.WattHours `json:"unaccounted_wh"` // energy that went through meters outside of sessions
}

// CP is one charging point.
type CP struct {
	ID         charge.CPID `json:"cp_id"`
	Name       string      `json:"name,omitempty"`
	Place      string      `json:"place,omitempty"`
	Admitted   bool        `json:"admitted"`
	Simulated  bool        `json:"simulated"`
	Link       string      `json:"link"` // "online", "offline", "unknown"
	LinkSince  charge.Time `json:"link_since,omitzero"`
	LastSeenAt charge.Time `json:"heard_at,omitzero"` // by Central's clock; 0 never in this life
	Unacked    int64       `json:"unacked"`
	Alarm      string      `json:"alarm,omitempty"`
	Agent      string      `json:"agent,omitempty"`
	Connectors []Connector `json:"connectors"`
}

// Connector is one connector as it is shown: what the records say, with the
// latest values over it.
type Connector struct {
	Connector     charge.ConnectorID   `json:"connector"`
	Status        charge.Status        `json:"status"`    // as reported; the page lays Link over it
	Available     bool                 `json:"available"` // as wanted by the operator
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	Username      charge.Username      `json:"username,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	ReservedUntil charge.Time          `json:"reserved_until,omitzero"`
	WaitsFor      string               `json:"waits_for,omitempty"` // what its charging point has not done yet: "start", "stop", "reserve", "cancel", "availability"
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

// Fact is something that happened and is told once: a ticket, the end of a
// command, a fault, an alarm.
type Fact struct {
	N    uint64      `json:"n"`
	At   charge.Time `json:"at"`
	Kind string      `json:"kind"` // "ticket", "session", "reservation", "command", "fault", "alarm", "link"
	CPID charge.CPID `json:"cp_id,omitempty"`
	Text string      `json:"text"`

	SessionID charge.SessionID `json:"session_id,omitempty"` // that it is about
}

// ErrUnderWay is the answer of a Desk that took an order in and does not know yet
// what became of it. With any other error nothing has happened.
var ErrUnderWay = errors.New("the order is under way")

// Orders takes an operator's or a driver's wishes. Every method returns once the
// wish is committed, or with an error when it could not be; a refusal of the
// domain is an Answer with Accepted false. A wish whose context has a Once (see
// OnceOf) that was answered before has that answer again, and no other effect.
type Orders interface {
	Reserve(ctx context.Context, cp charge.CPID, n charge.ConnectorID, who charge.Username) (Answer, error) // cp "" picks one
	Cancel(ctx context.Context, id charge.ReservationID) (Answer, error)
	Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, who charge.Username) (Answer, error)
	Stop(ctx context.Context, id charge.SessionID) (Answer, error)
	SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, available bool) (Answer, error) // cp "" means all, n 0 all of it
	Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action string, f charge.Fault) (Answer, error)
	Admit(ctx context.Context, cp charge.CPID) (Answer, error)
	PassNext(ctx context.Context, cp charge.CPID) (Answer, error)          // make a hole of the record that holds it up
	Release(ctx context.Context, cp charge.CPID) (Answer, error)           // end its quarantine
	Settle(ctx context.Context, id charge.SessionID) (Answer, error)       // end a session without its charging point
	Explain(ctx context.Context, hole int64, words string) (Answer, error) // write beside a hole, take its alarm back
	Lift(ctx context.Context) (Answer, error)                              // end the fencing of this Central
}

// Answer is what became of a wish.
type Answer struct {
	Accepted      bool                 `json:"accepted"`
	Reason        string               `json:"reason,omitempty"` // of a refusal, a stable word
	Message       string               `json:"message,omitempty"`
	CPID          charge.CPID          `json:"cp_id,omitempty"`
	Connector     charge.ConnectorID   `json:"connector,omitempty"`
	ReservationID charge.ReservationID `json:"reservation_id,omitempty"`
	SessionID     charge.SessionID     `json:"session_id,omitempty"`
	Commands      []charge.CommandID   `json:"commands,omitempty"` // orders written for it so far
	Count         int                  `json:"count,omitempty"`    // charging points concerned
}

// Query selects a page of a list, newest first. Zero fields select all.
type Query struct {
	CPID     charge.CPID
	Username charge.Username
	State    string      // as in the items; of no list that has none
	From, To charge.Time // From <= time of the item < To
	After    string      // the key of the last row of the page before; empty for the first
	Limit    int
}

// Archive reads what is in the database. An unknown id answers (nil, nil); a
// list answers ErrGone when the row of Query.After does not exist.
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
	Settled       bool                 `json:"settled"` // ended by an operator without its charging point
}

// Ticket is a priced, immutable session.
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

// Reservation is a connector kept, or asked to be kept, for a driver.
type Reservation struct {
	ID        charge.ReservationID `json:"reservation_id"`
	CPID      charge.CPID          `json:"cp_id"`
	Connector charge.ConnectorID   `json:"connector"`
	Username  charge.Username      `json:"username"`
	State     string               `json:"state"` // computed: "asked", "active", "used", "ended"
	Reason    string               `json:"reason,omitempty"`
	MadeAt    charge.Time          `json:"made_at"`
	ExpiresAt charge.Time          `json:"expires_at"`
}

// Command is one order and its life.
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

// Ended reports whether the command's life is over.
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

// Range is records First to Last of a journal; Last 0 is its end.
type Range struct {
	First charge.Seq `json:"first"`
	Last  charge.Seq `json:"last"`
}

// Gap is a range of records that cannot come any more.
type Gap struct {
	ID          int64            `json:"hole_id"`
	CPID        charge.CPID      `json:"cp_id"`
	Journal     charge.JournalID `json:"journal,omitempty"`
	First       charge.Seq       `json:"first"`
	Last        charge.Seq       `json:"last"`
	Cause       string           `json:"cause"`
	Detail      string           `json:"detail"`
	Missing     []Range          `json:"missing"`
	Unaccounted charge.WattHours `json:"unaccounted_wh"`
	At          charge.Time      `json:"at"`
	Filled      bool             `json:"filled"`
}

// Alarm is something an operator should look at.
type Alarm struct {
	ID   int64       `json:"alarm_id"`
	CPID charge.CPID `json:"cp_id,omitempty"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
	At   charge.Time `json:"at"`
	// State is "open", or "cleared" once it was taken back.
	State string `json:"state" enum:"open,cleared"`
}

// Breaker cuts and restores parts of the demo; nil elsewhere.
type Breaker interface {
	// Cut stops "mqtt", "kafka" or "bridge"; Restore brings it back. An unknown
	// part is an error.
	Cut(part string) error
	Restore(part string) error
}

// Config is how Server behaves.
type Config struct {
	Insecure bool // answer requests for any host
	// PublicURL is where browsers reach the server through a reverse proxy, with
	// the path below which it is served there; nil: where it listens.
	PublicURL *url.URL
	// TrustedProxies are the peers whose X-Forwarded-Host and X-Forwarded-Proto
	// are believed.
	TrustedProxies []netip.Prefix
	Tick           time.Duration // of the live stream; one second unless set
	// Observe serves /livez, /readyz and /metrics; nil: nobody does.
	Observe http.Handler
}
