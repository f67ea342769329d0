package journal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/carga-ev/carga/internal/charge"
)

// Position is the last record Central acknowledged, and the life of Central
// that did. The zero value is none.
type Position struct {
	Central charge.Incarnation
	Journal charge.JournalID
	Seq     charge.Seq
}

const (
	positionFile = "position"
	slotSize     = 512 // one sector each: a torn write spoils one slot
)

func (p Position) encode(generation uint64) []byte {
	b := make([]byte, slotSize)
	copy(b, "CPOS")
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint64(b[16:], uint64(p.Seq))
	putText(b[32:], string(p.Central))
	putText(b[80:], string(p.Journal))
	binary.LittleEndian.PutUint32(b[slotSize-4:], crc32.Checksum(b[:slotSize-4], castagnoli()))
	return b
}

func decodePosition(b []byte) (p Position, generation uint64, ok bool) {
	if len(b) < slotSize || string(b[:4]) != "CPOS" ||
		crc32.Checksum(b[:slotSize-4], castagnoli()) != binary.LittleEndian.Uint32(b[slotSize-4:]) {
		return p, 0, false
	}
	central, _ := text(b[32:])
	journal, _ := text(b[80:])
	return Position{
		Central: charge.Incarnation(central), Journal: charge.JournalID(journal), Seq: charge.Seq(binary.LittleEndian.Uint64(b[16:])),
	}, binary.LittleEndian.Uint64(b[8:]), true
}

// slots is the file with the position: two slots written in turn, so that a
// torn write leaves the one before. It is not synced at once, for losing it only
// repeats records.
type slots struct {
	f          File
	generation uint64
	dirty      bool
}

func openSlots(fs FS, exists bool) (*slots, Position, error) {
	s := &slots{}
	var err error
	if !exists {
		s.f, err = fs.Create(positionFile)
		return s, Position{}, err
	}
	if s.f, err = fs.Open(positionFile); err != nil {
		return nil, Position{}, err
	}
	var best Position
	b := make([]byte, 2*slotSize)
	n, _ := s.f.ReadAt(b, 0) // an unreadable file is no position: records are repeated
	for i := range 2 {
		if p, g, ok := decodePosition(b[min(n, i*slotSize):n]); ok && g > s.generation {
			best, s.generation = p, g
		}
	}
	return s, best, nil
}

func (s *slots) write(p Position) error {
	s.generation++
	s.dirty = true
	_, err := s.f.WriteAt(p.encode(s.generation), int64(s.generation%2)*slotSize)
	return err
}

func (s *slots) sync() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	return s.f.Sync()
}
