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

// place names a record.
type place struct {
	cp      charge.CPID
	journal charge.JournalID
	seq     charge.Seq
}

func (p place) String() string { return fmt.Sprintf("%s %s/%d", p.cp, p.journal, p.seq) }

// written is one record on the disk of its charging point.
type written struct {
	place
	hash string
	wire.Record
}

// reader is the boot under whose name a journal is opened to be read. Nothing
// is appended, so nobody else sees it.
const reader charge.JournalID = "reconciliation"

// readJournal reads every record on the disk of a charging point whose agent
// has ended, in the order of writing.
func readJournal(cp charge.CPID, dir string) (records []written, err error) {
	fs, err := journal.OS(dir)
	if err != nil {
		return nil, err
	}
	l, found, err := journal.Open(fs, journal.Options{CP: cp, Journal: reader})
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
			records = append(records, written{place{cp, e.Journal, e.Seq}, wire.Hash(e.Bytes), rec})
		}
	}
	return records, nil
}

// records reads every record that was ever on the disk of a charging point whose
// agent has ended: those that are there, and those that keep has seen.
func (p *Point) records() ([]written, error) {
	if _, err := os.Stat(p.kept); errors.Is(err, os.ErrNotExist) {
		return readJournal(p.ID, p.Journal)
	}
	if err := p.keep(); err != nil {
		return nil, err
	}
	return readJournal(p.ID, p.kept)
}

// growing is how many of the newest segments may have grown without a newer
// time.
const growing = 2

// keep copies what is new in the journal beside. On a full disk an agent deletes
// what Central has to make room, and the reconciliation wants to see all of it.
func (p *Point) keep() error {
	if err := os.MkdirAll(p.kept, 0o750); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(p.Journal, "*.seg")) // sorted, which is their order
	if err != nil {
		return err
	}
	for i, from := range segments {
		to := filepath.Join(p.kept, filepath.Base(from))
		if err := copyNew(from, to, i >= len(segments)-growing); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("copy of the journal of %s: %w", p.ID, err)
		}
	}
	return nil
}

// copyNew copies a file unless it has been copied as it is; always, if it may
// look as it was and not be.
func copyNew(from, to string, always bool) error {
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

// told is one session as its charging point's journal tells it.
type told struct {
	id         charge.SessionID
	cp         charge.CPID
	connector  charge.ConnectorID
	granted    charge.Time // at of authorized
	start      charge.WattHours
	stops      int
	stopped    charge.Time
	end        charge.WattHours
	authorized int
}

// tellSessions folds the records of one charging point.
func tellSessions(records []written) (map[charge.SessionID]*told, error) {
	sessions := map[charge.SessionID]*told{}
	for i := range records {
		r := &records[i]
		p, err := r.Payload()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", r.place, err)
		}
		s := sessions[r.SessionID]
		if s == nil {
			s = &told{id: r.SessionID, cp: r.cp, connector: r.Connector}
		}
		switch p := p.(type) {
		case *wire.Authorized:
			s.granted, s.start = r.At, p.Register
			s.authorized++
		case *wire.ChargingStopped:
			s.stopped, s.end = r.At, p.Register
			s.stops++
		default:
			continue
		}
		sessions[r.SessionID] = s
	}
	return sessions, nil
}
