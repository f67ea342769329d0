// Package hal describes the hardware of a charging point as small Go interfaces.
// hal/rpi implements them on a Raspberry Pi, hal/sim without hardware;
// hal/haltest is the conformance suite that both must pass.
//
// # Invariants
//
// Every implementation keeps these, under -race and with each method called
// from a goroutine of its own:
//
//  1. For a safety input, an error or a value older than MaxSafetyAge means
//     unsafe. For other values, a stale one means absent.
//  2. Every contactor is open after the board is made, after SafeState and
//     after Close, and opens when the Keeper is not kicked in time.
//  3. Set(false) never waits for Set(true), for the meter or for a bus; it
//     allocates nothing, logs nothing, touches neither disk nor network.
//  4. Feedback is measured, never derived from the command. If they differ for
//     more than MaxContactorDelay, that is a fault, which the caller raises.
//  5. An emergency stop is a normally closed contact: a cut wire reads as
//     pressed.
//  6. The import register never goes down and is never reset by us. A decrease
//     or another serial number is for the caller to report.
//  7. A method that returns a device returns ErrNotFitted where the device does
//     not exist, never a nil without an error.
//  8. A contactor closes by its own Set(true) alone. A lock, a self-test, an
//     offer or a light never closes one.
//  9. Cards and presses are of a moment: one that is not received within
//     MomentLasts is dropped, never delivered later.
//
// # What it does not promise
//
// Linux user space gives no hard guarantees of safety. The agent supervises
// equipment that is safe without it. A dead process may leave an output as it
// was, so a Keeper outside the process is needed where power is switched.
package hal

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/carga-ev/carga/internal/charge"
)

// MaxContactorDelay is how long feedback may differ from the command after a
// switch before it is a fault.
const MaxContactorDelay = 250 * time.Millisecond

// MaxSafetyAge is the age above which a reading of a safety input is stale,
// and so unsafe.
const MaxSafetyAge = 100 * time.Millisecond

// MaxLockDelay is how long a lock may take to reach the state that was commanded
// before it is a fault.
const MaxLockDelay = 2 * time.Second

// MaxThermalAge is the age above which a temperature is stale, and so unknown.
const MaxThermalAge = 5 * time.Second

// MomentLasts is how long a card or a press waits for its receiver.
const MomentLasts = time.Second

// MaxAgentGone is the longest time a contactor may stay closed after the agent
// has gone: a Keeper's Timeout is at most this.
const MaxAgentGone = time.Second

// Errors of every implementation, to be tested with errors.Is.
var (
	// ErrNotFitted means that this board does not have the device. It is permanent.
	ErrNotFitted = errors.New("not fitted")
	// ErrUnreadable means that an input or a bus did not answer. Retry; until then
	// a safety input is unsafe.
	ErrUnreadable = errors.New("unreadable")
	// ErrClosed means that the board has been closed.
	ErrClosed = errors.New("board closed")
)

// Stamp is when a value was measured. Mono is the time since the board's start
// and never goes back; Seq grows by one with each new measurement, so a caller
// recognises a value that it has read before.
type Stamp struct {
	Mono time.Duration
	Seq  uint64
}

// Board is one charging point: its connectors 1…n and what they share. It is
// safe for concurrent use.
type Board interface {
	// Info describes the board. It never changes.
	Info() Info
	// Connector returns the devices of connector n, from 1 to Info().Connectors.
	// An unknown number is an error that names the range. The value may be asked
	// for repeatedly; the devices behind it are the same.
	Connector(n charge.ConnectorID) (Connector, error)
	// EStop returns the emergency stop, or ErrNotFitted.
	EStop() (EStop, error)
	// Keeper returns the dead-man device of the contactor supply, or
	// ErrNotFitted. Without one a hang of the process may leave power on, and the
	// agent logs a warning at start.
	Keeper() (Keeper, error)
	// Reader returns the card reader, or ErrNotFitted.
	Reader() (TokenReader, error)
	// Panel returns the buttons and lights, or ErrNotFitted.
	Panel() (FrontPanel, error)
	// Watchdog returns the device that resets the computer when it hangs, or
	// ErrNotFitted. It belongs to the agent only where no service manager owns it.
	Watchdog() (Watchdog, error)
	// Clock returns a clock that runs without power, or ErrNotFitted.
	Clock() (Clock, error)
	// Mono is the board's monotonic clock, the one of every Stamp.
	Mono() time.Duration
	// SafeState opens all contactors. It is idempotent, allocates nothing, waits
	// for no lock that a closing path may hold, tries all of them whatever fails
	// and joins the errors.
	SafeState() error
	// Close does SafeState and then frees the devices. It is idempotent.
	Close() error
}

// Info describes a board.
type Info struct {
	Model      string              // "rpi", "simulated", …
	Serial     string              // empty when unknown
	Connectors int                 // at least 1
	Simulated  bool                // true: SIMULATE commands are allowed
	Vent       bool                // the installation is ventilated: pilot D may charge
	Steered    bool                // the pilot limits the vehicle's current (PWM)
	RatedPower charge.Watts        // per connector, for plausibility of readings
	MaxCurrent charge.MilliAmps    // per phase and connector
	Voltage    charge.MilliVolts   // nominal, phase to neutral
	Phases     int                 // 1 or 3
	TempLimit  charge.MilliCelsius // 0: no sensor
}

// Connector is the devices of one outlet.
type Connector interface {
	Contactor() Contactor
	Pilot() Pilot
	Meter() Meter
	// Lock returns the lock of the cable, or ErrNotFitted.
	Lock() (Lock, error)
	// Proximity returns the coding of the cable, or ErrNotFitted (a fixed cable).
	Proximity() (Proximity, error)
	// GroundFault returns the residual current device, or ErrNotFitted.
	GroundFault() (GroundFault, error)
	// Thermal returns the temperature sensors, or ErrNotFitted.
	Thermal() (Thermal, error)
}

// ContactState is the measured state of a contactor.
type ContactState int

// The states of a contactor. The zero value is unknown, which is unsafe.
const (
	ContactUnknown ContactState = iota
	ContactOpen
	ContactClosed
)

// String returns "open", "closed" or "unknown".
func (c ContactState) String() string {
	switch c {
	case ContactOpen:
		return "open"
	case ContactClosed:
		return "closed"
	case ContactUnknown:
	}
	return "unknown"
}

// Contactor switches the power of one connector.
type Contactor interface {
	// Set commands the contactor. It returns once the output is written, not
	// once the contact has moved. Repeating a command is harmless. An error
	// means the output is not known: the caller opens and reports a fault. A
	// Set(true) that a Set(false) or SafeState overtakes leaves it open.
	Set(on bool) error
	// Commanded is the last value given to Set, false at start.
	Commanded() bool
	// Feedback measures the contact. Without a feedback contact it answers
	// ErrNotFitted and ContactUnknown.
	Feedback() (ContactState, Stamp, error)
}

// Protection is the devices that trip by themselves: residual current,
// over-current, thermal cut-out. They are normally closed contacts. A Connector
// that has them implements Protection itself; one that has none does not.
type Protection interface {
	// Tripped measures which device has tripped: the gravest one, or "" when
	// none has. It is a safety input: an error means unsafe. It never blocks for
	// longer than a tick of the safety loop (10 ms).
	Tripped() (charge.Fault, Stamp, error)
}

// Pilot reads the vehicle's state on one connector.
type Pilot interface {
	// State measures the pilot. On a board with plug and charge-request contacts
	// only, A means unplugged, B plugged, C requests power. It never blocks for
	// longer than a tick of the safety loop (10 ms).
	State() (charge.PilotState, Stamp, error)
	// SetAvailable offers power to the vehicle (PWM on) or withdraws the offer
	// (steady X1). On a board without PWM it does nothing and answers nil.
	SetAvailable(offer bool) error
	// SetCurrent sets the current per phase that an offer permits; it takes effect
	// at once where power is offered. Below MinOffer there is no offer. On a board
	// without PWM it does nothing and answers nil: there the vehicle is limited by
	// its cable alone, and Info.Steered is false.
	SetCurrent(limit charge.MilliAmps) error
}

// MinOffer is the smallest current that a pilot can offer (IEC 61851-1: 6 A). A
// lower limit pauses the session.
const MinOffer charge.MilliAmps = 6_000

// Lock holds the plug of the cable in the socket.
type Lock interface {
	// Set starts to move the bolt and returns. Repeating a command is harmless.
	Set(locked bool) error
	// State measures the bolt; while it moves it is unknown, without an error. A
	// lock without feedback reports its command once the time to move has passed.
	State() (LockState, Stamp, error)
}

// LockState is the measured state of a lock.
type LockState int

// The states of a lock. The zero value is unknown: no contactor closes.
const (
	LockUnknown LockState = iota
	LockOpen
	LockLocked
)

// String returns "open", "locked" or "unknown".
func (l LockState) String() string {
	switch l {
	case LockOpen:
		return "open"
	case LockLocked:
		return "locked"
	case LockUnknown:
	}
	return "unknown"
}

// Proximity reads the coding resistor of the plugged cable.
type Proximity interface {
	// CableLimit is the current that the cable may carry: 13, 20, 32 or 63 A
	// (IEC 61851-1 Annex B). 0 without an error means that no plug is in. An
	// impossible resistance is ErrUnreadable, never the largest cable.
	CableLimit() (charge.MilliAmps, Stamp, error)
}

// GroundFault is a residual current device that can be tested. Protection
// reports that it tripped.
type GroundFault interface {
	// SelfTest makes the device trip and checks that it did. A contactor that is
	// not open is an error, and nothing trips. It ends with ctx and leaves the
	// device reset. Protection does not report the trip that a test made.
	SelfTest(ctx context.Context) error
	// Reset clears a trip, after a person has removed its cause. If the cause is
	// still there, that is an error.
	Reset() error
}

// Thermal is the temperature sensors of a connector.
type Thermal interface {
	// Sensors names them; the list never changes and is not empty.
	Sensors() []string
	// Hottest is the highest temperature of all sensors. If one cannot be read, or
	// was last read more than MaxThermalAge ago, that is an error, since it may be
	// the hottest. It never blocks for longer than a tick of the safety loop
	// (10 ms): a slow bus is read in the background.
	Hottest() (charge.MilliCelsius, Stamp, error)
}

// Reading is one reading of a meter. Values the meter does not have are zero;
// Import is always there.
type Reading struct {
	Stamp
	Import      charge.WattHours // cumulative, never goes down
	Power       charge.Watts
	Voltage     charge.MilliVolts // mean over the connected phases
	Current     charge.MilliAmps  // per phase, mean
	Temperature charge.MilliCelsius
}

// Meter measures one connector.
type Meter interface {
	// Read measures now. It may take as long as the bus takes and ends with ctx.
	// An error leaves the last good reading in force; it is not a safety input.
	Read(ctx context.Context) (Reading, error)
	// Identity names the meter, so that a replaced one is noticed.
	Identity() (Identity, error)
}

// Resumer is a Meter whose register starts again at 0 when it is full, and is
// continued by software. Resume is called before the first Read with the last
// register that was recorded, so that a wrap before or during a restart counts.
type Resumer interface{ Resume(total charge.WattHours) }

// Identity names a meter.
type Identity struct {
	Maker, Model, Serial string
}

// EStop is the emergency stop of the charging point.
type EStop interface {
	// Pressed reports whether the stop is active. An error means unsafe.
	Pressed() (bool, Stamp, error)
}

// Keeper is a dead-man device outside the process: it opens every contactor
// when it is not kicked for Timeout, and lets none close before the first Kick.
// After such a trip a contactor closes only on a new Set(true), however soon
// the kicks resume: power never comes back by itself.
type Keeper interface {
	// Kick reports that the safety loop has completed a tick in time.
	Kick() error
	// Timeout is at most MaxAgentGone; the time a contactor takes to open comes
	// on top of it, so a good Timeout is shorter by that time.
	Timeout() time.Duration
}

// TokenReader reads the cards that drivers hold to the charging point.
type TokenReader interface {
	// Tokens returns the channel of the cards presented; the same one each time,
	// closed by Board.Close. A card that stays in the field is reported once. It
	// waits for its receiver for MomentLasts; Moments is such a channel.
	Tokens() <-chan Token
	// Healthy is nil while the reader answers.
	Healthy() error
}

// Token is a card that was presented.
type Token struct {
	Stamp
	// UID is the identifier of the card in upper-case hexadecimal digits. It is a
	// secret: never logged, never stored as it is.
	UID string
}

// ParseUID checks the identifier of a card, 4, 7 or 10 bytes (ISO 14443) in
// hexadecimal digits, and returns it in upper case. The error does not repeat it.
func ParseUID(s string) (string, error) {
	if n := len(s); n != 8 && n != 14 && n != 20 {
		return "", errors.New("uid: want 8, 14 or 20 hexadecimal digits")
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", errors.New("uid: want hexadecimal digits only")
	}
	return strings.ToUpper(s), nil
}

// FrontPanel is the buttons and lights that a person sees.
type FrontPanel interface {
	// Presses returns the channel of pressed buttons, as Tokens does for cards.
	Presses() <-chan Press
	// Show sets the lights of one connector. It returns at once. A connector without
	// lights is ErrNotFitted.
	Show(n charge.ConnectorID, l Light) error
}

// Press is a button that was pressed.
type Press struct {
	Stamp
	Connector charge.ConnectorID
	Held      bool // it has been held for HoldLasts; the press itself was reported before
}

// HoldLasts is how long a button is held to reset latched faults.
const HoldLasts = 3 * time.Second

// Light is what the lights of a connector show.
type Light int

// The lights. The zero value is off.
const (
	LightOff      Light = iota
	LightReady          // a driver can begin
	LightWaiting        // reserved, or waiting for a vehicle or an answer
	LightCharging       // power flows
	LightRefused        // a card was refused, for a moment
	LightFault          // out of order
	LightIdentify       // a person looks for this charging point
)

// String returns the name of the light, such as "charging".
func (l Light) String() string {
	switch l {
	case LightOff:
		return "off"
	case LightReady:
		return "ready"
	case LightWaiting:
		return "waiting"
	case LightCharging:
		return "charging"
	case LightRefused:
		return "refused"
	case LightFault:
		return "fault"
	case LightIdentify:
		return "identify"
	}
	return "unknown"
}

// Watchdog resets the computer when it is not kicked in time.
type Watchdog interface {
	// Kick restarts the countdown.
	Kick() error
	// Timeout is the length of the countdown.
	Timeout() time.Duration
	// Disarm ends the countdown, for an orderly stop. A watchdog that cannot be
	// disarmed returns an error and resets the computer later.
	Disarm() error
}

// Clock is a clock of the board that runs without power.
type Clock interface {
	// Now reads it. A clock that lost its time is ErrUnreadable.
	Now() (time.Time, error)
	// Set sets it.
	Set(t time.Time) error
}

// Wired is implemented by a Board that knows its wiring.
type Wired interface {
	// Wiring lists the wires of the board with their present levels. It reads the
	// inputs, switches nothing, and is for people: the safety loop does not use it.
	Wiring() []Wire
}

// Wire connects a device to a line of the computer.
type Wire struct {
	Device  string // such as "connector 1: plug contact"
	Line    string // such as "GPIO22" or "/dev/ttyAMA0, address 1"
	Level   string // "high", "low", a value, or "unreadable"; "" of an output
	Meaning string // what the level means here
}

// Simulator operates a simulated Board from outside: it moves vehicles and
// injects faults. A Board whose Info.Simulated is true implements it.
type Simulator interface {
	// Plug connects a vehicle that requests power. An occupied connector is an
	// error.
	Plug(n charge.ConnectorID) error
	// Unplug pulls the cable, whatever is going on.
	Unplug(n charge.ConnectorID) error
	// Present holds a card to the reader; ErrNotFitted without one.
	Present(uid string) error
	// Inject makes a fault appear; it stays until Repair.
	Inject(n charge.ConnectorID, f charge.Fault) error
	// Repair removes every injected fault of the connector.
	Repair(n charge.ConnectorID) error
}
