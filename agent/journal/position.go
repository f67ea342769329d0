package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/carga-ev/carga/internal/charge"
)

// Position is the last record that Central acknowledged, and the epoch of that
// Central. The zero value is none.
type Position struct {
	Central charge.Epoch
	Journal charge.JournalID
	Seq     charge.Seq
}

// The layout of the position file.
const (
	positionFile = "position"
	slotSize     = 512 // one sector, so that a torn write damages one slot only
)

// encode returns a slot with the position. The highest generation is the latest.
func (p Position) encode(generation uint64) []byte {
	b := make([]byte, slotSize)
	copy(b, "CPOS")
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint64(b[16:], uint64(p.Seq))
	putText(b[32:], p.Central.String())
	putText(b[80:], string(p.Journal))
	binary.LittleEndian.PutUint32(b[slotSize-4:], crc32.Checksum(b[:slotSize-4], castagnoli()))
	return b
}

// decodePosition reads a slot; false if it is torn or empty.
func decodePosition(b []byte) (p Position, generation uint64, ok bool) {
	if len(b) < slotSize || string(b[:4]) != "CPOS" ||
		crc32.Checksum(b[:slotSize-4], castagnoli()) != binary.LittleEndian.Uint32(b[slotSize-4:]) {
		return p, 0, false
	}
	central, _ := text(b[32:])
	journal, _ := text(b[80:])
	seq := charge.Seq(binary.LittleEndian.Uint64(b[16:]))
	if seq > maxSeq {
		return p, 0, false
	}
	// An earlier version accepted any id. Anything else than an epoch counts as
	// none, so that acknowledgements of every Central are accepted.
	epoch, _ := charge.ParseEpoch(central)
	return Position{
		Central: epoch, Journal: charge.JournalID(journal), Seq: seq,
	}, binary.LittleEndian.Uint64(b[8:]), true
}

// slots is the file of the position: two slots written alternately, so that a
// torn write leaves the previous position. It is not synced at each write, since
// losing it only repeats records.
type slots struct {
	fs         FS
	f          File   // nil: not opened yet
	exists     bool   // the file exists
	generation uint64 // of the last position; the higher one of the slots is valid
	dirty      bool   // written since the last sync
}

// readPosition returns the position of the slot with the higher generation. Slots
// that cannot be read count as empty.
func readPosition(fs ReadFS) (best Position, generation uint64) {
	f, err := fs.Open(positionFile)
	if err != nil {
		return best, 0
	}
	// A torn slot has a bad checksum, and the other one is used.
	b := make([]byte, slotSize)
	for i := range int64(2) {
		if n, _ := f.ReadAt(b, i*slotSize); n < len(b) {
			continue
		}
		if p, g, ok := decodePosition(b); ok && g > generation {
			best, generation = p, g
		}
	}
	_ = f.Close() // it was only read
	return best, generation
}

// open opens the file, or makes it with two empty slots.
func (s *slots) open() (err error) {
	switch {
	case s.f != nil:
		return nil
	case s.exists:
		s.f, err = s.fs.Open(positionFile)
		return err
	}
	if s.f, err = s.fs.Create(positionFile); err != nil {
		return err
	}
	s.exists = true
	_, err = s.f.WriteAt(make([]byte, 2*slotSize), 0)
	return errors.Join(err, s.fs.SyncDir())
}

// write writes a position into the older slot.
func (s *slots) write(p Position) error {
	if err := s.open(); err != nil {
		return err
	}
	s.generation++
	s.dirty = true
	_, err := s.f.WriteAt(p.encode(s.generation), int64(s.generation%2)*slotSize)
	return err
}

// sync makes the last position durable. After an error it stays dirty and is
// synced next time.
func (s *slots) sync() error {
	if !s.dirty {
		return nil
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

// close syncs the last position and closes the file.
func (s *slots) close() error {
	if s.f == nil {
		return nil
	}
	return errors.Join(s.sync(), s.f.Close())
}
