package modbus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/carga-ev/carga/internal/charge"
)

// Type is the form in which a meter shows a number.
type Type string

// The types of numbers. Each 16 bits are one register.
const (
	Int16   Type = "int16"
	Uint16  Type = "uint16"
	Int32   Type = "int32"
	Uint32  Type = "uint32"
	Int64   Type = "int64"
	Uint64  Type = "uint64"
	Float32 Type = "float32"
)

// words is how many registers a number of the type fills; 0 if there is no such
// type.
func (t Type) words() uint16 {
	switch t {
	case Int16, Uint16:
		return 1
	case Int32, Uint32, Float32:
		return 2
	case Int64, Uint64:
		return 4
	}
	return 0
}

// Quantity is where and how a meter shows one quantity.
type Quantity struct {
	// At is the addresses, counted from 0 as they are on the line: one, or one for
	// each phase. A meter without the quantity has none.
	At   []uint16
	Type Type
	// Exp is the power of ten by which the number becomes Wh, W, mV, mA or m°C: 3
	// for a register in kWh, -1 for one in tenths of a watt.
	Exp int
	// Function is that of the map where it is 0.
	Function Function
}

// Map is the registers of one kind of meter. It is data: a new kind needs no code.
type Map struct {
	Maker, Model string
	Function     Function
	// LowWordFirst: of a number in several registers the lowest word comes first.
	// LittleEndian: of a register the low byte comes first.
	LowWordFirst, LittleEndian bool
	// Span is how many registers one request may cover with those between two
	// quantities. 0: only neighbours share a request, as meters need that refuse to
	// read a register they do not have.
	Span uint16
	// Wrap is where the import register continues at zero; 0 means never.
	Wrap charge.WattHours

	Import      Quantity // one register, cumulative
	Power       Quantity // the phases are added
	Voltage     Quantity // phase to neutral
	Current     Quantity
	Temperature Quantity
	Serial      Quantity // the serial number: an integer, Exp 0
}

// SDM630 is Eastron's three-phase meter. One request reads it all.
func SDM630() Map {
	m := eastron("SDM630", 74)
	m.Voltage.At, m.Current.At, m.Power.At = []uint16{0x00, 0x02, 0x04}, []uint16{0x06, 0x08, 0x0A}, []uint16{0x34}
	return m
}

// SDM120 is Eastron's single-phase meter. Two short requests read it, since it is
// often delivered with 2400 baud.
func SDM120() Map {
	m := eastron("SDM120", 14)
	m.Voltage.At, m.Current.At, m.Power.At = []uint16{0x00}, []uint16{0x06}, []uint16{0x0C}
	return m
}

// eastron is what the meters of that maker have in common.
func eastron(model string, span uint16) Map {
	return Map{
		Maker: "Eastron", Model: model, Function: Input, Span: span,
		Import:  Quantity{At: []uint16{0x48}, Type: Float32, Exp: 3},
		Power:   Quantity{Type: Float32},
		Voltage: Quantity{Type: Float32, Exp: 3},
		Current: Quantity{Type: Float32, Exp: 3},
		Serial:  Quantity{At: []uint16{0xFC00}, Type: Uint32, Function: Holding},
	}
}

// PZEM004T is the module of Peacefair, version 3. It is not of billing grade, has
// no serial number, and its register ends at 9,999.99 kWh.
func PZEM004T() Map {
	return Map{
		Maker: "Peacefair", Model: "PZEM-004T", Function: Input, LowWordFirst: true, Span: 10, Wrap: 10_000_000,
		Voltage: Quantity{At: []uint16{0}, Type: Uint16, Exp: 2},
		Current: Quantity{At: []uint16{1}, Type: Uint32},
		Power:   Quantity{At: []uint16{3}, Type: Uint32, Exp: -1},
		Import:  Quantity{At: []uint16{5}, Type: Uint32},
	}
}

// Maps are the meters known by name.
func Maps() map[string]Map {
	return map[string]Map{"sdm120": SDM120(), "sdm630": SDM630(), "pzem004t": PZEM004T()}
}

// maxExp is far beyond what meters use, and small enough for exact arithmetic.
const maxExp = 9

// Validate reports everything that is wrong, each by its field.
func (m *Map) Validate() error {
	var wrong problems
	if m.Function != Holding && m.Function != Input {
		wrong.add("function", "%d; use 3 (holding registers) or 4 (input registers)", m.Function)
	}
	if m.Span > MaxCount {
		wrong.add("span", "%d; one request reads at most %d registers", m.Span, MaxCount)
	}
	if m.Wrap < 0 || m.Wrap > charge.MaxRegister {
		wrong.add("wrap", "%d Wh; use 1 to %d, or 0 where the register never wraps", m.Wrap, charge.MaxRegister)
	}
	for _, q := range append(m.quantities(), quantity{Quantity: m.Serial, name: "serial", most: 1}) {
		switch {
		case len(q.At) == 0 && q.name == "import":
			wrong.add(q.name, "is missing: a meter without an energy register cannot bill")
		case len(q.At) > q.most:
			wrong.add(q.name+".at", "%d addresses; use at most %d", len(q.At), q.most)
		}
		if len(q.At) == 0 {
			continue
		}
		if q.Type.words() == 0 {
			wrong.add(q.name+".type", "%q; use int16, uint16, int32, uint32, int64, uint64 or float32", q.Type)
		}
		if q.Exp < -maxExp || q.Exp > maxExp {
			wrong.add(q.name+".exp", "%d; use %d to %d", q.Exp, -maxExp, maxExp)
		}
		if q.Function != 0 && q.Function != Holding && q.Function != Input {
			wrong.add(q.name+".function", "%d; use 3 or 4, or none for the map's", q.Function)
		}
		for _, at := range q.At {
			if int(at)+int(q.Type.words()) > 1<<16 {
				wrong.add(q.name+".at", "%#04x is too high for a %s", at, q.Type)
			}
		}
	}
	if m.Serial.Type == Float32 {
		wrong.add("serial.type", "a serial number is an integer")
	}
	return errors.Join(wrong...)
}

// problems collects what is wrong.
type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, fmt.Errorf(field+": "+format, args...))
}

// quantity is a Quantity with its name and bounds: what is below zero but above
// floor is noise around zero, what is above ceiling is absurd.
type quantity struct {
	Quantity
	name           string
	most           int
	floor, ceiling int64
}

// The bounds are those of the field, not of one charging point, whose rated power
// the caller knows. A meter of reactive loads may show a few watts backwards.
func (m *Map) quantities() []quantity {
	return []quantity{
		{m.Import, "import", 1, 0, int64(charge.MaxRegister)},
		{m.Power, "power", 3, -20, 1_000_000},
		{m.Voltage, "voltage", 3, 0, 1_000_000},
		{m.Current, "current", 3, -100, 1_000_000},
		{m.Temperature, "temperature", 1, -60_000, 200_000},
	}
}

// cell is one number at the meter.
type cell struct {
	quantity int // index in quantities
	phase    int // index in the quantity's At
	at       uint16
	words    uint16
}

// span is one request and the cells in its answer.
type span struct {
	function  Function
	at, count uint16
	cells     []cell
}

// function is the function that reads a quantity.
func (m *Map) function(q Quantity) Function { return cmp.Or(q.Function, m.Function) }

// plan groups the cells of a map into as few requests as its Span allows.
func (m *Map) plan() []span {
	var out []span
	for i, q := range m.quantities() {
		for phase, at := range q.At {
			words := q.Type.words()
			next := span{m.function(q.Quantity), at, words, []cell{{i, phase, at, words}}}
			for j := 0; j < len(out); {
				if !next.join(out[j], m.Span) {
					j++
					continue
				}
				out, j = slices.Delete(out, j, j+1), 0 // the larger request may join another
			}
			out = append(out, next)
		}
	}
	return out
}

// join makes one request of both, if it covers no more than most registers or
// none between them.
func (s *span) join(other span, most uint16) bool {
	from := min(s.at, other.at)
	size := max(int(s.at)+int(s.count), int(other.at)+int(other.count)) - int(from)
	if s.function != other.function || size > MaxCount || size > int(max(most, s.count+other.count)) {
		return false
	}
	s.at, s.count = from, uint16(size)
	s.cells = append(s.cells, other.cells...)
	return true
}
