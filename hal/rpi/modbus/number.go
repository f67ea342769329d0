package modbus

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// most is the largest scaled number: far above every bound, exact in a float64.
const most = 1 << 53

// number is the number in words, as the meter sends them, times 10^exp, rounded to
// the nearest integer.
func (m *Map) number(words []uint16, t Type, exp int) (int64, error) {
	raw := m.raw(words)
	if t == Float32 {
		f := float64(math.Float32frombits(uint32(raw)))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return 0, errors.New("no number")
		}
		if f *= math.Pow10(exp); math.Abs(f) > most {
			return 0, fmt.Errorf("%.3g is absurd", f)
		}
		return int64(math.Round(f)), nil
	}
	v := int64(raw)
	switch t {
	case Int16:
		v = int64(int16(raw))
	case Int32:
		v = int64(int32(raw))
	case Uint64:
		if raw > math.MaxInt64 {
			return 0, fmt.Errorf("%d is absurd", raw)
		}
	case Uint16, Uint32, Int64, Float32:
	}
	factor := int64(math.Pow10(max(exp, -exp)))
	switch {
	case exp < 0:
		half := factor / 2
		if v < 0 {
			half = -half
		}
		if v > math.MaxInt64-factor || v < factor-math.MaxInt64 {
			return 0, fmt.Errorf("%d is absurd", v)
		}
		return (v + half) / factor, nil
	case v > most/factor || v < -most/factor:
		return 0, fmt.Errorf("%d times 10^%d is absurd", v, exp)
	}
	return v * factor, nil
}

// raw is the bits of a number, by the map's order of bytes and words.
func (m *Map) raw(words []uint16) uint64 {
	if m.LowWordFirst {
		words = slices.Clone(words)
		slices.Reverse(words)
	}
	var raw uint64
	for _, w := range words {
		if m.LittleEndian {
			w = bits.ReverseBytes16(w)
		}
		raw = raw<<16 | uint64(w)
	}
	return raw
}
