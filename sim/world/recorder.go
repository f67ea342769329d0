package world

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// appendJob is records that become durable together or not at all: those of one
// Append effect of a connector.
type appendJob struct {
	connector charge.ConnectorID // 0: of the whole charging point
	records   []connector.Record
	// Of the event that caused them: their timestamps.
	now  connector.Now
	done func(error) // called after the commit; may be nil
}

// enqueue queues records for the next group commit, as the recorder of agent/app
// does. done is called when they are durable, or with the error of the commit.
func (b *boot) enqueue(n charge.ConnectorID, records []connector.Record, done func(error)) {
	b.queue = append(b.queue, appendJob{n, records, b.moment(), done})
	b.scheduleCommit()
}

// appendRecord queues one record about which no machine waits.
func (b *boot) appendRecord(n charge.ConnectorID, p wire.Payload) {
	b.enqueue(n, []connector.Record{{Payload: p}}, nil)
}

// scheduleCommit schedules the next group commit after the time that a sync needs.
func (b *boot) scheduleCommit() {
	if b.commitScheduled {
		return
	}
	b.commitScheduled = true
	// The time that an fsync needs. Everything that is queued meanwhile joins the group.
	takes := span{500 * time.Microsecond, 20 * time.Millisecond}
	if b.agent.disk.slow {
		takes = span{100 * time.Millisecond, 4 * time.Second}
	}
	b.after(b.rng.between(takes), "commit", b.commitQueue)
}

// class is the highest class of its records: it decides which reserve of the disk
// they may use.
func (j *appendJob) class() (c journal.Class) {
	for _, r := range j.records {
		c = max(c, journal.ClassOf(r.Payload.RecordType()))
	}
	return c
}

// commitQueue commits the queue as one group, and informs the machines. An error
// other than a full disk ends the process: what the medium holds is unknown then,
// and only a recovery can find out.
func (b *boot) commitQueue() {
	group := b.queue
	b.queue = nil
	// The group may use the reserve of its most important record.
	class := journal.Sample
	for i := range group {
		class = max(class, group[i].class())
	}
	err := b.commit(group, class)
	if b.agent.run != b {
		return // it died inside the commit
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

// retryWithoutSamples handles a full disk: samples are dropped, everything else is
// tried again, with increasing delays. When final records do not fit either, the
// machines get a fault, because a session could not be accounted for any more.
func (b *boot) retryWithoutSamples(group []appendJob, class journal.Class) {
	var rest []appendJob
	for _, j := range group {
		if j.class() > journal.Sample {
			rest = append(rest, j)
		} else if j.done != nil {
			j.done(nil)
		}
	}
	// The rest stays ahead of what was queued meanwhile: the order of records is kept.
	b.queue = append(rest, b.queue...)
	b.lacksSpace = len(b.queue) > 0
	b.reportSpace()
	// The reserve is for final records; when even that is used up no session can end.
	if !b.blocked && class == journal.Final {
		b.setBlocked(true)
	}
	b.retryWait = min(max(2*b.retryWait, minSpaceRetry), maxSpaceRetry)
	b.after(b.retryWait, "commit again", b.commitQueue)
}

// setBlocked raises or clears the fault that stops power while nothing can be recorded.
func (b *boot) setBlocked(blocked bool) {
	b.blocked = blocked
	if b.w.bug(BugFullDiskCharges) {
		return
	}
	for _, m := range b.machines {
		if blocked {
			m.handle(connector.FaultSeen{Now: b.moment(), Fault: charge.FaultJournal, Detail: "no space on the disk"})
		} else {
			m.handle(connector.FaultGone{Now: b.moment(), Fault: charge.FaultJournal})
		}
	}
}

// commit makes a group durable. After an error none of it counts: saved is set
// back, and the ground truth knows that the bytes may or may not be on the medium.
func (b *boot) commit(group []appendJob, class journal.Class) error {
	// Encoding folds the records into saved, so a failed append has to undo it.
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
	// Append calls the encoders, because sequence numbers and hashes are the journal's.
	err := b.log.Append(class, encoders...)
	if b.agent.run != b {
		b.agent.truth.appendUncertain(written)
		return errStopped
	}
	if err != nil {
		b.saved = before
		b.agent.truth.appendUncertain(written)
		return err
	}
	b.agent.truth.appended(b, written)
	return nil
}

// encode completes a record with its envelope, and folds it into saved.
func (b *boot) encode(j appendJob, rec connector.Record, seq charge.Seq, prev string) ([]byte, wire.Record, error) {
	m, err := wire.NewRecord(rec.Payload)
	if err != nil {
		return nil, m, err
	}
	m.CPID, m.Journal, m.Seq, m.Prev = b.agent.id, b.journal, seq, prev
	m.Connector, m.SessionID = j.connector, rec.Session
	// The time of the event, not of the commit, which may be much later on a full disk.
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
