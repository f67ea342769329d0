package world

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// requestLogRead reads every partition of records to the end that it has now, unless
// that is under way already.
func (r *centralRun) requestLogRead(cp charge.CPID) {
	if _, ok := r.logReads.Request(cp); ok && !r.readingLog {
		r.readingLog = true
		r.readLog()
	}
}

// readLog asks Kafka for the ends and waits until the readers are there; then all
// presences before count as covered.
func (r *centralRun) readLog() {
	n, _ := r.logReads.Wanted()
	ends := map[partition]int64{}
	retry := func() { r.after(time.Second, "read log again", r.readLog) }
	r.central.line.call("list ends", func() bool {
		for p := range r.w.kafka.partitions {
			at := partition{wire.TopicEvents, p}
			ends[at] = r.w.kafka.log(at).end()
		}
		return true
	}, func(ok bool) {
		switch {
		case !r.alive():
		case !ok:
			retry()
		default:
			r.awaitEnds(n, ends, r.w.now+10*time.Second, retry)
		}
	})
}

// awaitEnds polls the readers until each is at its end, or gives up at the deadline.
func (r *centralRun) awaitEnds(n uint64, ends map[partition]int64, deadline time.Duration, retry func()) {
	missing := len(ends)
	for _, x := range r.readers {
		if end, of := ends[x.partition]; of && x.positioned && x.cursor.next >= end {
			missing--
		}
	}
	switch {
	case missing <= 0:
		r.submit(logReadInput(n))
	case r.w.now >= deadline:
		retry()
	default:
		r.after(100*time.Millisecond, "read log", func() { r.awaitEnds(n, ends, deadline, retry) })
	}
}

// logReadInput reports that the log was read to where it was at presence n.
type logReadInput uint64

func (in logReadInput) apply(u *unit) {
	u.inputs = append(u.inputs, in)
	r := u.run
	if r.logReads.Read(uint64(in)); !r.readingLog {
		return
	}
	if _, more := r.logReads.Wanted(); more {
		r.readLog()
	} else {
		r.readingLog = false
	}
}
