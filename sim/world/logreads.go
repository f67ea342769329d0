package world

import (
	"time"

	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// requestLogRead reads every partition of records to the end that it has now, and
// again what was dropped of the charging point. A read that is under way is finished
// first.
func (r *centralRun) requestLogRead(cp charge.CPID) {
	want, ok := r.logReads.Request(cp)
	if !ok {
		return
	}
	if r.logWanted != nil {
		want = r.logWanted.Merge(want)
	}
	if r.logWanted = &want; !r.readingLog {
		r.readLog()
	}
}

// readLog begins the read that is wanted, if any.
func (r *centralRun) readLog() {
	want := r.logWanted
	r.logWanted, r.readingLog = nil, want != nil
	if want == nil {
		return
	}
	for _, x := range r.readers {
		if from, of := want.From[x.partition.n]; of && x.partition.topic == wire.TopicEvents {
			x.goBack(from)
		}
	}
	r.readToEnds(want.N)
}

// readToEnds asks Kafka for the ends and waits until the readers are there; then all
// presences up to number n count as covered.
func (r *centralRun) readToEnds(n uint64) {
	ends := map[partition]int64{}
	retry := func() { r.after(time.Second, "read log again", func() { r.readToEnds(n) }) }
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
		if end, of := ends[x.partition]; of && x.positioned && x.back < 0 && x.cursor.next >= end {
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
	r.logReads.Read(uint64(in))
	r.readLog()
}
