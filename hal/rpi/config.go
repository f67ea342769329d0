package rpi

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// Config is the wiring of a board: what a board file holds. Pins are named
// "GPIO0" to "GPIO27". An empty pin or kind means that the device is not fitted.
type Config struct {
	Serial     string              `yaml:"serial"`
	RatedPower charge.Watts        `yaml:"rated_w"` // per connector
	MaxCurrent charge.MilliAmps    `yaml:"max_current_ma"`
	Voltage    charge.MilliVolts   `yaml:"voltage_mv"`
	Phases     int                 `yaml:"phases"`
	Vent       bool                `yaml:"vent"` // the installation is ventilated
	TempLimit  charge.MilliCelsius `yaml:"temp_limit_mc"`

	// Samples is how many readings in a row, at least 5 ms apart, must agree
	// before a contact counts; 0 means 3. With a safety loop of 10 ms a change
	// counts after Samples ticks.
	Samples int `yaml:"samples"`

	EStop    string   `yaml:"estop"` // a normally closed contact
	Keeper   Keeper   `yaml:"keeper"`
	Watchdog Watchdog `yaml:"watchdog"`
	RTC      string   `yaml:"rtc"` // the device of a clock with a battery: /dev/rtc0
	Reader   Reader   `yaml:"reader"`

	Connectors []Outlet `yaml:"connectors"`
}

// Keeper is a monoflop in the supply of the contactors' coils, triggered by the
// edges of a pin.
type Keeper struct {
	Pin string `yaml:"pin"`
	// Timeout is the longest time after an edge for which the monoflop may hold,
	// with its tolerance; the shortest is at least half of it.
	Timeout time.Duration `yaml:"timeout"`
}

// Watchdog is the kernel's device that resets the computer.
type Watchdog struct {
	Device  string        `yaml:"device"`
	Timeout time.Duration `yaml:"timeout"` // whole seconds
}

// The kinds of card readers.
const (
	ReaderPN532   = "pn532"
	ReaderMFRC522 = "mfrc522"
)

// Reader is the card reader of the charging point.
type Reader struct {
	Kind string `yaml:"kind"`
	// Bus is "i2c-1" or the path of a serial port for a PN532, "spi0.0" for an
	// MFRC522.
	Bus string `yaml:"bus"`
}

// Outlet is the parts of one connector.
type Outlet struct {
	Relay          string `yaml:"relay"`
	RelayActiveLow bool   `yaml:"relay_active_low"` // it switches on when its pin is low
	Feedback       string `yaml:"feedback"`         // a contact that closes with the contactor
	FeedbackMirror bool   `yaml:"feedback_mirror"`  // Feedback is a mirror contact: closed while the contactor is open

	Plug    string `yaml:"plug"`    // closed while a vehicle is plugged in
	Request string `yaml:"request"` // closed while the vehicle requests power
	Pilot   Pilot  `yaml:"pilot"`

	Proximity   Proximity   `yaml:"proximity"`
	Meter       Meter       `yaml:"meter"`
	Lock        Lock        `yaml:"lock"`
	Protection  Protection  `yaml:"protection"`
	GroundFault GroundFault `yaml:"ground_fault"`
	Temperature []Sensor    `yaml:"temperature"`
	Button      string      `yaml:"button"`
	Lights      Lights      `yaml:"lights"`
}

// The kinds of pilots.
const (
	PilotContacts = "contacts" // Outlet.Plug and Outlet.Request
	PilotPWM      = "pwm"      // PWM through an amplifier, measured by an ADC
)

// Pilot is how the control pilot is driven and measured. No kind means contacts.
type Pilot struct {
	Kind     string `yaml:"kind"`
	Pin      string `yaml:"pin"`      // of the PWM
	Device   string `yaml:"device"`   // of the PWM, such as 1f00098000.pwm; empty means the only one
	Inverted bool   `yaml:"inverted"` // the amplifier makes −12 V of a high pin
	ADCInput
	// The voltages of the pilot at which the ADC shows 0 and its largest value. 0
	// means −15 V and +15 V.
	AtZero charge.MilliVolts `yaml:"at_zero_mv"`
	AtFull charge.MilliVolts `yaml:"at_full_mv"`
}

// Proximity is the plug contact that codes the cable.
type Proximity struct {
	ADCInput
	PullUp int64 `yaml:"pull_up_ohm"` // from the ADC's reference to the contact; 0 means 1000
}

// ADCInput is one input of an MCP3004 or MCP3008. No ADC means not fitted.
type ADCInput struct {
	ADC     string `yaml:"adc"` // "spi0.0"
	Channel int    `yaml:"channel"`
}

// The kinds of meters.
const (
	MeterSDM120   = "sdm120"
	MeterSDM630   = "sdm630"
	MeterPZEM004T = "pzem004t"
	MeterCustom   = "custom"
	MeterS0       = "s0"
)

// Meter is the meter of one connector: Modbus RTU on a serial port, or S0 pulses
// on a pin.
type Meter struct {
	Kind string `yaml:"kind"`

	Port    string `yaml:"port"`    // a serial port
	Baud    int    `yaml:"baud"`    // 0: as the kind leaves the factory
	Parity  string `yaml:"parity"`  // none, even or odd; empty means none
	Address int    `yaml:"address"` // of the meter on the bus; a PZEM-004T alone also has 248
	// Gap is the silence before a request; 0 means 10 ms. Slow adapters need more.
	Gap time.Duration `yaml:"gap"`
	Map MeterMap      `yaml:"map"` // of the kind custom

	Pin          string           `yaml:"pin"`            // S0: closed during a pulse
	PulsesPerKWh int              `yaml:"pulses_per_kwh"` // S0
	Register     string           `yaml:"register"`       // S0: the file that keeps the register
	SaveEvery    charge.WattHours `yaml:"save_wh"`        // S0: energy after which it is written; 0 means 100
}

// MeterMap is the registers of a Modbus meter that is none of the known kinds: it
// is data, see modbus.Map.
type MeterMap struct {
	Maker        string           `yaml:"maker"`
	Model        string           `yaml:"model"`
	Function     uint8            `yaml:"function"` // 3: holding registers, 4: input registers
	LowWordFirst bool             `yaml:"low_word_first"`
	LittleEndian bool             `yaml:"little_endian"`
	Span         uint16           `yaml:"span"`    // registers that one request may cover
	Wrap         charge.WattHours `yaml:"wrap_wh"` // where the register continues at zero; 0 means never

	Import      Quantity `yaml:"import"`
	Power       Quantity `yaml:"power"`
	Voltage     Quantity `yaml:"voltage"`
	Current     Quantity `yaml:"current"`
	Temperature Quantity `yaml:"temperature"`
	Serial      Quantity `yaml:"serial"`
}

// Quantity is where a meter shows a quantity, and in which form.
type Quantity struct {
	At       []Address `yaml:"at"`   // one register, or one for each phase, as they are on the line: from 0
	Type     string    `yaml:"type"` // int16, uint16, int32, uint32, int64, uint64, float32
	Exp      int       `yaml:"exp"`  // power of ten that makes it Wh, W, mV, mA or m°C
	Function uint8     `yaml:"function"`
}

// The kinds of locks.
const (
	LockMotor    = "motor"    // one pin pulses to lock, the other to unlock
	LockSolenoid = "solenoid" // locked while its pin is high
)

// Lock is the lock of the cable.
type Lock struct {
	Kind     string        `yaml:"kind"`
	Pin      string        `yaml:"pin"`      // locks
	Unlock   string        `yaml:"unlock"`   // motor: unlocks
	Move     time.Duration `yaml:"move"`     // how long the bolt takes; 0 means 500 ms
	Feedback string        `yaml:"feedback"` // a contact that is closed while locked
}

// Protection is the contacts of devices that trip by themselves. They are
// normally closed: open means tripped, and so does a cut wire.
type Protection struct {
	GroundFault     string `yaml:"ground_fault"`
	Overcurrent     string `yaml:"overcurrent"`
	Overtemperature string `yaml:"overtemperature"`
}

// GroundFault is the test and the reset of the residual current device whose
// contact is Protection.GroundFault.
type GroundFault struct {
	Test  string `yaml:"test"`  // high makes the device trip
	Reset string `yaml:"reset"` // a pulse resets it; without a pin it resets itself
}

// The kinds of temperature sensors.
const (
	SensorDS18B20 = "ds18b20"
	SensorTMP102  = "tmp102"
	SensorMCP9808 = "mcp9808"
)

// Sensor is one temperature sensor.
type Sensor struct {
	Name    string  `yaml:"name"`
	Kind    string  `yaml:"kind"`
	ID      string  `yaml:"id"`  // DS18B20: as in /sys/bus/w1/devices
	Pin     string  `yaml:"pin"` // DS18B20: of its bus; empty means GPIO4
	Bus     string  `yaml:"bus"` // I²C
	Address Address `yaml:"address"`
}

// Lights is the lamps of one connector, each on a pin. Any may be missing.
type Lights struct {
	Red   string `yaml:"red"`
	Green string `yaml:"green"`
	Blue  string `yaml:"blue"`
}

// Address is an address on a bus or of a register, in files as 0x48 or 72.
type Address uint16

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Address) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 16)
	if err != nil {
		return errors.New("use a whole number, such as 72 or 0x48")
	}
	*a = Address(n)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (a Address) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#02x", uint16(a)), nil }

// DefaultConfig is one phase of 16 A without any device.
func DefaultConfig() Config {
	return Config{
		RatedPower: 3_680, MaxCurrent: 16_000, Voltage: 230_000, Phases: 1, TempLimit: 70_000, Samples: defaultSamples,
		Keeper:   Keeper{Timeout: 800 * time.Millisecond},
		Watchdog: Watchdog{Timeout: 14 * time.Second},
	}
}

// The defaults of values that are 0 in a list, where a file cannot inherit them.
const (
	defaultSamples = 3
	defaultSave    = 100 * charge.WattHours(1)
	defaultMove    = 500 * time.Millisecond
	oneWirePin     = "GPIO4"
)

// withDefaults replaces zeros that mean a default.
func (c Config) withDefaults() Config {
	if c.Samples == 0 {
		c.Samples = defaultSamples
	}
	c.Connectors = append([]Outlet(nil), c.Connectors...)
	for i := range c.Connectors {
		o := &c.Connectors[i]
		if o.Meter.SaveEvery == 0 {
			o.Meter.SaveEvery = defaultSave
		}
		if o.Lock.Move == 0 {
			o.Lock.Move = defaultMove
		}
	}
	return c
}
