package fleet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/carga-ev/carga/internal/charge"
)

// Registers keeps the registers of simulated meters in one file, as a real
// meter keeps its own: after a stop or a kill they continue where they were. A
// value is written before anything reads it. Writes are not synced: a power
// loss of the machine may lose the last ones.
//
// A meter is a slot of 16 bytes, two big-endian integers in Wh: its first
// register and its last. Slot n is meter n, from 0; slots have no gaps.
//
// Methods are safe for concurrent use.
type Registers struct {
	mu   sync.Mutex
	file *os.File // mu guards it and what follows
	all  []meter
	err  error // errors of writes, which Close returns
}

// meter is one slot. Invariant: 0 ≤ first ≤ last.
type meter struct{ first, last charge.WattHours }

const slotSize = 16

// OpenRegisters opens the file, or creates it. A torn slot at the end, from a
// kill during a write, is removed: no reader has seen its value. A damaged slot
// is an error.
func OpenRegisters(path string) (*Registers, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("registers: %w", err)
	}
	r := &Registers{file: f}
	var slot [slotSize]byte
	for {
		_, err := io.ReadFull(f, slot[:])
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			if err := f.Truncate(int64(len(r.all)) * slotSize); err != nil {
				return nil, errors.Join(fmt.Errorf("registers: %w", err), f.Close())
			}
			return r, nil
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("registers: read: %w", err), f.Close())
		}
		m := meter{
			charge.WattHours(binary.BigEndian.Uint64(slot[:8])),
			charge.WattHours(binary.BigEndian.Uint64(slot[8:])),
		}
		if m.first < 0 || m.last < m.first || m.last > charge.MaxRegister {
			return nil, errors.Join(fmt.Errorf("registers: %s: slot %d is damaged; delete the data folder to start over", path, len(r.all)), f.Close())
		}
		r.all = append(r.all, m)
	}
}

// Len is the number of meters.
func (r *Registers) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// Get returns the last register of a meter; false if the meter is new.
func (r *Registers) Get(n int) (charge.WattHours, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n >= len(r.all) {
		return 0, false
	}
	return r.all[n].last, true
}

// Put writes the register of a meter. A register never goes back: a smaller
// value changes nothing. The first value of a meter is what Metered counts
// from. The next new meter must have the next number. An error is returned by
// Close.
func (r *Registers) Put(n int, v charge.WattHours) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case n < len(r.all) && v <= r.all[n].last:
		return
	case n < len(r.all):
		r.all[n].last = v
	case n == len(r.all):
		r.all = append(r.all, meter{v, v})
	default:
		r.err = errors.Join(r.err, fmt.Errorf("registers: slot %d before slot %d", n, len(r.all)))
		return
	}
	var slot [slotSize]byte
	binary.BigEndian.PutUint64(slot[:8], uint64(r.all[n].first))
	binary.BigEndian.PutUint64(slot[8:], uint64(r.all[n].last))
	if _, err := r.file.WriteAt(slot[:], int64(n)*slotSize); err != nil && r.err == nil {
		r.err = fmt.Errorf("registers: write: %w", err)
	}
}

// Metered is the energy in Wh that all meters have counted since each was new.
func (r *Registers) Metered() charge.WattHours {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sum charge.WattHours
	for _, m := range r.all {
		sum += m.last - m.first
	}
	return sum
}

// Close syncs and closes the file, and returns the errors of earlier writes.
func (r *Registers) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.file.Sync(), r.file.Close())
}
