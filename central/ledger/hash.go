package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Hash is one value over the accounts of charging points: journal positions,
// meters, sessions and tickets. It does not depend on the order in which
// records came, nor on Central's clock, so a rebuilt or restored Central has
// the same one. Sessions and tickets are all there are of these charging
// points, ended or not, in any order.
func Hash(cps []*CP, sessions []Session, tickets []Ticket) string {
	var lines []string
	for _, cp := range cps {
		for _, j := range cp.Journals {
			lines = append(lines, fmt.Sprintf("journal %s %s %d %s", cp.ID, j.ID, j.Last, j.Hash))
		}
		for _, m := range cp.Meters {
			lines = append(lines, fmt.Sprintf("meter %s %d %d %d", cp.ID, m.Connector, m.Carried+m.Last-m.First, m.Billed))
		}
		for _, h := range cp.Holes {
			if len(h.Missing) > 0 {
				lines = append(lines, fmt.Sprintf("hole %s %s %v", cp.ID, h.Journal, h.Missing))
			}
		}
	}
	for i := range sessions {
		s := sessions[i]
		if s.State == SessionEnded { // its ticket says the rest, and that alone never changes
			lines = append(lines, fmt.Sprintf("session %s %s ended", s.CPID, s.ID))
			continue
		}
		s.HeardAt = 0
		s.Spans = slices.SortedFunc(slices.Values(s.Spans), func(a, b Span) int { return cmp.Compare(a.Journal, b.Journal) })
		lines = append(lines, fmt.Sprintf("session %+v", s))
	}
	for i := range tickets {
		lines = append(lines, fmt.Sprintf("ticket %+v", tickets[i]))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
