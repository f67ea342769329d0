package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/carga-ev/carga/central/access"
	"github.com/carga-ev/carga/central/cards"
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/central/view"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Live is the present state of the network. Its methods are safe for
// concurrent use and cheap enough to be called several times a second.
type Live interface {
	// Network returns a snapshot that the caller may keep and must not change.
	Network() view.Network
	// Changed returns a channel that is closed at the next change of a state; a
	// change of numbers alone (power, energy) does not close it.
	Changed() <-chan struct{}
	// Facts returns the facts after number n, oldest first, and the number of the
	// last one. Only the latest are kept; n = 0 returns the last few.
	Facts(n uint64) ([]view.Fact, uint64)
	// Series returns the points of a connector of the last hour with from <= time <
	// to, oldest first.
	Series(cp charge.CPID, connector charge.ConnectorID, from, to charge.Time) []view.Point
	// BridgeDeadLetters returns the latest messages that bridges could not pass on, the
	// latest first.
	BridgeDeadLetters() []view.BridgeDeadLetter
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
	Start(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username, limit charge.SessionLimit) (Answer, error)
	Charge(ctx context.Context, cp charge.CPID, n charge.ConnectorID, driver charge.Username, limit charge.SessionLimit) (Answer, error) // reserve, as Reserve, and start
	Stop(ctx context.Context, id charge.SessionID) (Answer, error)
	SetAvailability(ctx context.Context, cp charge.CPID, n charge.ConnectorID, available bool) (Answer, error) // cp "" means all, n 0 all of it
	Simulate(ctx context.Context, cp charge.CPID, n charge.ConnectorID, o wire.Simulate) (Answer, error)
	OnSite(ctx context.Context, cp charge.CPID, n charge.ConnectorID, action SiteAction) (Answer, error)
	Admit(ctx context.Context, cp charge.CPID) (Answer, error)
	PassNext(ctx context.Context, cp charge.CPID) (Answer, error)             // declare the one record that blocks it a gap
	Release(ctx context.Context, cp charge.CPID) (Answer, error)              // end its quarantine
	Settle(ctx context.Context, id charge.SessionID) (Answer, error)          // end a session without its charging point
	Explain(ctx context.Context, gap int64, note string) (Answer, error)      // add a note to a gap, clear its alarm
	ClearAlarm(ctx context.Context, alarm int64, note string) (Answer, error) // of what is over
	SetCP(ctx context.Context, c CPChange) (Answer, error)                    // change settings of a charging point
	AddTariff(ctx context.Context, t ledger.Tariff) (Answer, error)           // add a version of the prices; ValidFrom 0: now
	AddCard(ctx context.Context, c cards.Card) (Answer, error)                // issue a card
	ChangeCard(ctx context.Context, id cards.ID, c CardChange) (Answer, error)
	SaveGroup(ctx context.Context, g orders.Group) (Answer, error)                     // add a group, with ID "", or change the version of one
	DeleteGroup(ctx context.Context, id orders.GroupID, version int64) (Answer, error) // delete the version of a group
	Replay(ctx context.Context, deadLetter int64) (Answer, error)                      // publish the message of a dead letter again
	Lift(ctx context.Context) (Answer, error)                                          // end the fencing of this Central
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
	CardID        cards.ID             `json:"card_id,omitempty"`
	GroupID       orders.GroupID       `json:"group_id,omitempty"`
	Commands      []charge.CommandID   `json:"commands,omitempty"` // written for it so far
	Count         int                  `json:"count,omitempty"`    // how many charging points it concerns
}

// Archive reads history from the database. For an unknown id a method returns
// (nil, nil); a list returns view.ErrGone when the row Query.After does not exist. With
// an owner a method returns only what belongs to that driver.
type Archive interface {
	Sessions(ctx context.Context, q view.Query) ([]view.Session, error)
	Session(ctx context.Context, owner charge.Username, id charge.SessionID) (*view.Session, error)
	Tickets(ctx context.Context, q view.Query) ([]view.Ticket, error)
	Ticket(ctx context.Context, owner charge.Username, id string) (*view.Ticket, error)
	// Series returns at most limit points of a connector from records, oldest first.
	Series(ctx context.Context, cp charge.CPID, connector charge.ConnectorID, from, to charge.Time, limit int) ([]view.Point, error)
	SumTickets(ctx context.Context, q view.Query, p view.Period) ([]view.TicketTotal, error)
	Tariffs(ctx context.Context) (view.TariffList, error)
	// PreviewTariff prices sessions that ended from q.From to q.To, a bounded number.
	PreviewTariff(ctx context.Context, q view.Query, t ledger.Tariff) (view.TariffPreview, error)
	Cards(ctx context.Context, q view.Query) ([]view.Card, error)
	Card(ctx context.Context, owner charge.Username, id cards.ID) (*view.Card, error)
	Groups(ctx context.Context) (view.GroupList, error)
	Reservations(ctx context.Context, q view.Query) ([]view.Reservation, error)
	Reservation(ctx context.Context, owner charge.Username, id charge.ReservationID) (*view.Reservation, error)
	Commands(ctx context.Context, q view.Query) ([]view.Command, error)
	Command(ctx context.Context, owner charge.Username, id charge.CommandID) (*view.Command, error)
	Records(ctx context.Context, q view.Query) ([]view.Record, error)
	CPSettings(ctx context.Context, cp charge.CPID) (*view.CPSettings, error)
	DeadLetters(ctx context.Context, q view.Query) ([]view.DeadLetter, error)
	Gaps(ctx context.Context, q view.Query) ([]view.Gap, error)
	Gap(ctx context.Context, id int64) (*view.Gap, error)
	Alarms(ctx context.Context, q view.Query) ([]view.Alarm, error)
	Alarm(ctx context.Context, id int64) (*view.Alarm, error)
	Audit(ctx context.Context, q view.Query) ([]access.Entry, error)
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
	// Accounts finds the principal of a request; nil: access is open, and every
	// request acts for the operator local.
	Accounts Accounts
	// TLS serves HTTPS; nil: plain HTTP.
	TLS *Certificate
	// ProxyAlone refuses requests that come neither from a trusted proxy nor from this
	// machine: plain HTTP is for the way behind the proxy.
	ProxyAlone bool
	// PublicURL is the address under which browsers reach the server through a
	// reverse proxy, with the path below which it is served there. nil: there is no
	// proxy.
	PublicURL *url.URL
	// TrustedProxies are the addresses from which X-Forwarded-Host and
	// X-Forwarded-Proto are accepted; from others they are ignored.
	TrustedProxies []netip.Prefix
	// Support returns files for the support bundle that the caller alone can make: its
	// versions, its configuration without secrets, the end of its log. nil: none.
	Support func() map[string][]byte
	Tick    time.Duration // interval of the live stream's frames; 0: one second
	// Observe serves /livez, /readyz and /metrics; nil: they are not served here. With
	// accounts, others than programs of this machine need a permission for /metrics,
	// and get only the status of the others.
	Observe http.Handler
}
