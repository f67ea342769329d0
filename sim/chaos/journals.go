package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/carga-ev/carga/agent/journal"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/wire"
)

// recordKey identifies a record.
type recordKey struct {
	cp      charge.CPID
	journal charge.JournalID
	seq     charge.Seq
}

func (p recordKey) String() string { return fmt.Sprintf("%s %s/%d", p.cp, p.journal, p.seq) }

// journalRecord is one record on the disk of its charging point.
type journalRecord struct {
	recordKey
	hash string
	wire.Record
}

// readerJournal is the journal id under which a journal is opened for reading.
// Nothing is appended, so it appears nowhere.
const readerJournal charge.JournalID = "reconciliation"

// readJournal reads every record on the disk of a charging point whose agent
// has ended, in the order of writing. Damage is an error: no fault of a run
// damages a journal.
func readJournal(cp charge.CPID, dir string) (records []journalRecord, err error) {
	fs, err := journal.OS(dir)
	if err != nil {
		return nil, err
	}
	l, found, err := journal.Open(fs, journal.Options{CP: cp, Journal: readerJournal})
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", cp, err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, d := range found.Damaged {
		return nil, fmt.Errorf("journal of %s: %s is damaged: %s", cp, d.Segment, d.Reason)
	}
	for _, r := range l.Held() {
		// A held range has consecutive records of one boot.
		for seq := r.First; seq <= r.Last; seq++ {
			e, err := l.Read(r.Index + uint64(seq-r.First))
			if err != nil {
				return nil, fmt.Errorf("journal of %s: %w", cp, err)
			}
			rec, err := wire.DecodeRecord(e.Bytes)
			if err != nil {
				return nil, fmt.Errorf("journal of %s: %s/%d: %w", cp, e.Journal, e.Seq, err)
			}
			records = append(records, journalRecord{recordKey{cp, e.Journal, e.Seq}, wire.Hash(e.Bytes), rec})
		}
	}
	return records, nil
}

// records reads every record that was ever in the journal of a charging point
// whose agent has ended: those on its disk, and those in the copy that
// copyJournal made before they were deleted.
func (p *Point) records() ([]journalRecord, error) {
	if _, err := os.Stat(p.journalCopy); errors.Is(err, os.ErrNotExist) {
		return readJournal(p.ID, p.Journal)
	}
	if err := p.copyJournal(); err != nil {
		return nil, err
	}
	return readJournal(p.ID, p.journalCopy)
}

// growingSegments is how many of the newest segments are copied each time: a
// segment that grew may have the size and the modification time of its copy.
const growingSegments = 2

// copyJournal copies new segments of the journal to a folder beside it. On a
// full disk an agent deletes acknowledged records to free space; the
// reconciliation counts all records.
func (p *Point) copyJournal() error {
	if err := os.MkdirAll(p.journalCopy, 0o750); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(p.Journal, "*.seg")) // sorted by name, which is their order
	if err != nil {
		return err
	}
	for i, from := range segments {
		to := filepath.Join(p.journalCopy, filepath.Base(from))
		if err := copyIfChanged(from, to, i >= len(segments)-growingSegments); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("copy of the journal of %s: %w", p.ID, err)
		}
	}
	return nil
}

// copyIfChanged copies a file, with its modification time. A copy with the same
// size and time is current, unless always is set.
func copyIfChanged(from, to string, always bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	// A current copy is not copied again: segments are megabytes, and this is
	// called ten times a second.
	if had, err := os.Stat(to); !always && err == nil && had.Size() == info.Size() && had.ModTime().Equal(info.ModTime()) {
		return nil
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, raw, 0o600), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// journalSession is one session as its charging point's journal records it.
type journalSession struct {
	id             charge.SessionID
	cp             charge.CPID
	connector      charge.ConnectorID
	authorizedAt   charge.Time // when it was authorized; power may flow from then on
	startRegister  charge.WattHours
	stops          int
	stoppedAt      charge.Time
	endRegister    charge.WattHours
	authorizations int
}

// foldSessions returns the sessions in the records of one charging point.
func foldSessions(records []journalRecord) (map[charge.SessionID]*journalSession, error) {
	sessions := map[charge.SessionID]*journalSession{}
	for i := range records {
		r := &records[i]
		p, err := r.Payload()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", r.recordKey, err)
		}
		// Only a grant or an end makes a session; other records are skipped.
		s := sessions[r.SessionID]
		if s == nil {
			s = &journalSession{id: r.SessionID, cp: r.cp, connector: r.Connector}
		}
		switch p := p.(type) {
		case *wire.Authorized:
			s.authorizedAt, s.startRegister = r.At, p.Register
			s.authorizations++
		case *wire.ChargingStopped:
			s.stoppedAt, s.endRegister = r.At, p.Register
			s.stops++
		default:
			continue
		}
		sessions[r.SessionID] = s
	}
	return sessions, nil
}
