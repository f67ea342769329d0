package ledger

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// TicketID is the id of a session's ticket.
func TicketID(id charge.SessionID) string { return "t." + string(id) }

// MakeTicket prices a session: a pure function of what its records say and of
// the tariff. Neither Central's clock nor the order of arrival enters.
func MakeTicket(s *Session, t Tariff) Ticket {
	return Ticket{
		ID: TicketID(s.ID), SessionID: s.ID, CPID: s.CPID, Connector: s.Connector, Username: s.Username,
		ReservationID: s.ReservationID, Tariff: t.Version, Start: s.Start, Stop: s.Start + s.Energy(), Energy: s.Energy(),
		Cost: t.Cost(s.Energy(), s.Started), DurationSec: s.DurationMS() / 1000,
		Started: s.Started, AuthorizedAt: s.AuthorizedAt, EndedAt: s.EndedAt, Reason: s.Reason,
	}
}

// Diff says in words in what two tickets of a session differ; "" if in nothing.
func (t *Ticket) Diff(o *Ticket) string {
	var words []string
	for _, f := range []struct {
		name string
		a, b any
	}{
		{"energy in Wh", int64(t.Energy), int64(o.Energy)},
		{"cost", t.Cost, o.Cost},
		{"duration in s", t.DurationSec, o.DurationSec},
		{"register at the start", int64(t.Start), int64(o.Start)},
		{"register at the end", int64(t.Stop), int64(o.Stop)},
		{"driver", t.Username, o.Username},
		{"reason", t.Reason, o.Reason},
		{"charging started", t.Started, o.Started},
		{"granted at", t.AuthorizedAt, o.AuthorizedAt},
		{"ended at", t.EndedAt, o.EndedAt},
		{"reservation", t.ReservationID, o.ReservationID},
		{"tariff", t.Tariff, o.Tariff},
		{"charging point", t.CPID, o.CPID},
		{"connector", t.Connector, o.Connector},
		{"session", t.SessionID, o.SessionID},
		{"settled at", t.SettledAt, o.SettledAt},
		{"corrected ticket", t.Corrects, o.Corrects},
		{"id", t.ID, o.ID},
	} {
		if f.a != f.b {
			words = append(words, fmt.Sprintf("%s %v instead of %v", f.name, f.a, f.b))
		}
	}
	return strings.Join(words, ", ")
}

// Cost is the start fee, if charging started, plus the energy at the price per
// kWh, rounded once, half up, to the minor unit of the currency.
func (t Tariff) Cost(e charge.WattHours, started bool) money.Amount {
	// In Wh × price a minor unit is 1000 Wh of one minor unit per kWh.
	const unit = 1000 * uint64(money.MinorUnit)
	hi, lo := bits.Mul64(uint64(max(e, 0)), uint64(max(t.PerKWh, 0)))
	add := func(h, l uint64) {
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi += h + carry
	}
	if started {
		add(bits.Mul64(uint64(max(t.StartFee, 0)), 1000))
	}
	add(0, unit/2)
	sum := uint64(math.MaxInt64)
	if hi < unit {
		sum, _ = bits.Div64(hi, lo, unit)
	}
	return money.Amount{Minor: money.Minor(min(sum, math.MaxInt64)), Currency: t.Currency}
}

// DurationMS is the time from the first to the last record of the session, by
// the agent's monotonic clock: summed over boots, whose pauses do not count.
func (s *Session) DurationMS() int64 {
	var sum int64
	for _, sp := range s.Spans {
		sum += min(sp.LastMS-sp.FirstMS, math.MaxInt64-sum)
	}
	return sum
}
