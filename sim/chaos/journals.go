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

// recordKey names a record.
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

// readerJournal is the boot under whose name a journal is opened to be read. Nothing
// is appended, so nobody else sees it.
const readerJournal charge.JournalID = "reconciliation"

// readJournal reads every record on the disk of a charging point whose agent
// has ended, in the order of writing.
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

// records reads every record that was ever on the disk of a charging point whose
// agent has ended: those that are there, and those that keep has seen.
func (p *Point) records() ([]journalRecord, error) {
	if _, err := os.Stat(p.journalCopy); errors.Is(err, os.ErrNotExist) {
		return readJournal(p.ID, p.Journal)
	}
	if err := p.copyJournal(); err != nil {
		return nil, err
	}
	return readJournal(p.ID, p.journalCopy)
}

// growingSegments is how many of the newest segments may have grown without a newer
// time.
const growingSegments = 2

// copyJournal copies what is new in the journal beside. On a full disk an agent deletes
// what Central has to make room, and the reconciliation wants to see all of it.
func (p *Point) copyJournal() error {
	if err := os.MkdirAll(p.journalCopy, 0o750); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(p.Journal, "*.seg")) // sorted, which is their order
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

// copyIfChanged copies a file unless it has been copied as it is; always, if it may
// look as it was and not be.
func copyIfChanged(from, to string, always bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if had, err := os.Stat(to); !always && err == nil && had.Size() == info.Size() && had.ModTime().Equal(info.ModTime()) {
		return nil
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, raw, 0o600), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// journalSession is one session as its charging point's journal tells it.
type journalSession struct {
	id             charge.SessionID
	cp             charge.CPID
	connector      charge.ConnectorID
	authorizedAt   charge.Time // at of authorized
	startRegister  charge.WattHours
	stops          int
	stoppedAt      charge.Time
	endRegister    charge.WattHours
	authorizations int
}

// foldSessions folds the records of one charging point.
func foldSessions(records []journalRecord) (map[charge.SessionID]*journalSession, error) {
	sessions := map[charge.SessionID]*journalSession{}
	for i := range records {
		r := &records[i]
		p, err := r.Payload()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", r.recordKey, err)
		}
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
