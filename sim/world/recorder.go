package world

import (
	"errors"
	"time"

	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// job is records that belong together.
type job struct {
	connector charge.ConnectorID
	records   []connector.Record
	now       connector.Now
	done      func(error)
}

// add asks for records to be made durable together, as the recorder of
// agent/app does.
func (b *boot) add(n charge.ConnectorID, records []connector.Record, done func(error)) {
	b.queue = append(b.queue, job{n, records, b.moment(), done})
	b.armCommit()
}

func (b *boot) say(n charge.ConnectorID, p wire.Payload) {
	b.add(n, []connector.Record{{Payload: p}}, nil)
}

// armCommit lets the disk take its time.
func (b *boot) armCommit() {
	if b.armed {
		return
	}
	b.armed = true
	b.after(b.c.in(span{500 * time.Microsecond, 20 * time.Millisecond}), "commit", b.commitAll)
}

// commitAll commits what waits as one group.
func (b *boot) commitAll() {
	group := b.queue
	b.queue = nil
	err := b.commit(group)
	if b.a.run != b {
		return // it died of it
	}
	if errors.Is(err, journal.ErrFull) {
		b.queue = append(group, b.queue...)
		b.setRoom(false)
		b.after(time.Second, "commit again", b.commitAll)
		return
	}
	b.armed = false
	b.setRoom(true)
	b.changed()
	for _, j := range group {
		if j.done != nil {
			j.done(err)
		}
	}
	switch {
	case err != nil:
		b.after(10*time.Millisecond, "agent ends", func() { b.fail(err) })
	case len(b.queue) > 0:
		b.armCommit()
	}
}

// setRoom lets no power flow while nothing can be written down about it.
func (b *boot) setRoom(room bool) {
	if room != b.noRoom {
		return
	}
	b.noRoom = !room
	for _, m := range b.machines {
		if room {
			m.take(connector.FaultGone{Now: b.moment(), Fault: charge.FaultJournal})
		} else {
			m.take(connector.FaultSeen{Now: b.moment(), Fault: charge.FaultJournal, Detail: "no room on the disk"})
		}
	}
}

// commit makes a group durable; after an error nothing of it is.
func (b *boot) commit(group []job) error {
	before := append([]connector.Saved(nil), b.saved...)
	var encoders []journal.Encode
	var written []born
	for _, j := range group {
		for _, rec := range j.records {
			encoders = append(encoders, func(seq charge.Seq, prev string) ([]byte, error) {
				raw, m, err := b.encode(j, rec, seq, prev)
				if err == nil {
					written = append(written, born{m, raw})
				}
				return raw, err
			})
		}
	}
	err := b.log.Append(journal.Final, encoders...)
	if b.a.run != b {
		b.a.known.unsure(b, written)
		return errStopped
	}
	if err != nil {
		b.saved = before
		b.a.known.unsure(b, written)
		return err
	}
	b.a.known.durable(b, written)
	return nil
}

// encode fills in the envelope and folds the record into what a checkpoint
// holds.
func (b *boot) encode(j job, rec connector.Record, seq charge.Seq, prev string) ([]byte, wire.Record, error) {
	m, err := wire.NewRecord(rec.Payload)
	if err != nil {
		return nil, m, err
	}
	m.CPID, m.Journal, m.Seq, m.Prev = b.a.id, b.journal, seq, prev
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
