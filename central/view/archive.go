package view

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/central/orders"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
	"github.com/carga-ev/carga/internal/reason"
	"github.com/carga-ev/carga/internal/wire"
)

// ErrGone means that the row Query.After does not exist or was deleted, so the
// place where the page begins is not known.
var ErrGone = errors.New("the row after which the page begins is gone")

// Query selects a page of a list, newest first. A zero field does not restrict.
type Query struct {
	CPID      charge.CPID
	Username  charge.Username
	Owner     charge.Username  // only items of this driver, whatever Username is; the caller's, if it is a driver
	State     string           // a state of the items; empty for lists whose items have none
	From, To  charge.Time      // From <= time of the item < To
	SessionID charge.SessionID // of tickets
	After     string           // the key of the last item of the page before; empty for the first page
	Limit     int              // default 100, at most 1000
	Now       charge.Time      // decides the state of reservations, which end by themselves

	By, Operation string // of the audit log
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
	Limit         charge.WattHours     `json:"limit_wh,omitempty"`
	LimitAmount   int64                `json:"limit_amount,omitempty"` // of the cost, in minor units of the tariff's currency
	LimitCost     string               `json:"limit_cost,omitempty"`   // the same as a decimal in the main unit of Currency
	Currency      money.Currency       `json:"currency,omitempty"`     // of LimitCost
	// Clock is what is to be known of these times. "corrected": the clock of the
	// charging point was wrong or unsure, and the times are computed from a later
	// synchronised one; "set": they are of a clock that was set once and never
	// synchronised; "unset": of one that was never set, so they are absent. No note: the
	// clock was synchronised.
	Clock ledger.ClockNote `json:"clock,omitempty"`
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
	Currency    money.Currency       `json:"currency"`
	DurationSec int64                `json:"duration_sec"`
	Reason      charge.StopReason    `json:"reason"`
	Tariff      charge.TariffVersion `json:"tariff"`
	StoppedAt   charge.Time          `json:"stopped_at,omitzero"` // of a settled session: when it was settled
	Settled     bool                 `json:"settled"`             // by an operator, up to the last register known then
	// Adopted: Central was restored from a backup, and this is the ticket that it had
	// published before. The records of the session that it has now state another bill, or
	// some of them are missing.
	Adopted  bool   `json:"adopted"`
	Corrects string `json:"corrects,omitempty"` // ticket_id of the settled session's ticket; this one holds the difference
	// Lines add up to Cost. They are absent if it is nothing, and on tickets of earlier
	// versions whose tariff is not known.
	Lines      []Line `json:"lines,omitempty"`
	Tax        string `json:"tax,omitempty"`         // in Cost
	TaxPercent string `json:"tax_percent,omitempty"` // of the price without tax
	// Clock is what is to be known of StoppedAt and of the times of the session: see
	// Session.
	Clock ledger.ClockNote `json:"clock,omitempty"`
}

// Period is the length of the periods of a summary, in UTC.
type Period string

// The periods.
const (
	PeriodDay   Period = "day"
	PeriodMonth Period = "month"
	PeriodYear  Period = "year"
	PeriodAll   Period = "all"
)

// TicketSummary has totals of tickets, newest period first. Amounts of two
// currencies are never added.
type TicketSummary struct {
	Items []TicketTotal `json:"items" nullable:"false"`
}

// TicketTotal is the sum of the tickets of a period in one currency, corrections
// included.
type TicketTotal struct {
	Period   string           `json:"period,omitempty"` // "2026-11-30", "2026-11", "2026"; absent for all
	Currency money.Currency   `json:"currency"`
	Tickets  int64            `json:"tickets"` // without corrections
	Energy   charge.WattHours `json:"energy_wh"`
	Cost     string           `json:"cost"` // decimal in the main unit
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
	// NotStarted is why the session that was to start by it did not, as its START ended;
	// absent while one may start. Lists leave it out.
	NotStarted string `json:"not_started,omitempty"`
}

// Command is one command to a charging point, with the times of its states. A time
// is absent if the command was never in that state.
//
// The states in order: "written" in the database, "sent" to Kafka, "accepted" by
// the charging point, and one of the final states: "done" or "failed" after it was
// accepted, "rejected" by the charging point, "superseded" by a later command,
// "expired" at ExpiresAt without an answer.
type Command struct {
	ID         charge.CommandID    `json:"command_id"`
	CPID       charge.CPID         `json:"cp_id"`
	Connector  charge.ConnectorID  `json:"connector"`
	Type       wire.CommandType    `json:"type"`
	State      orders.CommandState `json:"state"`
	Reason     string              `json:"reason,omitempty"`
	WrittenAt  charge.Time         `json:"written_at"`
	SentAt     charge.Time         `json:"sent_at,omitzero"`
	AcceptedAt charge.Time         `json:"accepted_at,omitzero"`
	EndedAt    charge.Time         `json:"ended_at,omitzero"`
	ExpiresAt  charge.Time         `json:"expires_at"`
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
}

// Key identifies the record in a cursor.
func (r *Record) Key() string { return fmt.Sprintf("%s/%s/%d", r.CPID, r.Journal, r.Seq) }

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
	Last        charge.Seq       `json:"last"` // 0: the end of the journal, which is not known
	Cause       ledger.GapCause  `json:"cause"`
	Detail      string           `json:"detail"`         // for operators, with the note of Orders.Explain
	Why         reason.Reason    `json:"why"`            // Detail for programs; its note is that of Orders.Explain
	Missing     []Range          `json:"missing"`        // without the records that came late
	Unaccounted charge.WattHours `json:"unaccounted_wh"` // measured between the registers before and after the gap
	At          charge.Time      `json:"at"`             // when it was detected
	Filled      bool             `json:"filled"`         // all of its records came late
}

// DeadLetter is a message on Kafka that Central could not use. Kind is its header
// of that name. Kept is whether Central has its bytes, so that it can be replayed.
type DeadLetter struct {
	ID         int64         `json:"dead_letter_id"`
	Topic      string        `json:"topic"`
	Partition  int           `json:"partition"`
	Offset     int64         `json:"offset"`
	Key        string        `json:"key"`
	Kind       string        `json:"kind,omitempty"`
	Reason     string        `json:"reason"`
	Why        reason.Reason `json:"why"` // Reason for programs
	At         charge.Time   `json:"at"`
	ReceivedAt charge.Time   `json:"received_at,omitzero"` // by the bridge, or by Kafka
	Size       int           `json:"size"`                 // of its value, in bytes
	Body       string        `json:"body,omitempty"`       // the beginning of its value, as text
	Kept       bool          `json:"kept"`
	Replays    int64         `json:"replays"`
	ReplayedAt charge.Time   `json:"replayed_at,omitzero"` // last
}

// BridgeDeadLetter is a message that a bridge could not pass on.
type BridgeDeadLetter struct {
	Topic      string        `json:"topic"` // on which it came: of MQTT, or of Kafka
	Key        string        `json:"key,omitempty"`
	Reason     string        `json:"reason"`
	Why        reason.Reason `json:"why"` // Reason for programs
	ReceivedAt charge.Time   `json:"received_at"`
	Size       int           `json:"size"`      // of its value, in bytes; at most 60 KiB are kept on Kafka
	Body       string        `json:"body"`      // the beginning of its value, as text
	Partition  int           `json:"partition"` // where it is kept, on the topic of dead letters
	Offset     int64         `json:"offset"`
}

// The states of a dead letter.
const (
	DeadLetterOpen     = "open"     // never replayed
	DeadLetterReplayed = "replayed" // once or more
)

// Preview shows the beginning of bytes that may be anything: what is no text is
// written as a question mark.
func Preview(b []byte, most int) string {
	text := strings.ToValidUTF8(string(b[:min(len(b), most)]), "?")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}

// The states that differ from those of package ledger.
const (
	SessionClosed = "closed" // ledger.SessionEnded
	GapOpen       = "open"   // records are missing
	GapFilled     = "filled" // all of its records came late
	AlarmOpen     = "open"
	AlarmCleared  = "cleared"
)

// The states of a reservation. They are not stored: they follow from the row and
// the moment.
const (
	ReservationPending = "pending" // not yet confirmed by the charging point
	ReservationActive  = "active"  // confirmed
	ReservationUsed    = "used"    // by a session
	ReservationEnded   = "ended"   // expired, cancelled or refused
)

// SessionOf shows a session.
func SessionOf(v *ledger.Session) Session {
	state := string(v.State)
	if v.State == ledger.SessionEnded {
		state = SessionClosed
	}
	return Session{
		ID: v.ID, CPID: v.CPID, Connector: v.Connector, Username: v.Username, ReservationID: v.ReservationID, State: state,
		Reason: v.Reason, Start: v.Start, Last: v.Register, AuthorizedAt: v.AuthorizedAt, StartedAt: v.StartedAt, StoppedAt: v.EndedAt,
		Settled: v.Settled, Limit: v.Limit.Energy, LimitAmount: v.Limit.Amount,
	}
}

// ShowLimit adds the limit of the cost in the currency of the prices of the session.
func (s *Session) ShowLimit(c money.Currency) {
	if s.LimitAmount != 0 {
		s.LimitCost, s.Currency = money.Amount{Minor: money.Minor(s.LimitAmount), Currency: c}.Decimal(), c
	}
}

// TicketOf shows a ticket. A settled ticket ends when the operator settled it, if
// its charging point never reported the end.
func TicketOf(t *ledger.Ticket) Ticket {
	return Ticket{
		ID: t.ID, SessionID: t.SessionID, CPID: t.CPID, Connector: t.Connector, Username: t.Username, Energy: t.Energy,
		Cost: t.Cost.Decimal(), Currency: t.Cost.Currency, DurationSec: t.DurationSec, Reason: t.Reason, Tariff: t.Tariff,
		StoppedAt: cmp.Or(t.EndedAt, t.SettledAt), Settled: t.SettledAt != 0, Adopted: t.Adopted, Corrects: t.Corrects,
	}
}

// ReservationOf shows a reservation at the moment now.
func ReservationOf(r *orders.Reservation, now charge.Time) Reservation {
	state := ReservationActive
	switch {
	case r.Reason == orders.EndUsed:
		state = ReservationUsed
	case !r.Active(now):
		state = ReservationEnded
	case r.ConfirmedAt == 0:
		state = ReservationPending
	}
	return Reservation{
		ID: r.ID, CPID: r.CPID, Connector: r.Connector, Username: r.Username, State: state, Reason: r.Reason, MadeAt: r.MadeAt, ExpiresAt: r.Until,
	}
}

// CommandOf shows a command without the times that are in the database alone.
func CommandOf(c *orders.Command) Command {
	return Command{
		ID: c.ID, CPID: c.CPID, Connector: c.Connector, Type: c.Type, State: c.State, Reason: c.Reason, WrittenAt: c.IssuedAt, ExpiresAt: c.ExpiresAt,
	}
}

// RecordOf shows the bytes of a record.
func RecordOf(cp charge.CPID, j charge.JournalID, seq charge.Seq, receivedAt charge.Time, raw []byte) Record {
	r := Record{CPID: cp, Journal: j, Seq: seq, ReceivedAt: receivedAt, Body: string(raw)}
	var head struct {
		Type string      `json:"type"`
		At   charge.Time `json:"at"`
	}
	if json.Unmarshal(raw, &head) == nil { // it was valid when it was applied
		r.Type, r.At = head.Type, head.At
	}
	return r
}

// GapOf shows the gap with the number n. It is filled when nothing is missing in
// it any more, because records came after all.
func GapOf(n int64, g *ledger.Gap) Gap {
	missing := make([]Range, 0, len(g.Missing))
	for _, r := range g.Missing {
		missing = append(missing, Range(r))
	}
	return Gap{
		ID: n, CPID: g.CPID, Journal: g.Journal, First: g.First, Last: g.Last, Cause: g.Cause, Detail: g.Detail, Why: g.Why.Or(g.Detail), Missing: missing,
		Unaccounted: g.Energy, At: g.DetectedAt, Filled: len(g.Missing) == 0,
	}
}
