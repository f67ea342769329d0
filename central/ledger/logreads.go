package ledger

import "github.com/carga-ev/carga/internal/charge"

// LogReads relates presences to how far the log of records has been read, for
// Env.LogRead. Presences that name another first record than the one before are
// numbered in the order in which they are applied. When a record has to wait,
// Central reads every partition to the end that it has by then, and reports the
// number of the last presence before: one such read covers all charging points that
// wait.
//
// A record that was read before its predecessor was dropped. Such a read goes back
// for it: the log may be its only copy. Each partition that the topic got may need
// one more read, since it too may be read in the wrong order; a read that applied
// nothing is the last. It is not safe for concurrent use.
type LogReads struct {
	last     uint64                 // number of the latest presence
	presence map[charge.CPID]uint64 // number of the latest presence of a charging point; absent: that of earlier runs
	asked    uint64                 // the highest number for which a read was requested
	read     uint64                 // the log is read to what it was at this presence
	// dropped is the first record of each partition that was dropped and not asked
	// for again: bounded by the partitions for each charging point.
	dropped map[charge.CPID]map[int]int64
	// goingBack has the charging points for whose dropped records a read was
	// requested, and whether a record of theirs was applied since.
	goingBack map[charge.CPID]bool
}

// LogRead is a request to read the log of records: each partition to its end, from
// where its reader is, or from the offset in From if that is before.
type LogRead struct {
	N    uint64        // to be passed to LogReads.Read
	From map[int]int64 // by partition; nil: nowhere is gone back
}

// Merge returns the request that does both.
func (r LogRead) Merge(other LogRead) LogRead {
	m := LogRead{N: max(r.N, other.N), From: map[int]int64{}}
	for _, from := range []map[int]int64{r.From, other.From} {
		for p, at := range from {
			if was, ok := m.From[p]; !ok || at < was {
				m.From[p] = at
			}
		}
	}
	return m
}

// earlierRuns is the number of all presences before this run of Central.
const earlierRuns = 1

// NewLogReads returns the state of a run that has read nothing.
func NewLogReads() LogReads {
	return LogReads{
		last: earlierRuns, presence: map[charge.CPID]uint64{}, dropped: map[charge.CPID]map[int]int64{}, goingBack: map[charge.CPID]bool{},
	}
}

// PresenceApplied numbers a presence that names another first record than the one
// before.
func (l *LogReads) PresenceApplied(cp charge.CPID) { l.renumber(cp) }

func (l *LogReads) renumber(cp charge.CPID) {
	l.last++
	l.presence[cp] = l.last
}

func (l *LogReads) number(cp charge.CPID) uint64 { return max(earlierRuns, l.presence[cp]) }

// RecordRead reports the outcome for a record of cp that was at an offset of a
// partition.
func (l *LogReads) RecordRead(cp charge.CPID, out *Outcome, partition int, offset int64) {
	switch {
	case out.Verdict == Applied:
		if _, ok := l.goingBack[cp]; ok {
			l.goingBack[cp] = true
		}
	case out.Verdict == OutOfOrder && !out.AwaitsLog: // the agent holds what awaits the log
		at := l.dropped[cp]
		if at == nil {
			at = map[int]int64{}
			l.dropped[cp] = at
		}
		if first, ok := at[partition]; !ok || offset < first {
			at[partition] = offset
		}
	}
}

// Covers reports whether the log was read after the latest presence of cp.
func (l *LogReads) Covers(cp charge.CPID) bool { return l.number(cp) <= l.read }

// Request asks for a read that covers cp. Read is called with its number when every
// partition has been read to the end that it has after this call; ok is false if
// such a read was requested already.
func (l *LogReads) Request(cp charge.CPID) (r LogRead, ok bool) {
	_, under := l.goingBack[cp]
	from := l.dropped[cp]
	if len(from) > 0 && !under {
		l.renumber(cp) // a read that is under way does not go back for it
	} else {
		from = nil
	}
	if l.number(cp) <= l.asked {
		return LogRead{N: l.asked}, false
	}
	if from != nil {
		delete(l.dropped, cp)
		l.goingBack[cp] = false
	}
	l.asked = l.last
	return LogRead{l.asked, from}, true
}

// Read reports that the log was read for the request with number n. Where that
// applied records and dropped others, the charging point is not covered: what was
// dropped may have its predecessor now.
func (l *LogReads) Read(n uint64) {
	l.read = max(l.read, n)
	for cp, applied := range l.goingBack {
		if l.number(cp) > l.read {
			continue
		}
		delete(l.goingBack, cp)
		if applied && len(l.dropped[cp]) > 0 {
			l.renumber(cp)
		}
	}
}
