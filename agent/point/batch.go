package point

import (
	"github.com/carga-ev/carga/agent/class"
	"github.com/carga-ev/carga/agent/connector"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Record is one record to be written.
type Record struct {
	Connector charge.ConnectorID // 0: of the whole charging point
	Session   charge.SessionID
	Payload   wire.Payload
	Now       connector.Now // when it happened
}

// Batch is records that become durable together and in order. It belongs to the
// writer from Append until its result, and is used once.
type Batch struct {
	Class   class.Class // in which the journal admits all of it
	Records []Record

	cp      charge.CPID
	journal charge.JournalID
	saved   []connector.Saved // the fold of the records encoded so far
}

// Encode completes the record i with its envelope and encodes it. The journal
// calls it for all records in order, since numbers and hashes are the journal's.
// It folds the record into Saved: the journal may begin a segment with a
// checkpoint in the middle of a batch.
func (b *Batch) Encode(i int, seq charge.Seq, prev string) ([]byte, error) {
	r := &b.Records[i]
	m, err := wire.NewRecord(r.Payload)
	if err != nil {
		return nil, err
	}
	m.CPID, m.Journal, m.Seq, m.Prev = b.cp, b.journal, seq, prev
	m.Connector, m.SessionID = r.Connector, r.Session
	m.At, m.Clock, m.UptimeMS = r.Now.Wall, r.Now.Clock, r.Now.At.Milliseconds()
	raw, err := m.Encode()
	if err != nil {
		return nil, err
	}
	for i := range b.saved {
		b.saved[i] = connector.Replay(b.saved[i], m)
	}
	return raw, nil
}

// Encoders are the records as functions, for journal.Append.
func (b *Batch) Encoders() []func(seq charge.Seq, prev string) ([]byte, error) {
	out := make([]func(charge.Seq, string) ([]byte, error), len(b.Records))
	for i := range b.Records {
		out[i] = func(seq charge.Seq, prev string) ([]byte, error) { return b.Encode(i, seq, prev) }
	}
	return out
}

// Saved is the state of the connectors after the records encoded so far.
func (b *Batch) Saved() []connector.Saved { return b.saved }

// Checkpoint encodes Saved.
func (b *Batch) Checkpoint() ([]byte, error) { return connector.Checkpoint(b.saved) }
