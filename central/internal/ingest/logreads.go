package ingest

import (
	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
)

// logReads passes requests of ledger.LogReads to package app, which reads the log. It
// belongs to the writer's goroutine, apart from wanted.
type logReads struct {
	ledger.LogReads
	// wanted has what is requested and not taken; capacity 1.
	wanted chan ledger.LogRead
}

func newLogReads() logReads {
	return logReads{LogReads: ledger.NewLogReads(), wanted: make(chan ledger.LogRead, 1)}
}

// request asks for a read that covers cp, unless one is under way.
func (l *logReads) request(cp charge.CPID) {
	want, ok := l.Request(cp)
	if !ok {
		return
	}
	select {
	case other := <-l.wanted:
		want = want.Merge(other)
	default:
	}
	l.wanted <- want
}

// LogWanted has a request each time the log of records is to be read to its end. The
// owner then passes its number to LogRead. One goroutine may receive from it.
func (w *Writer) LogWanted() <-chan ledger.LogRead { return w.logReads.wanted }

// LogRead reports that Submit has returned for every record that any partition of the
// log held after the request with number n was received from LogWanted, from the
// offsets that it names. It does not block.
func (w *Writer) LogRead(n uint64) { w.enqueue(logReadIn(n)) }

// logReadIn is LogRead. Submit returns when Run has received its batch, so those
// records were applied before it, or are before it in the same unit.
type logReadIn uint64

func (in logReadIn) apply(u *unit) { u.w.logReads.Read(uint64(in)) }
