package app

import (
	"errors"

	"github.com/carga-ev/carga/agent/delivery"
	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// Journal is the durable log of the charging point as the agent needs it. Its
// methods may be called concurrently.
type Journal interface {
	// Append makes records durable together and in order, and returns then. It
	// may ask for a checkpoint. After an error none of them is held; except for
	// ErrNoSpace it means that the log takes no more in this boot.
	Append(class journal.Class, encode ...func(seq charge.Seq, prev string) ([]byte, error)) error
	// Held, Read, Changed, Position and SavePosition are the uplink's.
	Held() delivery.Held
	Read(i delivery.Index) ([]byte, error)
	Changed() <-chan struct{}
	Position() delivery.Position
	SavePosition(p delivery.Position, acked delivery.Index) error
	// Space says how the space for unacknowledged records is used.
	Space() Space
	// Close frees the log for another process.
	Close() error
}

// ErrNoSpace says that nothing was written for want of room for records of this
// class; it may be tried again at any time.
var ErrNoSpace = errors.New("no room for records")

// Space is how the space for unacknowledged records is used.
type Space struct {
	QuotaPermille int64  // of the quota or of the disk, whichever is worse
	Alarm         string // in words, empty when all is well
}

// Recovered is what opening the journal found of earlier boots.
type Recovered struct {
	Checkpoint []byte   // what was last checkpointed; empty: nothing
	Records    [][]byte // written since
	After      *wire.Position
	Damaged    []wire.Damaged
}

// JournalOptions are what the journal must know of its agent.
type JournalOptions struct {
	CP         charge.CPID
	Journal    charge.JournalID // of this boot
	Checkpoint func() ([]byte, error)
}
