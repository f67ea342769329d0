package ingest

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// logReads passes requests of ledger.LogReads to package app, which reads the log. It
// belongs to the writer's goroutine, apart from wanted.
type logReads struct {
	ledger.LogReads
	// wanted has the highest number that is requested and not taken; capacity 1.
	wanted chan uint64
}

func newLogReads() logReads {
	return logReads{LogReads: ledger.NewLogReads(), wanted: make(chan uint64, 1)}
}

// request asks for a read that covers cp, unless one is under way.
func (l *logReads) request(cp charge.CPID) {
	n, ok := l.Request(cp)
	if !ok {
		return
	}
	select {
	case <-l.wanted: // replaced by the higher number
	default:
	}
	l.wanted <- n
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

func (in logReadIn) apply(u *unit) { u.w.logReads.Read(uint64(in)) }
