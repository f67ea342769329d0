package charge

import "slices"

// Status is what a connector reports. It is computed from the connector's state and
// never stored, so that it cannot become out of date.
type Status string

// The statuses of a connector; the words are OCPP 1.6's. StatusOffline exists
// in Central's view only: an overlay that never ends a session.
const (
	StatusAvailable     Status = "available"
	StatusPreparing     Status = "preparing"
	StatusCharging      Status = "charging"
	StatusSuspendedEV   Status = "suspended_ev"
	StatusSuspendedEVSE Status = "suspended_evse"
	StatusFinishing     Status = "finishing"
	StatusReserved      Status = "reserved"
	StatusUnavailable   Status = "unavailable"
	StatusFaulted       Status = "faulted"
	StatusOffline       Status = "offline"
)

// Statuses returns every status a connector itself can report.
func Statuses() []Status {
	return []Status{
		StatusAvailable, StatusPreparing, StatusCharging, StatusSuspendedEV, StatusSuspendedEVSE,
		StatusFinishing, StatusReserved, StatusUnavailable, StatusFaulted,
	}
}

// Valid reports whether a connector can report s.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// InSession reports whether s is shown only while a session is open.
func (s Status) InSession() bool {
	return s == StatusCharging || s == StatusSuspendedEV || s == StatusSuspendedEVSE
}

// StopReason is the reason why a session ended; the words are OCPP's.
type StopReason string

// The closed list of stop reasons.
const (
	StopLocal              StopReason = "local"
	StopRemote             StopReason = "remote"
	StopUnplugged          StopReason = "unplugged"
	StopDeauthorized       StopReason = "deauthorized"
	StopEmergency          StopReason = "emergency_stop"
	StopGroundFault        StopReason = "ground_fault"
	StopOvercurrent        StopReason = "overcurrent"
	StopOvertemperature    StopReason = "overtemperature"
	StopOtherFault         StopReason = "other_fault"
	StopPowerLoss          StopReason = "power_loss"
	StopReboot             StopReason = "reboot"
	StopLimitReached       StopReason = "limit_reached"
	StopReservationExpired StopReason = "reservation_expired"
)

// StopReasons returns the closed list of stop reasons.
func StopReasons() []StopReason {
	return []StopReason{
		StopLocal, StopRemote, StopUnplugged, StopDeauthorized, StopEmergency, StopGroundFault, StopOvercurrent,
		StopOvertemperature, StopOtherFault, StopPowerLoss, StopReboot, StopLimitReached, StopReservationExpired,
	}
}

// Valid reports whether r is in the closed list.
func (r StopReason) Valid() bool { return slices.Contains(StopReasons(), r) }

// Fault names what is wrong at a connector or at the whole charging point.
type Fault string

// The closed list of faults. Those that end in a StopReason of their own are
// named alike; all others stop a session as other_fault.
const (
	FaultEmergencyStop   Fault = "emergency_stop"
	FaultGroundFault     Fault = "ground_fault"
	FaultOvercurrent     Fault = "overcurrent"
	FaultOvertemperature Fault = "overtemperature"
	FaultContactorWelded Fault = "contactor_welded"
	FaultContactorStuck  Fault = "contactor_stuck_open"
	FaultMeter           Fault = "meter_failed"
	FaultPilot           Fault = "pilot_failed"
	FaultSafetyInput     Fault = "safety_input_failed"
	FaultJournal         Fault = "journal_failed"
	FaultLock            Fault = "lock_failed"
	FaultSelfTest        Fault = "self_test_failed"
	FaultOther           Fault = "other"
)

// Faults returns the closed list of faults.
func Faults() []Fault {
	return []Fault{
		FaultEmergencyStop, FaultGroundFault, FaultOvercurrent, FaultOvertemperature, FaultContactorWelded,
		FaultContactorStuck, FaultMeter, FaultPilot, FaultSafetyInput, FaultJournal, FaultLock, FaultSelfTest, FaultOther,
	}
}

// Valid reports whether f is in the closed list.
func (f Fault) Valid() bool { return slices.Contains(Faults(), f) }

// StopReason returns the reason with which the fault ends a session.
func (f Fault) StopReason() StopReason {
	if r := StopReason(f); r.Valid() {
		return r
	}
	return StopOtherFault
}

// Latches reports whether the fault may stay after its cause is gone, until a person
// resets it, unplugs the vehicle, or a time has passed. Such a fault outlives a
// restart of the agent.
func (f Fault) Latches() bool {
	switch f {
	case FaultEmergencyStop, FaultGroundFault, FaultOvercurrent, FaultContactorWelded, FaultContactorStuck, FaultLock, FaultSelfTest:
		return true
	case FaultOvertemperature, FaultMeter, FaultPilot, FaultSafetyInput, FaultJournal, FaultOther:
	}
	return false
}

// ClockQuality is how far the wall clock of a charging point can be trusted.
type ClockQuality string

// Clock qualities, from worst to best: never set since power-up; set once, by
// Central or from the last value on disk; kept by NTP.
const (
	ClockUnset  ClockQuality = "unset"
	ClockSet    ClockQuality = "set"
	ClockSynced ClockQuality = "synced"
)

// Valid reports whether q is one of the three qualities.
func (q ClockQuality) Valid() bool { return q == ClockUnset || q == ClockSet || q == ClockSynced }

// PilotState is the control pilot's state of IEC 61851-1: A no vehicle,
// B vehicle connected, C asks for power, D asks for power with ventilation,
// E and F error. The zero value is no state: it must be treated as unsafe.
type PilotState byte

// The states of the control pilot.
const (
	PilotUnknown PilotState = 0
	PilotA       PilotState = 'A'
	PilotB       PilotState = 'B'
	PilotC       PilotState = 'C'
	PilotD       PilotState = 'D'
	PilotE       PilotState = 'E'
	PilotF       PilotState = 'F'
)

// String returns the letter, or "?" for an unknown state.
func (p PilotState) String() string {
	if p >= PilotA && p <= PilotF {
		return string(rune(p))
	}
	return "?"
}

// Plugged reports whether a vehicle is connected (B, C or D).
func (p PilotState) Plugged() bool { return p == PilotB || p == PilotC || p == PilotD }

// ReservationEnd is the reason why a reservation ended without being used.
type ReservationEnd string

// The closed list of ends of a reservation.
const (
	ReservationExpired     ReservationEnd = "expired"
	ReservationCancelled   ReservationEnd = "cancelled"
	ReservationFault       ReservationEnd = "fault"
	ReservationUnavailable ReservationEnd = "unavailable"
	ReservationClockUnset  ReservationEnd = "clock_unset" // after a reboot the agent has no clock to determine its end
)

// ReservationEnds returns all ends.
func ReservationEnds() []ReservationEnd {
	return []ReservationEnd{ReservationExpired, ReservationCancelled, ReservationFault, ReservationUnavailable, ReservationClockUnset}
}

// Valid reports whether e is in the closed list.
func (e ReservationEnd) Valid() bool { return slices.Contains(ReservationEnds(), e) }
