package ledger

import (
	"math"
	"math/bits"

	"github.com/carga-ev/carga/internal/charge"
)

// TicketID is the id of a session's ticket.
func TicketID(id charge.SessionID) string { return "t." + string(id) }

// MakeTicket prices a session: a pure function of what its records say and of
// the tariff. Neither Central's clock nor the order of arrival enters.
func MakeTicket(s *Session, t Tariff) Ticket {
	return Ticket{
		ID: TicketID(s.ID), SessionID: s.ID, CPID: s.CPID, Connector: s.Connector, Username: s.Username,
		ReservationID: s.ReservationID, Tariff: t.Version, Start: s.Start, Stop: s.Start + s.Energy(), Energy: s.Energy(),
		Cost: t.Cost(s.Energy(), s.Started), Currency: t.Currency, DurationSec: s.DurationMS() / 1000,
		Started: s.Started, AuthorizedAt: s.AuthorizedAt, EndedAt: s.EndedAt, Reason: s.Reason,
	}
}

// Cost is the start fee, if charging started, and the energy at the price per
// kWh, rounded half up to whole cents.
func (t Tariff) Cost(e charge.WattHours, started bool) charge.Cents {
	hi, lo := bits.Mul64(uint64(max(e, 0)), uint64(max(t.PerKWh, 0)))
	lo, carry := bits.Add64(lo, 500, 0)
	hi += carry
	sum := uint64(math.MaxInt64)
	if hi < 1000 {
		sum, _ = bits.Div64(hi, lo, 1000)
	}
	if started {
		sum, carry = bits.Add64(sum, uint64(max(t.StartFee, 0)), 0)
		if carry != 0 {
			sum = math.MaxInt64
		}
	}
	return charge.Cents(min(sum, math.MaxInt64))
}

// DurationMS is the time from the first to the last record of the session, by
// the agent's monotonic clock: summed over boots, whose pauses do not count.
func (s *Session) DurationMS() int64 {
	var sum int64
	for _, sp := range s.Spans {
		sum += sp.LastMS - sp.FirstMS
	}
	return sum
}
