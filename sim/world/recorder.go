package world

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// appendJob is records that belong together.
type appendJob struct {
	connector charge.ConnectorID
	records   []connector.Record
	now       connector.Now
	done      func(error)
}

// enqueue asks for records to be made durable together, as the recorder of
// agent/app does.
func (b *boot) enqueue(n charge.ConnectorID, records []connector.Record, done func(error)) {
	b.queue = append(b.queue, appendJob{n, records, b.moment(), done})
	b.scheduleCommit()
}

func (b *boot) appendRecord(n charge.ConnectorID, p wire.Payload) {
	b.enqueue(n, []connector.Record{{Payload: p}}, nil)
}

// scheduleCommit lets the disk take its time.
func (b *boot) scheduleCommit() {
	if b.commitScheduled {
		return
	}
	b.commitScheduled = true
	takes := span{500 * time.Microsecond, 20 * time.Millisecond}
	if b.agent.disk.slow {
		takes = span{100 * time.Millisecond, 4 * time.Second}
	}
	b.after(b.rng.between(takes), "commit", b.commitQueue)
}

// class is the highest of its records, as agent/app classes them.
func (j *appendJob) class() (c journal.Class) {
	for _, r := range j.records {
		c = max(c, journal.ClassOf(r.Payload.RecordType()))
	}
	return c
}

// commitQueue commits what waits as one group. While there is no room samples are
// dropped, and the others wait until there is, or until one of them may use the
// reserve.
func (b *boot) commitQueue() {
	group := b.queue
	b.queue = nil
	class := journal.Sample
	for i := range group {
		class = max(class, group[i].class())
	}
	err := b.commit(group, class)
	if b.agent.run != b {
		return // it died of it
	}
	if errors.Is(err, journal.ErrFull) {
		b.retryWithoutSamples(group, class)
		return
	}
	b.commitScheduled, b.lacksSpace, b.retryWait = false, false, 0
	if b.blocked {
		b.setBlocked(false)
	}
	b.journalAppended()
	for _, j := range group {
		if j.done != nil {
			j.done(err)
		}
	}
	switch {
	case err != nil:
		b.after(10*time.Millisecond, "agent ends", func() { b.exit(err) })
	case len(b.queue) > 0:
		b.scheduleCommit()
	}
}

// retryWithoutSamples drops the samples and tries again in a while.
func (b *boot) retryWithoutSamples(group []appendJob, class journal.Class) {
	var rest []appendJob
	for _, j := range group {
		if j.class() > journal.Sample {
			rest = append(rest, j)
		} else if j.done != nil {
			j.done(nil)
		}
	}
	b.queue = append(rest, b.queue...)
	b.lacksSpace = len(b.queue) > 0
	b.reportSpace()
	if !b.blocked && class == journal.Final {
		b.setBlocked(true)
	}
	b.retryWait = min(max(2*b.retryWait, minSpaceRetry), maxSpaceRetry)
	b.after(b.retryWait, "commit again", b.commitQueue)
}

// setBlocked lets no power flow while nothing can be written down about it.
func (b *boot) setBlocked(blocked bool) {
	b.blocked = blocked
	if b.w.bug(BugFullDiskCharges) {
		return
	}
	for _, m := range b.machines {
		if blocked {
			m.handle(connector.FaultSeen{Now: b.moment(), Fault: charge.FaultJournal, Detail: "no room on the disk"})
		} else {
			m.handle(connector.FaultGone{Now: b.moment(), Fault: charge.FaultJournal})
		}
	}
}

// commit makes a group durable; after an error nothing of it is.
func (b *boot) commit(group []appendJob, class journal.Class) error {
	before := append([]connector.Saved(nil), b.saved...)
	var encoders []journal.Encode
	var written []encodedRecord
	for _, j := range group {
		for _, rec := range j.records {
			encoders = append(encoders, func(seq charge.Seq, prev string) ([]byte, error) {
				raw, m, err := b.encode(j, rec, seq, prev)
				if err == nil {
					written = append(written, encodedRecord{m, raw})
				}
				return raw, err
			})
		}
	}
	err := b.log.Append(class, encoders...)
	if b.agent.run != b {
		b.agent.truth.appendUncertain(b, written)
		return errStopped
	}
	if err != nil {
		b.saved = before
		b.agent.truth.appendUncertain(b, written)
		return err
	}
	b.agent.truth.appended(b, written)
	return nil
}

// encode fills in the envelope and folds the record into what a checkpoint
// holds.
func (b *boot) encode(j appendJob, rec connector.Record, seq charge.Seq, prev string) ([]byte, wire.Record, error) {
	m, err := wire.NewRecord(rec.Payload)
	if err != nil {
		return nil, m, err
	}
	m.CPID, m.Journal, m.Seq, m.Prev = b.agent.id, b.journal, seq, prev
	m.Connector, m.SessionID = j.connector, rec.Session
	m.At, m.Clock, m.UptimeMS = j.now.Wall, j.now.Clock, j.now.At.Milliseconds()
	raw, err := m.Encode()
	if err != nil {
		return nil, m, err
	}
	for i := range b.saved {
		b.saved[i] = connector.Replay(b.saved[i], m)
	}
	return raw, m, nil
}
