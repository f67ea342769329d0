package view

import (
	"slices"

	"github.com/carga-ev/carga/central/ledger"
	"github.com/carga-ev/carga/internal/charge"
	"github.com/carga-ev/carga/internal/reason"
)

// The kinds of alarms that Central raises about itself and its messages, beside
// those of package ledger.
const (
	AlarmDeadLetter ledger.AlarmKind = "dead_letter"
	AlarmNoEpoch    ledger.AlarmKind = "epoch_not_believed"
	AlarmDatabase   ledger.AlarmKind = "database_damaged" // nothing more is written
	AlarmPart       ledger.AlarmKind = "part_down"        // raised while a part cannot do its work
)

// AlarmKinds returns all kinds of alarms.
func AlarmKinds() []ledger.AlarmKind {
	return slices.Concat(ledger.AlarmKinds(), []ledger.AlarmKind{AlarmDeadLetter, AlarmNoEpoch, AlarmDatabase, AlarmPart})
}

// AlarmEnd is what ends an alarm.
type AlarmEnd string

// The ends of alarms. The first is of alarms about what is over; the others are of
// conditions that last.
const (
	EndClear   AlarmEnd = "clear"   // an operator clears it
	EndExplain AlarmEnd = "explain" // an operator explains its gap
	EndRelease AlarmEnd = "release" // an operator releases its charging point
	EndSettle  AlarmEnd = "settle"  // an operator settles its session
	EndItself  AlarmEnd = "itself"  // the part does its work again
	EndRepair  AlarmEnd = "repair"  // of the database
)

// EndOf returns what ends an alarm of a kind.
func EndOf(k ledger.AlarmKind) AlarmEnd {
	switch k {
	case ledger.AlarmGap:
		return EndExplain
	case ledger.AlarmFork:
		return EndRelease
	case ledger.AlarmOrphaned, ledger.AlarmSilent:
		return EndSettle
	case AlarmPart:
		return EndItself
	case AlarmDatabase:
		return EndRepair
	case ledger.AlarmRolledBack, ledger.AlarmReplaced, ledger.AlarmMismatch, ledger.AlarmMeterBack, ledger.AlarmMeterJumped,
		ledger.AlarmOverlap, ledger.AlarmTicket, ledger.AlarmAnomaly, ledger.AlarmUnusable, ledger.AlarmEpoch,
		ledger.AlarmUnaccounted, AlarmDeadLetter, AlarmNoEpoch:
	}
	return EndClear
}

// Alarm is a condition that an operator should look at. Kind is a stable word for
// programs, Text describes the case. An alarm about Central itself has no CPID.
type Alarm struct {
	ID   int64            `json:"alarm_id"`
	CPID charge.CPID      `json:"cp_id,omitempty"`
	Kind ledger.AlarmKind `json:"kind"`
	Text string           `json:"text"`
	// Why is the same for programs, with the note of the operator that cleared it.
	Why reason.Reason `json:"why"`
	At  charge.Time   `json:"at"`
	// State is "open", or "cleared" when the condition is over, or an operator
	// explained or cleared it.
	State string `json:"state" enum:"open,cleared"`
	// EndedBy is what ends it while it is open.
	EndedBy AlarmEnd `json:"ended_by,omitempty" enum:"clear,explain,release,settle,itself,repair"`
}

// AlarmOf shows the alarm with the number n.
func AlarmOf(n int64, a *ledger.Alarm) Alarm {
	out := Alarm{ID: n, CPID: a.CPID, Kind: a.Kind, Text: a.Detail, Why: a.Why.Or(a.Detail), At: a.At, State: AlarmCleared}
	if !a.Cleared {
		out.State, out.EndedBy = AlarmOpen, EndOf(a.Kind)
	}
	return out
}
