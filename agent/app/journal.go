package app

import (
	"errors"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Journal is the durable log of the charging point as the agent needs it;
// agent/journal behind OnDisk is one, tests have others. Its methods may be
// called concurrently.
type Journal interface {
	// Append makes records durable, together and in order, and then returns. It
	// may call JournalOptions.Checkpoint. After an error none of the records is
	// held; any error but ErrNoSpace is final for this boot.
	Append(class journal.Class, encode ...func(seq charge.Seq, prev string) ([]byte, error)) error
	// Held, Read, Changed, Position and SavePosition are for the uplink
	// (uplink.Records, uplink.Positions).
	Held() delivery.Held
	Read(i delivery.Index) ([]byte, error)
	Changed() <-chan struct{}
	Position() delivery.Position
	SavePosition(p delivery.Position, acked delivery.Index) error
	// Space is how much of the space for unacknowledged records is used.
	Space() Space
	// Close frees the log for another process.
	Close() error
}

// ErrNoSpace means that nothing was written, since there is no space for records
// of this class. The call may be retried at any time.
var ErrNoSpace = errors.New("no space for records")

// Space is how much of the space for unacknowledged records is used.
type Space struct {
	QuotaPermille int64  // of the quota or of the disk, whichever is worse
	Alarm         string // in words, empty when all is well
}

// Recovered is what opening the journal recovered from earlier boots.
type Recovered struct {
	Checkpoint []byte         // the last checkpoint; empty: none
	Records    [][]byte       // the records written after it, in order
	After      *wire.Position // the last record, which this boot's journal follows; nil: none
	Damaged    []wire.Damaged // ranges that were durable and cannot be read
}

// JournalOptions are what opening the journal needs of its agent.
type JournalOptions struct {
	CP      charge.CPID
	Journal charge.JournalID // of this boot
	// Checkpoint returns the state after the records encoded so far.
	Checkpoint func() ([]byte, error)
}
