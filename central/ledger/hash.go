package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carga-ev/carga/internal/charge"
)

// Hash returns one value over the accounts of charging points: journal positions,
// gaps, meters, sessions and tickets. Two ledgers with the same hash bill the same
// and know the same records. sessions and tickets must be all of these charging
// points, ended or not, in any order.
//
// The hash depends on the content of the records alone: not on the order or
// number of their deliveries, on Central's clock or epoch, or on the database.
// Nothing in it is numbered by Central: the id of a ticket derives from that of
// its session. So a restored or rebuilt Central that holds the same records has
// the same hash. Left out is what records do not decide (first contact,
// admission, alarms, raw bytes, commands and reservations) and why records are
// missing: only which ones are.
func Hash(cps []*CP, sessions []Session, tickets []Ticket) string {
	ss := map[charge.CPID][]Session{}
	for i := range sessions {
		ss[sessions[i].CPID] = append(ss[sessions[i].CPID], sessions[i])
	}
	ts := map[charge.CPID][]Ticket{}
	for i := range tickets {
		ts[tickets[i].CPID] = append(ts[tickets[i].CPID], tickets[i])
	}
	points := make(map[charge.CPID]string, len(cps))
	for _, cp := range cps {
		points[cp.ID] = HashPoint(cp, ss[cp.ID], ts[cp.ID])
	}
	return HashNetwork(points)
}

// HashNetwork returns the Hash of a network whose charging points have these
// hashes, so that a caller can load one charging point at a time. Those with the
// hash "" are left out.
func HashNetwork(points map[charge.CPID]string) string {
	lines := make([]string, 0, len(points))
	for id, h := range points {
		if h != "" {
			lines = append(lines, string(id)+" "+h)
		}
	}
	return digest(lines)
}

// HashPoint returns the hash of one charging point with all its sessions and
// tickets; "" when no record and no energy of it is known.
func HashPoint(cp *CP, sessions []Session, tickets []Ticket) string {
	if lines := AccountLines(cp, sessions, tickets); len(lines) > 0 {
		return digest(lines)
	}
	return ""
}

// GapLine is the kind of the lines about missing records in AccountLines. It is
// the word that earlier versions hashed.
const GapLine = "hole"

// AccountLines returns the sorted lines that HashPoint hashes, so that a
// difference between two ledgers can be shown. The first word of a line is its
// kind.
//
// The lines are a format: all versions of Central compute the same hash for the
// same records.
func AccountLines(cp *CP, sessions []Session, tickets []Ticket) []string {
	missing := missingRanges(cp)
	lines := make([]string, 0, len(cp.Journals)+len(cp.Meters)+len(sessions)+len(tickets))
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for id, j := range cp.Journals {
		hash := j.Hash
		if containsSeq(missing[id], j.Last) {
			hash = "missing" // its hash may be known or not, depending on how it was passed
		}
		if j.Last > 0 {
			add("journal %s last %d hash %s", id, j.Last, hash)
		}
	}
	for id, ranges := range missing {
		for _, r := range ranges {
			add("%s %s first %d last %d", GapLine, id, r.First, r.Last)
		}
	}
	for id, m := range cp.Meters {
		if m.Known || m.Billed != 0 {
			add("meter %d metered %d billed %d", id, m.Carried+m.Last-m.First, m.Billed)
		}
	}
	for i := range sessions {
		lines = append(lines, sessionLine(&sessions[i]))
	}
	for i := range tickets {
		t := &tickets[i]
		corrects := "" // the lines of a ticket without it, and without idle time, are as they always were
		if t.IdleSec != 0 {
			corrects = fmt.Sprintf(" idle %d", t.IdleSec)
		}
		if t.Corrects != "" {
			corrects += " corrects " + t.Corrects
		}
		add("ticket %s session %s connector %d user %q reservation %s tariff %s start %d stop %d energy %d cost %d %s seconds %d started %t authorized %d ended %d reason %s%s",
			t.ID, t.SessionID, t.Connector, t.Username, t.ReservationID, t.Tariff, t.Start, t.Stop, t.Energy, t.Cost.Minor, t.Cost.Currency,
			t.DurationSec, t.Started, int64(t.AuthorizedAt), int64(t.EndedAt), t.Reason, corrects)
	}
	slices.Sort(lines)
	return lines
}

// sessionLine is the line of a session. For an ended one the line of its ticket
// has the rest, since only the ticket never changes.
func sessionLine(s *Session) string {
	if s.State == SessionEnded {
		return fmt.Sprintf("session %s ended", s.ID)
	}
	// The pauses of a session are left out: rows of earlier versions have none.
	type span struct {
		Journal         charge.JournalID
		FirstMS, LastMS int64
	}
	var spans []span
	for _, sp := range s.Spans {
		spans = append(spans, span{sp.Journal, sp.FirstMS, sp.LastMS})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.Journal, b.Journal) })
	return fmt.Sprintf("session %s %s connector %d user %q reservation %s tariff %s by %s start %d %t register %d started %t at %d %d reason %q spans %v",
		s.ID, s.State, s.Connector, s.Username, s.ReservationID, s.Tariff, s.By, s.Start, s.StartKnown, s.Register, s.Started,
		int64(s.AuthorizedAt), int64(s.StartedAt), s.Reason, spans)
}

// missingRanges joins what the gaps of each journal miss into ranges that neither
// touch nor overlap.
func missingRanges(cp *CP) map[charge.JournalID][]Range {
	all := map[charge.JournalID][]Range{}
	for _, g := range cp.Gaps {
		all[g.Journal] = append(all[g.Journal], g.Missing...)
	}
	maps.DeleteFunc(all, func(_ charge.JournalID, r []Range) bool { return len(r) == 0 })
	for id, ranges := range all {
		slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
		joined := ranges[:1]
		for _, r := range ranges[1:] {
			last := &joined[len(joined)-1]
			switch {
			case last.Last == 0 && last.First != 0: // to the end of the journal
			case r.First > last.Last+1 || last.First == 0:
				joined = append(joined, r)
			case r.Last == 0:
				last.Last = 0
			default:
				last.Last = max(last.Last, r.Last)
			}
		}
		all[id] = joined
	}
	return all
}

// containsSeq reports whether one of the ranges contains the record.
func containsSeq(missing []Range, seq charge.Seq) bool {
	return slices.ContainsFunc(missing, func(r Range) bool { return r.First <= seq && (seq <= r.Last || r.Last == 0) && r.First != 0 })
}

// digest hashes the lines in their sorted order.
func digest(lines []string) string {
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
