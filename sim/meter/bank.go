package meter

import (
	"math"
	"sync"
)

// Bank is the registers of the slaves on one line. It may be used from several
// goroutines.
type Bank struct {
	mu     sync.Mutex // guards values
	values map[key]uint16
}

// key names one register.
type key struct {
	slave, function byte
	address         uint16
}

// NewBank makes a bank without registers.
func NewBank() *Bank { return &Bank{values: map[key]uint16{}} }

// Registers implements Registers. A slave with no register at all is silent. A
// block may cover addresses that are not set, which read as zero, but must begin
// and end at one that is; function 4 and 3 have registers of their own.
func (b *Bank) Registers(slave, function byte, address, count uint16) ([]uint16, Exception, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	exists := false
	for k := range b.values {
		exists = exists || k.slave == slave
	}
	if !exists {
		return nil, NoException, false
	}
	has := func(a uint16) bool { _, ok := b.values[key{slave, function, a}]; return ok }
	if count == 0 || count > 125 || !has(address) || !has(address+count-1) {
		return nil, IllegalAddress, true
	}
	out := make([]uint16, count)
	for i := range count {
		out[i] = b.values[key{slave, function, address + i}]
	}
	return out, NoException, true
}

// Set sets registers from address on.
func (b *Bank) Set(slave, function byte, address uint16, values ...uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, v := range values {
		b.values[key{slave, function, address + uint16(i)}] = v
	}
}

// SetFloat sets a float32, high word first.
func (b *Bank) SetFloat(slave, function byte, address uint16, v float32) {
	bits := math.Float32bits(v)
	b.Set(slave, function, address, uint16(bits>>16), uint16(bits))
}

// SetLong sets a 32-bit integer, high word first.
func (b *Bank) SetLong(slave, function byte, address uint16, v uint32) {
	b.Set(slave, function, address, uint16(v>>16), uint16(v))
}

// Values is what a meter shows.
type Values struct {
	ImportWh int64
	Watts    int64
	MilliV   [3]int64 // phase to neutral
	MilliA   [3]int64
}

// SDM630 shows v as the three-phase meter of that name does.
func (b *Bank) SDM630(slave byte, serial uint32, v Values) {
	for phase := range uint16(3) {
		b.SetFloat(slave, 4, 2*phase, float32(v.MilliV[phase])/1000)
		b.SetFloat(slave, 4, 6+2*phase, float32(v.MilliA[phase])/1000)
		b.SetFloat(slave, 4, 12+2*phase, float32(v.Watts)/3)
	}
	b.SetFloat(slave, 4, 0x34, float32(v.Watts))
	b.SetFloat(slave, 4, 0x48, float32(float64(v.ImportWh)/1000))
	b.SetLong(slave, 3, 0xFC00, serial)
}

// SDM120 shows v as the single-phase meter of that name does.
func (b *Bank) SDM120(slave byte, serial uint32, v Values) {
	b.SetFloat(slave, 4, 0x00, float32(v.MilliV[0])/1000)
	b.SetFloat(slave, 4, 0x06, float32(v.MilliA[0])/1000)
	b.SetFloat(slave, 4, 0x0C, float32(v.Watts))
	b.SetFloat(slave, 4, 0x48, float32(float64(v.ImportWh)/1000))
	b.SetLong(slave, 3, 0xFC00, serial)
}

// PZEM004T shows v as the module of that name does, version 3. It has no serial
// number, and its register ends at 9,999.99 kWh.
func (b *Bank) PZEM004T(slave byte, v Values) {
	amps, watts, energy := uint32(v.MilliA[0]), uint32(10*v.Watts), uint32(v.ImportWh%10_000_000)
	b.Set(slave, 4, 0, uint16(v.MilliV[0]/100),
		uint16(amps), uint16(amps>>16), uint16(watts), uint16(watts>>16), uint16(energy), uint16(energy>>16),
		500, 100, 0)
}
