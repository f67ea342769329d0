package ledger

import (
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/money"
)

// TicketID is the id of a session's ticket. It derives from the session, so that
// a rebuilt database has the same tickets.
func TicketID(id charge.SessionID) string { return "t." + string(id) }

// MakeTicket prices a session. The ticket depends on the session's records and the
// tariff alone, not on Central's clock nor on the order of arrival.
func MakeTicket(s *Session, t Tariff) Ticket {
	return Ticket{
		ID: TicketID(s.ID), SessionID: s.ID, CPID: s.CPID, Connector: s.Connector, Username: s.Username,
		ReservationID: s.ReservationID, Tariff: t.Version, Start: s.Start, Stop: s.Start + s.Energy(), Energy: s.Energy(),
		Cost: t.Cost(s.Energy(), s.Started), DurationSec: s.DurationMS() / 1000,
		Started: s.Started, AuthorizedAt: s.AuthorizedAt, EndedAt: s.EndedAt, Reason: s.Reason,
	}
}

// Diff lists for an operator in what t differs from o; "" if in nothing.
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
	// The sum is exact in 128 bits, in Wh × price. One minor unit is 1000 Wh at one
	// minor unit per kWh. A cost beyond int64 becomes the largest int64.
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

// DurationMS is the time from the first to the last record of the session in each
// boot, by the agent's monotonic clock, summed over the boots. The pauses between
// boots do not count.
func (s *Session) DurationMS() int64 {
	var sum int64
	for _, sp := range s.Spans {
		sum += min(sp.LastMS-sp.FirstMS, math.MaxInt64-sum)
	}
	return sum
}
