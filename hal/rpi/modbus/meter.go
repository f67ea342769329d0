package modbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/carga-ev/carga/hal"
	"github.com/carga-ev/carga/internal/charge"
)

// Meter is one slave of a Port.
type Meter struct {
	port       *Port
	slave      byte
	kind       Map
	quantities []quantity
	spans      []span
	mono       func() time.Duration
	identity   atomic.Pointer[hal.Identity] // nil until it has been read

	// busy holds one value while a reading is under way: readings are in order. Its
	// holder alone uses the fields below.
	busy     chan struct{}
	register register
	seq      uint64
	tries    int // to read the serial number, since the meter may be another one
}

var _ hal.Meter = (*Meter)(nil)

// NewMeter makes the meter with that slave address, 1 to 247, or 248 for a PZEM
// alone on its line. mono is the board's clock. Nothing is read yet.
func NewMeter(port *Port, slave byte, kind Map, mono func() time.Duration) (*Meter, error) {
	err := kind.Validate()
	if slave < 1 || slave > anySlave {
		err = errors.Join(err, fmt.Errorf("slave: %d; use the meter's address, 1 to %d", slave, anySlave-1))
	}
	if err != nil {
		return nil, err
	}
	return &Meter{
		port: port, slave: slave, kind: kind, mono: mono,
		quantities: kind.quantities(), spans: kind.plan(), busy: make(chan struct{}, 1), tries: identityTries,
		register: register{wrap: kind.Wrap, step: kind.Import.step()},
	}, nil
}

// step is the smallest difference that the register can show; a float's is that of
// its last digit, which is smaller.
func (q Quantity) step() charge.WattHours {
	step := charge.WattHours(1)
	if q.Type == Float32 {
		return step
	}
	for range q.Exp {
		step *= 10
	}
	return step
}

// Resume is called before the first reading with the last register that was
// recorded, so that a wrap before or during a restart is continued. Without it a
// register counts from what the meter shows.
func (m *Meter) Resume(total charge.WattHours) {
	m.busy <- struct{}{}
	defer func() { <-m.busy }()
	m.register.resume(total, m.mono())
}

// Read implements hal.Meter. The stamp is of the beginning, so the values are at
// most as old as it.
func (m *Meter) Read(ctx context.Context) (hal.Reading, error) {
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return hal.Reading{}, ctx.Err()
	}
	defer func() { <-m.busy }()
	begun := m.mono()
	values, err := m.measure(ctx)
	if err != nil {
		m.tries = identityTries
		return hal.Reading{}, err
	}
	if err := m.recognise(ctx); err != nil {
		return hal.Reading{}, err
	}
	reading := m.reading(values)
	total, err := m.register.read(reading.Import, reading.Power, begun)
	if err != nil {
		return hal.Reading{}, m.unreadable(m.quantities[0], m.kind.Import.At[0], err)
	}
	m.seq++
	reading.Import, reading.Stamp = total, hal.Stamp{Mono: begun, Seq: m.seq}
	return reading, nil
}

const (
	// identityWait limits the reading of a serial number that was never read.
	identityWait = time.Second
	// identityTries is how many readings in a row may fail for want of the serial
	// number. A meter that measures but does not answer that request has none.
	identityTries = 3
)

// recognise reads the serial number, if the meter may have been replaced since it
// was read: a used meter could show more than the one before.
func (m *Meter) recognise(ctx context.Context) error {
	if m.tries == 0 {
		return nil
	}
	serial, err := m.serial(ctx)
	if err != nil && errors.Is(err, hal.ErrUnreadable) {
		m.tries--
	}
	if err != nil && m.tries > 0 {
		return fmt.Errorf("serial number at %#04x: %w", m.kind.Serial.At[0], err)
	}
	m.tries = 0
	m.identify(serial)
	return nil
}

// Identity implements hal.Meter. It is the identity at the last reading; before the
// first one it is read now.
func (m *Meter) Identity() (hal.Identity, error) {
	if id := m.identity.Load(); id != nil {
		return *id, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), identityWait)
	defer cancel()
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return hal.Identity{}, fmt.Errorf("modbus: slave %d: %w: another reading takes too long", m.slave, hal.ErrUnreadable)
	}
	defer func() { <-m.busy }()
	serial, err := m.serial(ctx)
	if err != nil {
		return hal.Identity{}, err
	}
	return m.identify(serial), nil
}

// identify makes the meter the one with that serial number. The register of another
// meter is not compared with the one before.
func (m *Meter) identify(serial string) hal.Identity {
	id := hal.Identity{Maker: m.kind.Maker, Model: m.kind.Model, Serial: serial}
	if old := m.identity.Swap(&id); old != nil && *old != id {
		m.register.forget()
	}
	return id
}

// serial reads the serial number. It is empty where the map has none and where the
// meter refuses the register.
func (m *Meter) serial(ctx context.Context) (string, error) {
	s := m.kind.Serial
	if len(s.At) == 0 {
		return "", nil
	}
	words, err := m.port.Read(ctx, m.slave, m.kind.function(s), s.At[0], s.Type.words())
	if refused := ExceptionError(0); errors.As(err, &refused) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	raw := m.kind.raw(words)
	if raw == 0 || raw == 1<<(16*len(words))-1 {
		return "", nil
	}
	return strconv.FormatUint(raw, 10), nil
}

// measure reads all quantities: for each, the value of each of its addresses.
func (m *Meter) measure(ctx context.Context) ([][]int64, error) {
	values := make([][]int64, len(m.quantities))
	for i, q := range m.quantities {
		values[i] = make([]int64, len(q.At))
	}
	for _, s := range m.spans {
		words, err := m.port.Read(ctx, m.slave, s.function, s.at, s.count)
		if err != nil {
			return nil, fmt.Errorf("registers %#04x to %#04x: %w", s.at, s.at+s.count-1, err)
		}
		for _, c := range s.cells {
			q := m.quantities[c.quantity]
			from := c.at - s.at
			v, err := m.kind.number(words[from:from+c.words], q.Type, q.Exp)
			switch {
			case err != nil:
			case v < q.floor:
				err = fmt.Errorf("%d is negative: check the direction of the wires", v)
			case v > q.ceiling:
				err = fmt.Errorf("%d is absurd: check the map's type, exp and order", v)
			}
			if err != nil {
				return nil, m.unreadable(q, c.at, err)
			}
			values[c.quantity][c.phase] = v
		}
	}
	return values, nil
}

// unreadable names the register of a value that cannot be used.
func (m *Meter) unreadable(q quantity, at uint16, err error) error {
	return fmt.Errorf("modbus: %s: slave %d: %s at %#04x: %w: %w", m.port.cfg.Serial.Device, m.slave, q.name, at, hal.ErrUnreadable, err)
}

// minVoltage is the voltage from which a phase is connected. A meter shows about
// zero at a terminal that is not.
const minVoltage = 50_000

// reading puts the values together. Voltage and current are means over the
// connected phases.
func (m *Meter) reading(values [][]int64) hal.Reading {
	imported, power, voltage, current, temperature := values[0], values[1], values[2], values[3], values[4]
	var r hal.Reading
	r.Import = charge.WattHours(imported[0])
	for _, w := range power {
		r.Power += charge.Watts(max(w, 0))
	}
	connected := func(phase int) bool { return phase >= len(voltage) || voltage[phase] >= minVoltage }
	r.Voltage = charge.MilliVolts(mean(voltage, connected))
	r.Current = charge.MilliAmps(mean(current, connected))
	if len(temperature) == 1 {
		r.Temperature = charge.MilliCelsius(temperature[0])
	}
	return r
}

// mean is the mean of the values at the places that count; what is negative is
// noise around zero.
func mean(values []int64, counts func(int) bool) int64 {
	var sum, n int64
	for i, v := range values {
		if counts(i) {
			sum += max(v, 0)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return (sum + n/2) / n
}
