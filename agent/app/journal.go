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
	// Held is which records the disk holds durably. It is fast.
	Held() delivery.Held
	// Read returns the bytes of one record held, as they were journalled.
	Read(i delivery.Index) ([]byte, error)
	// Position is the position on disk at boot; zero when there was none.
	Position() delivery.Position
	// SavePosition saves a position, without a sync, and allows all records up to
	// acked to be deleted by the rules of retention. After an error more records are
	// sent again after the next boot, nothing else.
	SavePosition(p delivery.Position, acked delivery.Index) error
	// QuotaPermille is how much of the space for unacknowledged records is used, in
	// thousandths: of the quota or of the disk, whichever is worse.
	QuotaPermille() int64
	// Close frees the log for another process.
	Close() error
}

// ErrNoSpace means that nothing was written, since there is no space for records
// of this class. The call may be retried at any time.
var ErrNoSpace = errors.New("no space for records")

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
