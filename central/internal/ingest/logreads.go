package ingest

import "github.com/carga-ev/carga/internal/charge"

// logReads knows how far the log of records has been read, in relation to presences
// (see ledger.Env.LogRead). Presences that name another first record than the one
// before are numbered in the order in which they are applied. When a record has to
// wait, the writer requests a read barrier: package app reads every partition to the
// end that it has by then, and reports the number of the last presence before. One
// barrier serves all charging points that wait. It belongs to the writer's goroutine,
// apart from wanted.
type logReads struct {
	last     uint64                 // number of the latest presence; those of earlier runs have 1
	presence map[charge.CPID]uint64 // number of the latest presence of a charging point; absent: 1
	asked    uint64                 // the highest number for which a barrier was requested
	read     uint64                 // the log is read to what it was at this presence
	// wanted has the highest number that is requested and not taken; capacity 1.
	wanted chan uint64
}

func newLogReads() logReads {
	return logReads{last: 1, presence: map[charge.CPID]uint64{}, wanted: make(chan uint64, 1)}
}

// presenceApplied numbers a presence.
func (l *logReads) presenceApplied(cp charge.CPID) {
	l.last++
	l.presence[cp] = l.last
}

// number returns that of the latest presence of a charging point.
func (l *logReads) number(cp charge.CPID) uint64 { return max(1, l.presence[cp]) }

// covers reports whether the log was read after the latest presence of cp.
func (l *logReads) covers(cp charge.CPID) bool { return l.number(cp) <= l.read }

// request asks for a barrier that covers cp, unless one is under way.
func (l *logReads) request(cp charge.CPID) {
	if l.number(cp) <= l.asked {
		return
	}
	l.asked = l.last
	select {
	case <-l.wanted: // replaced by the higher number
	default:
	}
	l.wanted <- l.asked
}

// LogWanted has a number each time the log of records is to be read to its end. The
// owner then passes the number to LogRead. One goroutine may receive from it.
func (w *Writer) LogWanted() <-chan uint64 { return w.logReads.wanted }

// LogRead reports that Submit has returned for every record that any partition of the
// log held after n was received from LogWanted. It does not block.
func (w *Writer) LogRead(n uint64) { w.enqueue(logReadIn(n)) }

// logReadIn is LogRead. Submit returns when Run has received its batch, so those
// records were applied before it, or are before it in the same unit.
type logReadIn uint64

func (in logReadIn) apply(u *unit) { u.w.logReads.read = max(u.w.logReads.read, uint64(in)) }
