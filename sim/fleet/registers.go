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

// Registers keeps the meter registers of simulated boards in one file, as a
// real meter keeps its own, so that they go on where they were after the
// process was stopped or killed. Each value is written before anybody has seen
// it; a cut of the whole machine may lose the last ones.
//
// A meter is a slot of 16 bytes: the first register it ever had and the last.
// Methods are safe for concurrent use.
type Registers struct {
	mu   sync.Mutex
	file *os.File // mu guards it and what follows
	all  []meter
	err  error // the first write that failed
}

type meter struct{ first, last charge.WattHours }

const slotSize = 16

// OpenRegisters opens or makes the file. A torn slot at its end, from a kill
// in mid-write, is taken as not written.
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

// Len is how many meters there are.
func (r *Registers) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// Get is the last register of a meter, by its number from 0; false if it is
// new.
func (r *Registers) Get(n int) (charge.WattHours, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n >= len(r.all) {
		return 0, false
	}
	return r.all[n].last, true
}

// Put writes the register of a meter down; a smaller one than before changes
// nothing. The first value of a meter is what Metered counts from. Meters are
// numbered without gaps.
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

// Metered is the energy that went through all meters since each was new.
func (r *Registers) Metered() charge.WattHours {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sum charge.WattHours
	for _, m := range r.all {
		sum += m.last - m.first
	}
	return sum
}

// Close closes the file and reports the first value that could not be written.
func (r *Registers) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.file.Sync(), r.file.Close())
}
