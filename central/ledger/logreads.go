package ledger

import "github.com/carga-ev/carga/internal/charge"

// LogReads relates presences to how far the log of records has been read, for
// Env.LogRead. Presences that name another first record than the one before are
// numbered in the order in which they are applied. When a record has to wait,
// Central reads every partition to the end that it has by then, and reports the
// number of the last presence before: one such read covers all charging points that
// wait. It is not safe for concurrent use.
type LogReads struct {
	last     uint64                 // number of the latest presence
	presence map[charge.CPID]uint64 // number of the latest presence of a charging point; absent: that of earlier runs
	asked    uint64                 // the highest number for which a read was requested
	read     uint64                 // the log is read to what it was at this presence
}

// earlierRuns is the number of all presences before this run of Central.
const earlierRuns = 1

// NewLogReads returns the state of a run that has read nothing.
func NewLogReads() LogReads {
	return LogReads{last: earlierRuns, presence: map[charge.CPID]uint64{}}
}

// PresenceApplied numbers a presence that names another first record than the one
// before.
func (l *LogReads) PresenceApplied(cp charge.CPID) {
	l.last++
	l.presence[cp] = l.last
}

func (l *LogReads) number(cp charge.CPID) uint64 { return max(earlierRuns, l.presence[cp]) }

// Covers reports whether the log was read after the latest presence of cp.
func (l *LogReads) Covers(cp charge.CPID) bool { return l.number(cp) <= l.read }

// Request asks for a read that covers cp. It returns the number to pass to Read when
// every partition has been read to the end that it has after this call; ok is false
// if such a read was requested already.
func (l *LogReads) Request(cp charge.CPID) (n uint64, ok bool) {
	if l.number(cp) <= l.asked {
		return l.asked, false
	}
	l.asked = l.last
	return l.asked, true
}

// Read reports that the log was read for the number that Request returned.
func (l *LogReads) Read(n uint64) { l.read = max(l.read, n) }

// Wanted returns the highest number that was requested and not read; ok is false if
// there is none.
func (l *LogReads) Wanted() (n uint64, ok bool) { return l.asked, l.read < l.asked }
