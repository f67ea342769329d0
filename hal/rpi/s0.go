package rpi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// s0 is a meter that is known by its pulses only, so the register is kept here,
// in a file.
//
// Invariant: a register that Read returned is in the file. So it never goes down,
// and a power cut loses at most the pulses that Read has not returned: less than
// `save` while the contactor is closed, none else. Pulses that arrive while the
// agent does not run are not counted.
type s0 struct {
	board  *Board
	relay  *output
	file   registerFile
	perKWh int64
	save   charge.WattHours
	failed func() error // of the pin

	mu     sync.Mutex    // guards what follows
	pulses int64         // counted
	last   time.Duration // when the last pulse arrived; 0: none in this run
	apart  time.Duration // between the last two; 0: unknown
	seq    uint64

	saving sync.Mutex // guards what follows; held while the file is written
	saved  int64
}

var _ hal.Meter = (*s0)(nil)

// pulse counts one pulse.
func (m *s0) pulse(s hal.Stamp) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last > 0 {
		m.apart = s.Mono - m.last
	}
	m.last = s.Mono
	m.pulses++
}

// Read implements hal.Meter. The register advances when it is written.
func (m *s0) Read(ctx context.Context) (hal.Reading, error) {
	if err := errors.Join(ctx.Err(), m.failed()); err != nil {
		return hal.Reading{}, err
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	pulses := m.pulses
	power := m.powerLocked()
	m.seq++
	stamp := hal.Stamp{Mono: m.board.Mono(), Seq: m.seq}
	m.mu.Unlock()
	if due := m.wattHours(pulses)-m.wattHours(m.saved) >= m.save; due || pulses > m.saved && !m.relay.commanded.Load() {
		if err := m.file.write(pulses); err != nil {
			return hal.Reading{}, fmt.Errorf("rpi: meter register: %w: %w", hal.ErrUnreadable, err)
		}
		m.saved = pulses
	}
	return hal.Reading{Stamp: stamp, Import: m.wattHours(m.saved), Power: power}, nil
}

// wattHours is the energy of pulses since the first.
func (m *s0) wattHours(pulses int64) charge.WattHours {
	return charge.WattHours(pulses/m.perKWh*1_000 + pulses%m.perKWh*1_000/m.perKWh)
}

// powerLocked is the mean power between the last two pulses, or less when the next
// one is overdue, and 0 after three times that.
func (m *s0) powerLocked() charge.Watts {
	since := m.board.Mono() - m.last
	if m.apart == 0 || since > 3*m.apart {
		return 0
	}
	return charge.Watts(int64(time.Hour) / int64(max(m.apart, since)) * 1_000 / m.perKWh)
}

// Identity implements hal.Meter. The serial number is that of the file: a lost
// file is another meter, which begins at 0.
func (m *s0) Identity() (hal.Identity, error) {
	return hal.Identity{Maker: "S0", Model: fmt.Sprintf("%d pulses/kWh", m.perKWh), Serial: m.file.serial}, nil
}

// close writes what has not been written.
func (m *s0) close() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	if m.pulses == m.saved {
		return nil
	}
	if err := m.file.write(m.pulses); err != nil {
		return fmt.Errorf("rpi: meter register: %w", err)
	}
	m.saved = m.pulses
	return nil
}

// registerFile is one line: the format, the serial number, the pulses.
type registerFile struct {
	path, serial string
}

const registerFormat = "s0-register-1 %s %d\n"

// openRegister reads the file, or makes it with 0 pulses if there is none. A
// damaged one is an error: only a person knows what it should hold.
func openRegister(file string) (registerFile, int64, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		var id [4]byte
		_, _ = rand.Read(id[:]) // never fails
		f := registerFile{path: file, serial: hex.EncodeToString(id[:])}
		return f, 0, f.write(0)
	}
	if err != nil {
		return registerFile{}, 0, err
	}
	f := registerFile{path: file}
	var pulses int64
	if _, err := fmt.Sscanf(string(raw), registerFormat, &f.serial, &pulses); err != nil || pulses < 0 || fmt.Sprintf(registerFormat, f.serial, pulses) != string(raw) {
		return registerFile{}, 0, fmt.Errorf("%s: damaged; write the line %q with the pulses so far, or remove the file to begin at 0 as another meter",
			file, "s0-register-1 NAME PULSES")
	}
	return f, pulses, nil
}

// write replaces the file durably: it holds the old line or the new one.
func (f registerFile) write(pulses int64) (err error) {
	next := f.path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, registerFormat, f.serial, pulses)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
