package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// TicketID is the id of a session's ticket. It derives from the session, so that
// a rebuilt database has the same tickets.
func TicketID(id charge.SessionID) string { return "t." + string(id) }

// MakeTicket prices a session. The ticket depends on the session's records and the
// tariff alone, not on Central's clock nor on the order of arrival.
func MakeTicket(s *Session, t Tariff) Ticket {
	k := Ticket{
		ID: TicketID(s.ID), SessionID: s.ID, CPID: s.CPID, Connector: s.Connector, Username: s.Username,
		ReservationID: s.ReservationID, Tariff: t.Version, Start: s.Start, Stop: s.Start + s.Energy(), Energy: s.Energy(),
		DurationSec: s.DurationMS() / 1000, Started: s.Started, AuthorizedAt: s.AuthorizedAt, EndedAt: s.EndedAt, Reason: s.Reason,
	}
	if t.PerIdleMinute != 0 {
		k.IdleSec = s.IdleMS() / 1000
	}
	k.Cost = t.Cost(k.Usage())
	return k
}

// Usage is what the ticket is priced by.
func (t *Ticket) Usage() Usage {
	return Usage{Energy: t.Energy, Seconds: t.DurationSec, IdleSec: t.IdleSec, Started: t.Started}
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
		{"idle time in s", t.IdleSec, o.IdleSec},
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
		{"settled after", t.SettledAfter, o.SettledAfter},
		{"corrected ticket", t.Corrects, o.Corrects},
		{"adopted", t.Adopted, o.Adopted},
		{"id", t.ID, o.ID},
	} {
		if f.a != f.b {
			words = append(words, fmt.Sprintf("%s %v instead of %v", f.name, f.a, f.b))
		}
	}
	return strings.Join(words, ", ")
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

// IdleMS is the time from the last pause by the vehicle to the stop, if no record in
// between shows that it charged or that the charging point paused; all in the boot
// of the stop. It is 0 while the stop is not known, and if the boot began after the
// pause: what is not in the records is not billed.
func (s *Session) IdleMS() int64 {
	for i := range s.Spans {
		if sp := &s.Spans[i]; sp.StopMS != 0 {
			return sp.idleUntil(sp.StopMS)
		}
	}
	return 0
}

// Usage is what the session would be priced by if it had been stopped at its last
// record.
func (s *Session) Usage() Usage {
	u := Usage{Energy: s.Energy(), Seconds: s.DurationMS() / 1000, Started: s.Started}
	switch n := len(s.Spans); {
	case s.State == SessionEnded:
		u.IdleSec = s.IdleMS() / 1000
	case n > 0:
		u.IdleSec = s.Spans[n-1].idleUntil(s.Spans[n-1].LastMS) / 1000
	}
	return u
}

// UsageAt is what an open session is priced by when its charging point shows a
// register at an uptime of a boot, later than the last record.
func (s *Session) UsageAt(boot charge.JournalID, uptimeMS int64, register charge.WattHours) Usage {
	now := *s
	now.Register = max(s.Register, register)
	now.Spans = slices.Clone(s.Spans)
	if n := len(now.Spans); n > 0 && now.Spans[n-1].Journal == boot {
		now.Spans[n-1].LastMS = max(now.Spans[n-1].LastMS, uptimeMS)
	}
	return now.Usage()
}

func (sp *Span) idleUntil(end int64) int64 {
	if sp.PausedMS <= sp.ActiveMS {
		return 0
	}
	return max(0, end-sp.PausedMS)
}
